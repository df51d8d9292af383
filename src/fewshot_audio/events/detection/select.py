"""From candidates to events: threshold, minimum duration, merging, and which label wins."""

from collections.abc import Sequence
from dataclasses import replace

from fewshot_audio.events.annotation import Detection


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


def best_scored(events: Sequence[Detection], most: int) -> list[Detection]:
    """At most so many events, those of the highest scores; in the order that they had."""
    chosen = sorted(range(len(events)), key=lambda number: -events[number].score)[:most]
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
