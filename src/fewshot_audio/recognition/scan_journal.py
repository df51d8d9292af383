"""The results of an interrupted scan, so that the same command continues where it stopped."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fewshot_audio.files import explained_writes, write_text
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.results import FileResult

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FORMAT = 1

ResultT = TypeVar("ResultT", bound="DataclassInstance")


class ResultJournal(Generic[ResultT]):
    """A file beside the output of long work, with one recording's result a line.

    Args:
        path: the file, written when the first result is added; results in it are taken over if its fingerprint is the
            same.
        fingerprint: stands for all that decides the results.
        revive: makes a result of the values of its fields; raises ValueError, TypeError or KeyError if they are none.
    """

    def __init__(self, path: Path, fingerprint: str, revive: Callable[[dict[str, Any]], ResultT]) -> None:
        self.path = path
        self.results: dict[str, ResultT] = {}
        header = json.dumps({"format": FORMAT, "fingerprint": fingerprint})
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else [""]
        self._intact = [header]
        if lines[0] == header:
            for line in lines[1:-1]:  # after the last newline there is nothing, or what a killed process left
                try:
                    values = json.loads(line)
                    self.results[values["key"]] = revive(values["result"])
                except (ValueError, TypeError, KeyError):
                    break
                self._intact.append(line)

    def add(self, key: str, result: ResultT) -> None:
        """Record a result; it has been handed to the operating system when this returns."""
        if self._intact:
            write_text(self.path, "\n".join(self._intact) + "\n")
            self._intact = []
        with explained_writes(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, "result": asdict(result)}) + "\n")
        self.results[key] = result

    def remove(self) -> None:
        """Delete the file: the scan is complete, and its answers are written."""
        self.path.unlink(missing_ok=True)


class ScanJournal(ResultJournal[FileResult]):
    """The journal of a scan; the fingerprint is that of ``scan_fingerprint``."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        super().__init__(path, fingerprint, _file_result)


def _file_result(values: dict[str, Any]) -> FileResult:
    return FileResult(**{**values, "events": tuple(Event(**event) for event in values["events"])})


def scan_fingerprint(bundle: Path, options: ScanOptions) -> str:
    """A digest of all that decides the answers: the bundle (its JSON file has hashes of its tensors), the options."""
    digest = hashlib.sha256((bundle / BUNDLE_FILE).read_bytes())
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    return digest.hexdigest()


def recording_key(path: Path) -> str:
    """Identifies a recording and its content by path, size and time of the last change."""
    try:
        stat = path.stat()
    except OSError:
        return as_text(path)
    return f"{as_text(path.absolute())}|{stat.st_size}|{stat.st_mtime_ns}"
