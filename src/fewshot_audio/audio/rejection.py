"""Why one input cannot be used: a code that programs can count, and a detail that a person can act on."""

from enum import StrEnum

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
    NEEDS_FFMPEG = "needs_ffmpeg"
    DAMAGED = "damaged"
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    OTHER_LENGTH = "other_length"
    SMALL_CLASS = "small_class"
    SILENT = "silent"
    NON_FINITE = "non_finite"


class Rejected(DataError):
    """One recording cannot be used; the others can."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(
            reason, detail
        )  # both arguments, so that the error survives the way back from a worker process
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.value.replace('_', ' ')}: {self.detail}"


def rejection(error: OSError) -> Rejected:
    """What an operating system error on reading an input means for it."""
    match error:
        case FileNotFoundError():
            return Rejected(Reason.MISSING, "there is no such file")
        case PermissionError():
            return Rejected(Reason.DENIED, "no permission to read it")
        case _:
            return Rejected(Reason.UNREADABLE, error.strerror or str(error))
