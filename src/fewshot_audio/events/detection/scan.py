"""Many recordings, each by its own examples, all by the same ones, or by a bundle; an interrupted run continues."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.network import network_path, open_hearing, read_network_file
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.write import FileDetections
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.scan_journal import ResultJournal, recording_key


class DetectionJournal(ResultJournal[FileDetections]):
    """The journal of a detection; the fingerprint is that of ``detection_fingerprint``."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        super().__init__(path, fingerprint, _file_detections)


Search: TypeAlias = Callable[[Path, Callable[[str], None]], FileDetections]
"""Searches a recording, and reports its position in it as text; ``Searcher.search`` is one."""


def detect_files(
    files: Sequence[Path],
    search: Search,
    *,
    strict: bool = False,
    journal: DetectionJournal | None = None,
    progress: Progress = silent,
) -> Iterator[FileDetections]:
    """Detect events in each file, in order.

    Args:
        files: the recordings; for those that cannot be used the result says why.
        search: what searches each.
        strict: whether a damaged recording counts as one that cannot be used.
        journal: keeps each result; recordings that it has, unchanged since, are not read again.
        progress: reports the recordings done, and the position in a long one.
    """
    for number, path in enumerate(files):
        key = recording_key(path)
        result = journal.results.get(key) if journal else None
        report = partial(progress, "detecting", number, len(files))
        report(path.name)
        if result is None:
            result = search(path, report)
            if strict and result.damage and result.error is None:
                result = FileDetections(result.file, error=result.damage)
            if journal:
                journal.add(key, result)
        yield result
    progress("detecting", len(files), len(files))


def search_by_examples(
    annotations: Sequence[Annotation],
    options: DetectionOptions,
    *,
    shared: bool = False,
    background: Sequence[Path] = (),
) -> Search:
    """A search by marked events.

    Args:
        annotations: the examples and counterexamples.
        options: how events are searched for.
        shared: whether all recordings are searched by all examples; otherwise each by those in it.
        background: recordings that hold none of the events.

    Raises:
        DataError: the event network that the options name, or with ``shared`` the examples, cannot be used.
    """
    open_hearing(options.network)
    if shared:
        return Detector.fit(annotations, background, options).search
    return partial(_search_by_own_examples, annotations, options, background)


def detection_fingerprint(
    annotations: Sequence[Annotation], background: Sequence[Path], options: DetectionOptions, *switches: bool
) -> str:
    """A digest of all that decides the detections: examples, the recordings that they are in, options, event network.

    Raises:
        DataError: there is no such event network.
    """
    recordings = dict.fromkeys([*(mark.file for mark in annotations), *background])
    parts = [
        [[as_text(mark.file), *list(asdict(replace(mark, file=Path())).values())[1:]] for mark in annotations],
        [recording_key(path) for path in recordings],
        asdict(replace(options, network=None)),
        hashlib.sha256(read_network_file(network_path(options.network))).hexdigest(),
        switches,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def bundle_fingerprint(bundle: Path, options: DetectionOptions, *, strict: bool) -> str:
    """A digest of all that decides the detections: the bundle (whose JSON file has hashes of its tensors), options."""
    digest = hashlib.sha256((bundle / BUNDLE_FILE).read_bytes())
    digest.update(json.dumps([asdict(options), strict]).encode())
    return digest.hexdigest()


def _search_by_own_examples(
    annotations: Sequence[Annotation],
    options: DetectionOptions,
    background: Sequence[Path],
    path: Path,
    report: Callable[[str], None],
) -> FileDetections:
    if not path.exists():
        return FileDetections(as_text(path), error="missing: there is no such file")
    own = [mark for mark in annotations if mark.file == path.resolve()]
    if not any(mark.quality == "POS" for mark in own):
        return FileDetections(
            as_text(path),
            error="no example is marked in it; --shared-examples searches it by those of other recordings",
        )
    try:
        detector = Detector.fit(own, background, options)
    except DataError as error:
        return FileDetections(as_text(path), error=str(error))
    return detector.search(path, report)


def _file_detections(values: dict[str, Any]) -> FileDetections:
    return FileDetections(**{**values, "events": tuple(Detection(**event) for event in values["events"])})
