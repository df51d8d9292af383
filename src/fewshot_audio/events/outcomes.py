"""What became of the detections and true events of one label in one recording."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.matching import Intervals, Matching, overlap_ratios

Status: TypeAlias = Literal["right", "wrong", "missed", "left out"]


@dataclass(frozen=True)
class TrueEvents:
    """The annotated events of one label in one recording, in any order.

    Args:
        positive: the events that are to be found, (n, 2).
        unsure: events that may be the label's, (k, 2): finding one is neither right nor wrong.
    """

    positive: Intervals
    unsure: Intervals

    def given_until(self, skip_first: int) -> float:
        """The end of the first events, which a detector was given as examples; -inf if there are none."""
        if not skip_first or not len(self.positive):
            return -np.inf
        order = np.lexsort((self.positive[:, 1], self.positive[:, 0]))
        return float(self.positive[order[:skip_first][-1], 1])


@dataclass(frozen=True)
class Outcome:
    """What became of them.

    Attributes:
        n_events: how many events were to be found.
        scores: of the detections that count, the highest first.
        is_right: whether each of these is matched with an event.
        onset_errors: of the matched ones: start less the event's, seconds.
        offset_errors: end less the event's, seconds.
        detection_status: of all detections, as they were given.
        event_status: of all positive events, as they were given.
    """

    n_events: int
    scores: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    onset_errors: NDArray[np.float64]
    offset_errors: NDArray[np.float64]
    detection_status: tuple[Status, ...]
    event_status: tuple[Status, ...]

    @property
    def left_out(self) -> int:
        """How many detections are neither right nor wrong."""
        return self.detection_status.count("left out")

    @classmethod
    def of(
        cls,
        truth: TrueEvents,
        detections: Intervals,
        scores: NDArray[np.float64],
        least_overlap: float = 0.3,
        skip_first: int = 0,
    ) -> Self:
        """Match detections with true events.

        A detection that is matched with no event is left out if it can be matched with an unsure one, one to one, or
        if it begins before the end of the examples.

        Args:
            truth: the true events.
            detections: (m, 2).
            scores: of the detections, (m,).
            least_overlap: least intersection over union of a match.
            skip_first: how many events, the first ones, were given as examples: what ends before the last of them does
                is left out.

        Raises:
            DataError: events overlap each other too much.
        """
        given_until = truth.given_until(skip_first)
        to_find = np.flatnonzero(truth.positive[:, 1] > given_until)
        positive, unsure = truth.positive[to_find], truth.unsure  # an early one: what overlaps it begins early too
        order = np.argsort(-scores, kind="stable")
        order = order[detections[order, 1] > given_until]
        kept = detections[order]
        events, unsure_events = Matching(len(positive)), Matching(len(unsure))
        close, unsure_close = (overlap_ratios(true, kept, least_overlap) for true in (positive, unsure))
        statuses: list[Status] = []
        for number, start in enumerate(kept[:, 0].tolist()):
            if events.add(number, close[number].tolist()):
                statuses.append("right")
            elif unsure_events.add(number, unsure_close[number].tolist()) or start < given_until:
                statuses.append("left out")
            else:
                statuses.append("wrong")
        pairs = np.array(events.pairs, dtype=np.int64).reshape(-1, 2)
        errors = kept[pairs[:, 1]] - positive[pairs[:, 0]]
        counts = np.array([status != "left out" for status in statuses], dtype=bool)
        of_detections: list[Status] = ["left out"] * len(detections)
        for index, status in zip(order.tolist(), statuses, strict=True):
            of_detections[index] = status
        of_events: list[Status] = ["left out"] * len(truth.positive)
        for index in to_find.tolist():
            of_events[index] = "missed"
        for index in to_find[pairs[:, 0]].tolist():
            of_events[index] = "right"
        return cls(
            len(positive),
            scores[order][counts],
            np.array([status == "right" for status in statuses], dtype=bool)[counts],
            errors[:, 0],
            errors[:, 1],
            tuple(of_detections),
            tuple(of_events),
        )
