"""Evaluation of detections against truth: per label, per recording, per set, and all together."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from fewshot_audio.errors import ConfigError, DataError, plural
from fewshot_audio.events.outcomes import Outcome, Status, TrueEvents
from fewshot_audio.events.pairing import EventTables, RecordingName, match_labels, match_recordings
from fewshot_audio.events.rows import EventRow
from fewshot_audio.events.scores import CurvePoint, EventScore, curve, harmonic_mean, score_outcomes


@dataclass(frozen=True)
class EvaluationOptions:
    """How detections are compared with the truth.

    Attributes:
        least_overlap: least intersection over union of a match, above 0.
        skip_first: how many events of each label and recording, the first ones, were given as examples.
        threshold: detections of a lower score are left out.
        only_annotated: whether detections in recordings without annotations are left out; else they are wrong.
        seed: of the bootstrap.
    """

    least_overlap: float = 0.3
    skip_first: int = 0
    threshold: float | None = None
    only_annotated: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.least_overlap <= 1:
            raise ConfigError(f"least_overlap is {self.least_overlap:g}, expected above 0 and at most 1")
        if self.skip_first < 0:
            raise ConfigError(f"skip_first is {self.skip_first}, expected 0 or more")


class Mark(NamedTuple):
    """An event of the truth or a detection, and what became of it."""

    start: float
    end: float
    label: str
    is_detection: bool
    status: Status | Literal["unsure"]


@dataclass(frozen=True)
class EventEvaluation:
    """Scores of detections.

    Attributes:
        total: of all labels and recordings together.
        labels: of each label, in all recordings.
        recordings: of each recording, of all labels.
        sets: of each set, which is the folder of a recording or of its table.
        harmonic_f1: harmonic mean of the sets' F1.
        curve: precision and recall of all together by threshold; empty if the detections have no scores.
        marks: of each recording the events of both sides, and what became of them.
        problems: what is left out of the tables, a line each.
        remarks: what was taken otherwise than it stands there.
    """

    total: EventScore
    labels: Mapping[str, EventScore]
    recordings: Mapping[str, EventScore]
    sets: Mapping[str, EventScore]
    harmonic_f1: float | None
    curve: tuple[CurvePoint, ...]
    marks: Mapping[str, tuple[Mark, ...]]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def best(self) -> CurvePoint | None:
        """The threshold at which F1 is highest."""
        return max(self.curve, key=lambda point: point.f1, default=None)


@dataclass
class _Cell:
    """The events of one label in one recording."""

    positive: list[tuple[float, float]] = field(default_factory=list)
    unsure: list[tuple[float, float]] = field(default_factory=list)
    detections: list[tuple[float, float, float]] = field(default_factory=list)  # and their scores

    def outcome(self, options: EvaluationOptions) -> Outcome:
        """Match them."""
        positive, unsure = (np.array(events, float).reshape(-1, 2) for events in (self.positive, self.unsure))
        detections = np.array(self.detections, float).reshape(-1, 3)
        truth = TrueEvents(positive, unsure)
        return Outcome.of(truth, detections[:, :2], detections[:, 2], options.least_overlap, options.skip_first)


_Key = tuple[RecordingName, str]


def evaluate_events(
    truth: EventTables, detections: EventTables, options: EvaluationOptions = EvaluationOptions()
) -> EventEvaluation:
    """Compare detections with the truth: one to one, as many as possible.

    In the truth, NEG rows say that there is nothing to be found, and UNK rows are neither right nor wrong; detections
    that are no POS rows do not count.

    Raises:
        DataError: there is nothing to compare, a recording of the detections may be several of the truth's, or events
            overlap too much.
    """
    remarks = [*truth.remarks, *detections.remarks]
    cells = _cells(truth, detections, options, remarks)
    outcomes = {key: cell.outcome(options) for key, cell in cells.items()}

    def score(keys: list[_Key]) -> EventScore:
        return score_outcomes([outcomes[key] for key in keys], [recording for recording, _ in keys], options.seed)

    def grouped(group: Callable[[_Key], str]) -> dict[str, EventScore]:
        keys: dict[Hashable, list[_Key]] = {}
        for key in outcomes:
            keys.setdefault(group(key), []).append(key)
        return {str(name): score(members) for name, members in sorted(keys.items(), key=lambda item: str(item[0]))}

    names = _shown_names({**detections.names, **truth.names})
    sets = grouped(lambda key: key[0][1] if len(key[0]) > 1 else "")
    has_scores = any(named.row.score is not None for named in detections.rows)
    return EventEvaluation(
        score(list(outcomes)),
        grouped(lambda key: key[1]),
        grouped(lambda key: names[key[0]]),
        sets,
        harmonic_mean([each.f1 for each in sets.values()]),
        tuple(curve(list(outcomes.values()))) if has_scores else (),
        _marks(cells, outcomes, names),
        (*truth.problems, *detections.problems),
        tuple(remarks),
    )


def _cells(
    truth: EventTables, detections: EventTables, options: EvaluationOptions, remarks: list[str]
) -> dict[_Key, _Cell]:
    cells: dict[_Key, _Cell] = {}
    for name, row in truth.rows:
        cell = cells.setdefault((name, row.label), _Cell())
        if row.quality == "POS":
            cell.positive.append((row.start, row.end))
        elif row.quality == "UNK":
            cell.unsure.append((row.start, row.end))
    same, only_label = match_recordings(truth, detections), match_labels(truth, detections)
    foreign: set[str] = set()
    for name, row in detections.rows:
        own = same[name]
        if own is None:
            foreign.add(detections.names[name])
            if options.only_annotated:
                continue
        if row.quality == "POS" and _passes(row, options.threshold):
            key = name if own is None else own, only_label or row.label
            event = row.start, row.end, 1.0 if row.score is None else row.score
            cells.setdefault(key, _Cell()).detections.append(event)
    if foreign:
        done = "left out" if options.only_annotated else "wrong"
        remarks.append(
            f"{plural(len(foreign), 'recording')} of {detections.path} not named in {truth.path}, such as "
            f"{min(foreign)!r}: detections there are {done}"
        )
    if not cells:
        raise DataError(f"{truth.path} and {detections.path} have no events to compare")
    return cells


def _marks(
    cells: Mapping[_Key, _Cell], outcomes: Mapping[_Key, Outcome], names: Mapping[RecordingName, str]
) -> dict[str, tuple[Mark, ...]]:
    marks: dict[str, list[Mark]] = {}
    for key, cell in cells.items():
        own, label = marks.setdefault(names[key[0]], []), key[1]
        detections = [(start, end) for start, end, _ in cell.detections]
        for is_detection, events, statuses in (
            (False, cell.positive, outcomes[key].event_status),
            (True, detections, outcomes[key].detection_status),
        ):
            own += [Mark(*event, label, is_detection, status) for event, status in zip(events, statuses, strict=True)]
        own += [Mark(*event, label, False, "unsure") for event in cell.unsure]
    return {name: tuple(sorted(own)) for name, own in marks.items()}


def _shown_names(names: Mapping[RecordingName, str]) -> dict[RecordingName, str]:
    """What tables call recordings; with the folders if that is not enough to tell them apart."""
    counts = Counter(names.values())
    return {key: text if counts[text] == 1 else "/".join(reversed(key)) for key, text in names.items()}


def _passes(row: EventRow, threshold: float | None) -> bool:
    return threshold is None or row.score is None or row.score >= threshold
