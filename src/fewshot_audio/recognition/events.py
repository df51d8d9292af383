"""Events: windows that follow each other with the same answer, as one stretch of time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.enrolled import UNKNOWN, Classification
from fewshot_audio.recognition.windows import Window


@dataclass(frozen=True)
class Event:
    """A sound from ``start`` to ``end`` (seconds).

    ``score`` is the highest probability of ``label`` in its windows, ``unknown_score`` the lowest in them;
    ``probabilities`` of every class are means over the windows.
    """

    start: float
    end: float
    label: str
    score: float
    unknown_score: float
    windows: int
    probabilities: dict[str, float]


def decide(answer: Classification, threshold: float) -> str:
    """The answer's label; "unknown" too where the best class is less probable than ``threshold``."""
    return answer.label if answer.probabilities[answer.best] >= threshold else UNKNOWN


def event(start: float, end: float, label: str, answers: list[Classification]) -> Event:
    """One event of the answers for its windows."""
    classes = list(answers[0].probabilities)
    table = np.array([[answer.probabilities[name] for name in classes] for answer in answers])
    chosen = label if label != UNKNOWN else None
    score = float(table[:, classes.index(chosen)].max() if chosen is not None else table.max())
    means = dict(zip(classes, table.mean(axis=0).tolist(), strict=True))
    return Event(start, end, label, score, min(answer.unknown_score for answer in answers), len(answers), means)


def merge(windows: Iterable[Window], rate: int, threshold: float) -> Iterator[Event]:
    """Merge windows of the same class that touch or overlap; silent and unknown ones are no events and end one."""
    group: list[Classification] = []
    start = end = 0
    label = ""
    for window in windows:
        found = UNKNOWN if window.answer is None else decide(window.answer, threshold)
        if group and (found != label or window.start > end):
            yield event(start / rate, end / rate, label, group)
            group = []
        if found != UNKNOWN and window.answer is not None:
            if not group:
                start, label = window.start, found
            group.append(window.answer)
            end = window.end
    if group:
        yield event(start / rate, end / rate, label, group)
