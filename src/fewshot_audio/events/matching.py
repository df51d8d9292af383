"""Matching of detections with true events: one to one, as many as possible, the best scores first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError

Intervals = NDArray[np.float64]
"""Starts and ends, (n, 2)."""

MAX_PAIRS = 20_000_000


def overlap_ratios(truth: Intervals, detections: Intervals, least: float) -> list[NDArray[np.int64]]:
    """For each detection the true events whose intersection over union with it is ``least`` or more, the best first.

    Args:
        truth: (n, 2).
        detections: (m, 2).
        least: above 0, at most 1.

    Raises:
        DataError: events overlap each other so much that comparing them would take hours.
    """
    order = np.argsort(truth[:, 0], kind="stable")
    starts, ends = truth[order, 0], truth[order, 1]
    lengths = detections[:, 1] - detections[:, 0]
    # An event that begins earlier than this is too long for its share in the union.
    first = np.searchsorted(starts, detections[:, 0] - lengths / least, side="left")
    last = np.searchsorted(starts, detections[:, 1], side="left")
    pairs = int((last - first).sum())
    if pairs > MAX_PAIRS:
        raise DataError(f"{len(truth)} events and {len(detections)} detections overlap in {pairs} pairs: too many")
    neighbors = []
    for (start, end), begin, stop in zip(detections.tolist(), first.tolist(), last.tolist(), strict=True):
        inside = np.minimum(ends[begin:stop], end) - np.maximum(starts[begin:stop], start)
        union = np.maximum(ends[begin:stop], end) - np.minimum(starts[begin:stop], start)
        ratio = np.where(inside > 0, inside / union, 0.0)
        # Times are decimal fractions: 0.3 of exactly 0.3 must not fail by a rounding error.
        close = np.flatnonzero(ratio >= least * (1 - 1e-9))
        best = close[np.argsort(-ratio[close], kind="stable")]
        neighbors.append(order[begin + best])
    return neighbors


class Matching:
    """A matching that grows: each detection is added if that makes it larger, and then never leaves it.

    Added in the order of their scores, the detections above any threshold are matched with as many events as is
    possible for them alone, since matched sets are those of a matroid.

    Args:
        n_events: how many true events there are.
    """

    def __init__(self, n_events: int) -> None:
        self._detection_of: list[int | None] = [None] * n_events
        self._neighbors: dict[int, Sequence[int]] = {}
        self._is_closed = [False] * n_events  # no path from there leads to a free event, now or later

    def add(self, detection: int, events: Sequence[int]) -> bool:
        """Match a detection with one of ``events``, perhaps by giving others another event; False if that fails."""
        self._neighbors[detection] = events
        via: dict[int, int] = {}  # by event: the detection from which the search came to it
        pending = [detection]
        for current in pending:  # grows: a search in breadth, so that paths are short
            for event in self._neighbors[current]:
                if event in via or self._is_closed[event]:
                    continue
                via[event] = current
                owner = self._detection_of[event]
                if owner is None:
                    self._turn(event, via, detection)
                    return True
                pending.append(owner)
        for event in via:
            self._is_closed[event] = True
        return False

    def _turn(self, event: int, via: dict[int, int], first: int) -> None:
        """Give each event on the path to the detection from which the search came to it."""
        event_of = {owner: index for index in via if (owner := self._detection_of[index]) is not None}
        while True:
            detection = via[event]
            self._detection_of[event] = detection
            if detection == first:
                return
            event = event_of[detection]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The matched events with their detections."""
        return [(event, owner) for event, owner in enumerate(self._detection_of) if owner is not None]
