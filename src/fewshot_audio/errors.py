"""Errors that a user can act on: each names the file, key or class, what was found and what was expected."""

from collections.abc import Sequence

JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian words and emoji are written."""


class FewShotError(Exception):
    """Base of every error whose message is meant for the user; commands print it without a traceback."""


class ConfigError(FewShotError):
    """A config file, key or command-line override is wrong."""


class DataError(FewShotError):
    """A dataset folder, recording or split file is wrong."""


class WriteError(FewShotError):
    """A file cannot be written: the disk is full, a limit is reached, a permission is missing."""


class OtherRankError(FewShotError):
    """Another of several processes that train together has failed; rank zero reports why."""


class Diverged(FewShotError):
    """A training loss is not finite any more."""


class Interrupted(FewShotError):
    """The user pressed Ctrl-C during training; finished epochs are kept."""


def format_names(names: Sequence[str], limit: int = 5) -> str:
    """List names for a message: all of them, or the first ``limit`` and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, noun: str) -> str:
    """Write a number with its noun: "1 file", "2 files", "2 classes"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}es" if noun.endswith("s") else f"{count} {noun}s"


def on_one_line(text: str) -> str:
    """Text for display: what is invisible, breaks lines, turns the direction of writing or is no text is escaped."""
    return "".join(c if c.isprintable() or c in JOINERS else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
