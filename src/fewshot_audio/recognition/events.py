"""Events: windows of the same class that follow each other, as one sound."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.enrolled import UNKNOWN, Classification
from fewshot_audio.recognition.windows import Window


@dataclass(frozen=True)
class Event:
    """A sound in a recording.

    Args:
        start: seconds from the start of the recording.
        end: seconds from the start of the recording.
        label: the class, or "unknown".
        score: the highest probability of ``label`` in the event's windows; if it is "unknown", of any class.
        unknown_score: the lowest one of the windows.
        windows: how many windows the event consists of.
        probabilities: of every class, the mean over the windows.
    """

    start: float
    end: float
    label: str
    score: float
    unknown_score: float
    windows: int
    probabilities: dict[str, float]


def decide(answer: Classification, threshold: float) -> str:
    """The answer's label; "unknown" also if the best class is less probable than ``threshold``."""
    return answer.label if answer.probabilities[answer.best] >= threshold else UNKNOWN


def make_event(start: float, end: float, label: str, answers: list[Classification]) -> Event:
    """Make an event, from ``start`` to ``end`` in seconds, of the answers for its windows, one each."""
    classes = list(answers[0].probabilities)
    table = np.array([[answer.probabilities[name] for name in classes] for answer in answers])
    score = float(table.max() if label == UNKNOWN else table[:, classes.index(label)].max())
    means = dict(zip(classes, table.mean(axis=0).tolist(), strict=True))
    return Event(start, end, label, score, min(answer.unknown_score for answer in answers), len(answers), means)


def merge(windows: Iterable[Window], rate: int, threshold: float) -> Iterator[Event]:
    """Merge windows of the same class that touch or overlap into events.

    Silent and unknown windows give no event, and end the one before them.

    Args:
        windows: the answered windows, in order.
        rate: samples a second.
        threshold: probability of the best class below which a window is unknown.
    """
    group: list[Classification] = []
    start = end = 0
    group_label = ""
    for window in windows:
        label = UNKNOWN if window.answer is None else decide(window.answer, threshold)
        if group and (label != group_label or window.start > end):
            yield make_event(start / rate, end / rate, group_label, group)
            group = []
        if label != UNKNOWN and window.answer is not None:
            if not group:
                start, group_label = window.start, label
            group.append(window.answer)
            end = window.end
    if group:
        yield make_event(start / rate, end / rate, group_label, group)
