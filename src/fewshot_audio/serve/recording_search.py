"""Searching a long recording for the events of which a few are marked."""

from collections.abc import Sequence

from fewshot_audio.errors import DataError
from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.serve.long_recording import LongRecording

LOWEST_SCORE = 0.2  # of an answer; the page has a threshold of its own above it
SAME_EVENT = 0.3  # intersection over union
BLOCK_SECONDS = 60.0  # after which a search reports
FIRST_MINUTES = 3
"""Of a recording more than twice as long, what these hold is told while the rest is searched."""


def warm_up() -> None:
    """Load what a search needs, while the recording is read and looked at."""
    from fewshot_audio.events.detection import detector  # noqa: F401
    from fewshot_audio.events.detection.network import open_hearing
    from fewshot_audio.events.detection.rescore import shipped_embedder

    open_hearing()
    shipped_embedder()


def search(recording: LongRecording, marks: Sequence[Annotation], *, complete_between: bool | None) -> None:
    """Learn from marks and find the rest; what was marked, as an event or as none, is not found again.

    Of a long recording, the first search has the events of its first minutes before those of all of it.

    Raises:
        DataError: there are too few examples, or the recording is silent.
        Removed: the recording was removed meanwhile.
    """
    from fewshot_audio.events.detection.detector import Detector
    from fewshot_audio.events.detection.network_graph import build_graphs_in_background
    from fewshot_audio.events.detection.options import DetectionOptions

    options = DetectionOptions(threshold=LOWEST_SCORE, complete_between=complete_between)
    detector = Detector.fit(marks, options=options)
    recording.progress = "searching"
    if not recording.searches and recording.seconds > 2 * 60.0 * FIRST_MINUTES:
        first = detector.search(recording.sound, lambda _: recording.check_running(), minutes=FIRST_MINUTES)
        recording.check_running()
        recording.events = without_rejected(first.events, marks)
        recording.found_until = 60.0 * FIRST_MINUTES
    blocks = 0

    def report(_: str) -> None:
        nonlocal blocks
        recording.check_running()
        recording.searched = min(1.0, blocks * BLOCK_SECONDS / recording.seconds)
        blocks += 1

    result = detector.search(recording.sound, report)
    recording.check_running()
    if result.error is not None:
        raise DataError(result.error)
    recording.events = without_rejected(result.events, marks)
    recording.searches += 1
    recording.searched, recording.found_until = 1.0, recording.seconds
    recording.progress = "ready"
    build_graphs_in_background()  # for the next start of the server


def without_rejected(events: Sequence[Detection], marks: Sequence[Annotation]) -> list[Detection]:
    """The events that nobody has rejected: none is where a mark says that its label is not."""
    rejected = [mark for mark in marks if mark.quality == "NEG"]
    return [event for event in events if not any(_is_same(event, mark) for mark in rejected)]


def _is_same(event: Detection, mark: Annotation) -> bool:
    common = min(event.end, mark.end) - max(event.start, mark.start)
    union = max(event.end, mark.end) - min(event.start, mark.start)
    return event.label == mark.label and common > SAME_EVENT * union
