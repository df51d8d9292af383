"""Why one recording cannot be used: a code for programs, and a detail for people."""

from enum import StrEnum
from typing import Self

from fewshot_audio.errors import DataError


class Reason(StrEnum):
    """The codes of the ``reason`` column in ``skipped.csv``."""

    NOT_AUDIO = "not_audio"
    NO_CLASS = "no_class"
    NOT_LISTED = "not_listed"
    DUPLICATE = "duplicate"
    MISSING = "missing"
    LINK_LOOP = "link_loop"
    DENIED = "denied"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    PARTLY_DAMAGED = "partly_damaged"  # and prepared as far as it goes
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    OTHER_LENGTH = "other_length"
    SMALL_CLASS = "small_class"
    SILENT = "silent"
    NON_FINITE = "non_finite"


class Rejected(DataError):
    """One recording cannot be used; others can.

    Attributes:
        reason: the code.
        detail: what was found, and what was expected.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # both arguments, so that the error can be pickled by a worker process
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value.replace('_', ' ')}: {self.detail}"

    @classmethod
    def from_os_error(cls, error: OSError) -> Self:
        """Translate an error that the operating system raised on reading a recording."""
        match error:
            case FileNotFoundError():
                return cls(Reason.MISSING, "there is no such file")
            case PermissionError():
                return cls(Reason.DENIED, "no permission to read it")
            case _:
                return cls(Reason.UNREADABLE, error.strerror or str(error))
