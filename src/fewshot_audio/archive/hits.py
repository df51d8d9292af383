"""Windows that a search shows, as results that the writers of events take."""

from collections.abc import Sequence
from pathlib import Path

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.archive.search import Hit
from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.write import FileDetections
from fewshot_audio.recognition.clips import as_text


def ranked_results(index: Index, hits: Sequence[Hit], label: str, archive: Path | None) -> list[FileDetections]:
    """A result for each window, in the order in which they are shown."""
    results = []
    for hit in hits:
        recording, start, end = index.times(hit.window)
        results.append(_result(index, recording, (Detection(start, end, label, hit.score),), archive))
    return results


def results_by_recording(index: Index, hits: Sequence[Hit], label: str, archive: Path | None) -> list[FileDetections]:
    """A result for each recording, with its windows in the order of time."""
    events: dict[str, tuple[IndexedRecording, list[Detection]]] = {}
    for hit in sorted(hits, key=lambda hit: hit.window):
        recording, start, end = index.times(hit.window)
        events.setdefault(recording.file, (recording, []))[1].append(Detection(start, end, label, hit.score))
    return [_result(index, recording, tuple(own), archive) for recording, own in events.values()]


def _result(
    index: Index, recording: IndexedRecording, events: tuple[Detection, ...], archive: Path | None
) -> FileDetections:
    file = as_text(archive / recording.file if archive else recording.file)
    seconds = recording.samples / index.description.rate
    return FileDetections(file, seconds, events, recording.rate, recording.damage)
