"""A recording in an index: its name and content, its windows, and where and when it was made."""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from fewshot_audio.archive.description import IndexDescription
from fewshot_audio.errors import DataError, on_one_line

LONGEST_NAME = 4096
LONGEST_TEXT = 2000
LARGEST_NUMBER = 2**53
LATEST = 2**63  # nanoseconds, of either sign: some clocks are set before 1970


@dataclass(frozen=True, slots=True)
class IndexedRecording:
    """A recording.

    Args:
        file: its path below the archive's folder, with forward slashes.
        size: of the file, in bytes; 0 if it could not be opened.
        modified: time of its last change, nanoseconds since 1970; 0 if it could not be opened.
        windows: how many windows it has; 0 if it cannot be used.
        samples: where its last window ends, at the rate at which recordings are read.
        rate: the file's own sample rate, Hz.
        time: when it was begun, as its recorder or its name says, ISO 8601 without a time zone; "" if neither does.
        site: where it was made, by its name or folder; "" if neither says.
        recorder: what made it, as the file says; "" if it does not.
        damage: what is wrong with the file, of which the rest was embedded; "" if nothing is.
        silence: why nothing is to be heard in the whole of it; "" if something is.
        error: why it cannot be used; "" if it can.
    """

    file: str
    size: int
    modified: int
    windows: int = 0
    samples: int = 0
    rate: int = 0
    time: str = ""
    site: str = ""
    recorder: str = ""
    damage: str = ""
    silence: str = ""
    error: str = ""

    def window(self, number: int, description: IndexDescription) -> tuple[float, float]:
        """Start and end of a window, in seconds from the start of the recording."""
        start = number * description.hop
        return start / description.rate, min(start + description.window, self.samples) / description.rate

    def is_embedded_as(self, indexed: "IndexedRecording") -> bool:
        """Whether this recording is the one that was embedded, or the one that could not be used."""
        return (self.size, self.modified) == (indexed.size, indexed.modified)

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps({name: getattr(self, name) for name in _NAMES if getattr(self, name) or name in _ALWAYS})


_FIELDS = {field.name: field.type for field in fields(IndexedRecording)}
_NAMES = tuple(_FIELDS)
_ALWAYS = ("file", "size", "modified")
_TYPES = {name: int if kind in (int, "int") else str for name, kind in _FIELDS.items()}


def recording_of(values: dict[str, Any], description: IndexDescription) -> IndexedRecording:
    """The recording of a line that anybody may have written.

    Raises:
        DataError: the line has another key, type or number than ``line`` writes, or a path that leads elsewhere.
    """
    for name, value in values.items():
        _check_value(name, value)
    if missing := [name for name in _ALWAYS if name not in values]:
        raise DataError(f"without {missing[0]}")
    recording = IndexedRecording(**values)
    check_name(recording.file)
    windows, hop = recording.windows, description.hop
    if windows and not (windows - 1) * hop < recording.samples <= (windows - 1) * hop + description.window:
        raise DataError(f"{windows} windows of a recording of {recording.samples} samples do not fit")
    if recording.time:
        try:
            is_plain = datetime.fromisoformat(recording.time).isoformat() == recording.time
        except ValueError:
            is_plain = False
        if not is_plain or len(recording.time) != len("2024-01-31T23:59:00"):
            raise DataError(f"time is {on_one_line(recording.time[:40])!r}, expected as 2024-01-31T23:59:00")
    return recording


def _check_value(name: str, value: object) -> None:
    """Raise DataError if a key or its value is none that ``line`` writes."""
    if name not in _TYPES:
        raise DataError(f"unknown key {on_one_line(name[:40])!r}")
    shown = on_one_line(repr(value)[:40])
    if _TYPES[name] is int:
        least, largest = (-LATEST, LATEST) if name == "modified" else (0, LARGEST_NUMBER)
        if type(value) is not int or not least <= value <= largest:  # true is 1 for Python
            raise DataError(f"{name} is {shown}, expected a whole number from {least} to {largest}")
    else:
        longest = LONGEST_NAME if name == "file" else LONGEST_TEXT
        if not isinstance(value, str) or len(value) > longest:
            raise DataError(f"{name} is {shown}, expected text of at most {longest} characters")


def check_name(name: str) -> None:
    """Raise DataError if a name of a recording is no path below a folder."""
    path = PurePosixPath(name)
    # A drive or a share of Windows, too: an index may come from there, or go there.
    elsewhere = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0] if path.parts else True
    if elsewhere or "\0" in name:
        raise DataError(f"file is {on_one_line(name[:100])!r}, expected a path below the archive's folder")


def locate(archive: Path, name: str) -> Path:
    """The path of a recording in an archive's folder.

    Raises:
        DataError: it leads outside of that folder, by a link too.
    """
    check_name(name)
    path = archive / name
    if not path.resolve().is_relative_to(archive.resolve()):
        raise DataError(f"{on_one_line(str(path))}: a link that leads outside of {archive}")
    return path
