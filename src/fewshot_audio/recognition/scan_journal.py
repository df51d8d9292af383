"""The results of an interrupted scan, so that the same command continues where it stopped."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from fewshot_audio.files import explained_writes, write_text
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.events import Event
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.results import FileResult

FORMAT = 1


class ScanJournal:
    """A file beside the output of a scan, with one result a line.

    Args:
        path: the file, written when the first result is added; results in it are taken over if its fingerprint is the
            same.
        fingerprint: stands for the bundle and the options, as ``scan_fingerprint`` gives it.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.results: dict[str, FileResult] = {}
        header = json.dumps({"format": FORMAT, "fingerprint": fingerprint})
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else [""]
        self._intact = [header]
        if lines[0] == header:
            for line in lines[1:-1]:  # after the last newline there is nothing, or what a killed process left
                try:
                    values = json.loads(line)
                    events = tuple(Event(**event) for event in values["result"].pop("events"))
                    self.results[values["key"]] = FileResult(**values["result"], events=events)
                except (ValueError, TypeError, KeyError):
                    break
                self._intact.append(line)

    def add(self, key: str, result: FileResult) -> None:
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
