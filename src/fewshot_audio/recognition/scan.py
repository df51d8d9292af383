"""Many recordings, one after another: a bad one never stops the others, and an interrupted scan can go on."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.audio.decode import decode_blocks, is_audio
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.events import Event, decide, event, merge
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.windows import Window, scan_recording

LONGEST_CLIP = 600.0  # seconds; a longer recording is no clip with one answer
JOURNAL_FORMAT = 1


@dataclass(frozen=True)
class Options:
    """How recordings are answered: as whole clips, or with ``hop`` (seconds) in windows of a segment."""

    hop: float | None = None
    threshold: float = 0.0


@dataclass(frozen=True)
class FileResult:
    """What became of one recording: events, how many windows were unknown or silent, or why it could not be used."""

    file: str
    seconds: float = 0.0
    windows: int = 0
    unknown: int = 0
    silent: int = 0
    events: tuple[Event, ...] = ()
    error: str | None = None

    @property
    def status(self) -> str:
        """``ok``, ``nothing`` or ``error``."""
        return "error" if self.error is not None else "ok" if self.events else "nothing"

    @property
    def remark(self) -> str:
        """The status in words."""
        if self.error is not None:
            return self.error
        if self.events:
            return ""
        return f"nothing recognized (of {self.windows} windows {self.unknown} unknown, {self.silent} silent)"


def list_recordings(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """Sound files named, and those in folders and below, in order, each once; and how many other files were passed.

    Raises DataError where a path does not exist or a folder holds no sound file.
    """
    found: dict[Path, None] = {}
    passed = 0
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        here = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        sounds = [file for file in here if is_audio(file) and not file.name.startswith(".")]
        passed += len(here) - len(sounds)
        if not sounds:
            raise DataError(f"{path}: no sound files in it ({len(here)} other files)")
        found |= dict.fromkeys(sounds)
    return list(found), passed


def answer_file(
    recognizer: Recognizer, path: Path, options: Options, note: Callable[[str], None] = lambda _: None
) -> FileResult:
    """Answer for one recording; what makes it unusable is in the result's ``error``. ``note`` is told where it is."""
    try:
        if options.hop is None:
            return _whole(recognizer, path, options)
        return _windows(recognizer, path, options.hop, options.threshold, note)
    except Rejected as error:
        return FileResult(display(path), error=str(error))


def _whole(recognizer: Recognizer, path: Path, options: Options) -> FileResult:
    samples, blocks = 0, []
    for block in decode_blocks(path, recognizer.sample_rate):
        samples += len(block)
        blocks.append(block)
        if samples > LONGEST_CLIP * recognizer.sample_rate:
            raise Rejected(
                Reason.TOO_LONG,
                f"more than {LONGEST_CLIP:g} s are no clip with one answer: scan it in windows, "
                f"with a hop of {recognizer.segment_seconds:g} s or less",
            )
    preprocessing = recognizer.preprocessing
    try:
        segments = preprocessing.segments(preprocessing.normalize(np.concatenate(blocks)))
    except Rejected as error:
        if error.reason != Reason.SILENT:
            raise
        return FileResult(display(path), samples / recognizer.sample_rate, windows=1, silent=1)
    (rows,) = recognizer.embedder.clip_rows([recognizer.embedder.features(segments)])
    answer = recognizer.judge(recognizer.snapshot(), rows, len(segments))
    label, seconds = decide(answer, options.threshold), samples / recognizer.sample_rate
    found = (event(0.0, seconds, label, [answer]),)
    return FileResult(display(path), seconds, 1, int(label == UNKNOWN), 0, found)


def _windows(
    recognizer: Recognizer, path: Path, hop: float, threshold: float, note: Callable[[str], None]
) -> FileResult:
    rate = recognizer.sample_rate
    count = unknown = quiet = end = 0

    def counted() -> Iterator[Window]:
        nonlocal count, unknown, quiet, end
        for window in scan_recording(recognizer, path, hop):
            count, end = count + 1, window.end
            quiet += window.answer is None
            unknown += window.answer is not None and decide(window.answer, threshold) == UNKNOWN
            if count % 100 == 0:
                note(f"{path.name}: {end / rate / 60:.0f} min")
            yield window

    events = tuple(merge(counted(), rate, threshold))
    return FileResult(display(path), end / rate, count, unknown, quiet, events)


class Journal:
    """Results of an interrupted scan, one a line, kept beside its output; for the same bundle and options only."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self._header = json.dumps({"format": JOURNAL_FORMAT, "fingerprint": fingerprint})
        self.done: dict[str, FileResult] = {}
        lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [""]
        kept = [self._header]
        if lines[0] == self._header:
            for line in lines[1:-1]:  # behind the last newline is nothing, or what a killed process left
                try:
                    values = json.loads(line)
                    events = tuple(Event(**found) for found in values["result"].pop("events"))
                    self.done[values["key"]] = FileResult(**values["result"], events=events)
                except (ValueError, TypeError, KeyError):
                    break
                kept.append(line)
        write_text(path, "\n".join(kept) + "\n")

    def add(self, key: str, result: FileResult) -> None:
        """Record a result; it is on its way to the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, "result": asdict(result)}) + "\n")
        self.done[key] = result

    def remove(self) -> None:
        """Forget it: the scan is complete and written."""
        self.path.unlink(missing_ok=True)


def scan(
    recognizer: Recognizer,
    files: Sequence[Path],
    options: Options,
    journal: Journal | None = None,
    progress: Progress = silent,
) -> Iterator[FileResult]:
    """Answer for each file, in order; those that the journal knows, unchanged since, are not read again."""
    for number, path in enumerate(files):
        key = _key(path)
        known = journal.done.get(key) if journal else None
        progress("classifying", number, len(files), path.name)

        def note(details: str, number: int = number) -> None:
            progress("classifying", number, len(files), details)

        result = known or answer_file(recognizer, path, options, note)
        if journal and known is None:
            journal.add(key, result)
        yield result
    progress("classifying", len(files), len(files))


def fingerprint(bundle: Path, options: Options) -> str:
    """Changes with whatever changes answers: the bundle (its description holds hashes of its tensors), the options."""
    digest = hashlib.sha256((bundle / BUNDLE_FILE).read_bytes())
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    return digest.hexdigest()


def display(path: Path) -> str:
    """A path as text that can be written anywhere; bytes that are no text are shown as such."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _key(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return display(path)
    return f"{display(path.absolute())}|{stat.st_size}|{stat.st_mtime_ns}"
