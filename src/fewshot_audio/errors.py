"""Errors a user can act on: each names the file, key or class, what was found and what was expected."""


class FewShotError(Exception):
    """Base of every error whose message is meant for the user; commands print it without a traceback."""


class ConfigError(FewShotError):
    """A config file, key or command-line override is wrong."""


class DataError(FewShotError):
    """A dataset folder, recording or split file is wrong."""


class FailedElsewhere(FewShotError):
    """Another of several processes has failed, and the one that leads says why."""
