"""What can be wrong with an archive."""

from fewshot_audio.errors import DataError


class RefusedArchive(DataError):
    """An archive has what is never unpacked, or more than expected; another download would bring the same."""


class DamagedArchive(DataError):
    """A file is no archive, or not a whole one."""
