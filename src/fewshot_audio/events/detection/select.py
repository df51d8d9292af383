"""From candidates to events: merging, how many there may be, and which label wins."""

from collections.abc import Sequence
from dataclasses import replace

from fewshot_audio.events.annotation import Detection

USUAL, MOST = (1.5, 10), (3.0, 20)
"""How many times as many events as expected are usual, and may be there at most; and numbers that always may."""
ALL_BUT_SURE = 0.95
"""Score of an event beyond the usual number, at least."""


def merged(events: Sequence[Detection], gap: float | None) -> list[Detection]:
    """Events of one label in order; those with a pause of less than ``gap`` seconds between them become one."""
    joined: list[Detection] = []
    for event in sorted(events, key=lambda event: event.start):
        if gap is not None and joined and event.start - joined[-1].end < gap:
            last = joined[-1]
            joined[-1] = replace(last, end=max(last.end, event.end), score=max(last.score, event.score))
        else:
            joined.append(event)
    return joined


def plausibly_many(events: Sequence[Detection], expected: float) -> list[Detection]:
    """Not many more events than expected: as many as are usual, and up to a limit those that are all but sure.

    Args:
        events: of one label.
        expected: how many there would be if they were as frequent as among the examples.

    Returns:
        Those of the highest scores, in the order that they had.
    """
    usual, most = (max(least, round(factor * expected)) for factor, least in (USUAL, MOST))
    by_score = sorted(range(len(events)), key=lambda number: -events[number].score)
    chosen = [n for rank, n in enumerate(by_score[:most]) if rank < usual or events[n].score >= ALL_BUT_SURE]
    return [events[number] for number in sorted(chosen)]


def without_overlaps(events: Sequence[Detection]) -> list[Detection]:
    """Events of which none overlaps one of another label with a higher score by more than half of the shorter."""
    kept: list[Detection] = []
    for event in sorted(events, key=lambda event: (-event.score, event.start, event.label)):
        for other in kept:
            common = min(event.end, other.end) - max(event.start, other.start)
            shorter = min(event.end - event.start, other.end - other.start)
            if event.label != other.label and common > shorter / 2:
                break
        else:
            kept.append(event)
    return sorted(kept, key=lambda event: (event.start, event.end, event.label))
