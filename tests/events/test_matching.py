"""Matching one to one, against brute force over all matchings and SciPy's maximum matching."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from fewshot_audio.errors import DataError
from fewshot_audio.events import matching
from fewshot_audio.events.matching import Intervals, Matching, overlap_ratios
from fewshot_audio.events.outcomes import Outcome, TrueEvents

NONE = np.empty((0, 2))
Pairs = Sequence[tuple[float, float]]

# Times on a grid give equal overlaps, and overlaps of exactly the least ratio.
interval = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda pair: (pair[0] / 2, (pair[0] + pair[1]) / 2))


def array(events: Pairs) -> Intervals:
    return np.array(events, dtype=float).reshape(-1, 2)


def ratio(a: tuple[float, float], b: tuple[float, float]) -> float:
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / (max(a[1], b[1]) - min(a[0], b[0]))


def largest_matching(truth: Pairs, detections: Pairs, least: float) -> int:
    """By trying all ways to give each detection an event or none."""
    choices = [[None, *(n for n, event in enumerate(truth) if ratio(event, d) >= least)] for d in detections]
    sizes = [0]
    for choice in itertools.product(*choices):
        taken = [event for event in choice if event is not None]
        if len(taken) == len(set(taken)):
            sizes.append(len(taken))
    return max(sizes)


def outcome(truth: Pairs, detections: Pairs, scores: Sequence[float] | None = None, **options: float) -> Outcome:
    values = np.array(scores if scores is not None else np.ones(len(detections)), dtype=float)
    return Outcome.of(TrueEvents(array(truth), NONE), array(detections), values, **options)  # type: ignore[arg-type]


@given(st.lists(interval, max_size=5), st.lists(interval, max_size=5), st.sampled_from([0.3, 0.5, 1.0]))
@settings(deadline=None, max_examples=300)
def test_as_many_as_possible_are_matched(truth: Pairs, detections: Pairs, least: float) -> None:
    result = outcome(truth, detections, least_overlap=least)
    assert result.is_right.sum() == largest_matching(truth, detections, least)


@given(st.lists(interval, max_size=25), st.lists(interval, max_size=25), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150)
def test_so_it_is_above_every_threshold(truth: Pairs, detections: Pairs, random: "np.random.RandomState") -> None:
    scores = [random.random() for _ in detections]  # type: ignore[attr-defined]
    result = outcome(truth, detections, scores)
    order = sorted(range(len(scores)), key=lambda n: -scores[n])
    for count in range(1, len(order) + 1):
        close = [[ratio(event, detections[n]) >= 0.3 for event in truth] for n in order[:count]]
        graph = csr_matrix(np.array(close, dtype=bool).reshape(count, len(truth)))
        largest = (maximum_bipartite_matching(graph, perm_type="column") >= 0).sum() if truth else 0
        assert result.is_right[:count].sum() == largest


@given(st.lists(interval, max_size=10), st.lists(interval, max_size=10))
@settings(deadline=None, max_examples=100)
def test_neighbors_are_those_of_all_pairs_the_best_first(truth: Pairs, detections: Pairs) -> None:
    neighbors = overlap_ratios(array(truth), array(detections), 0.3)
    for detection, own in zip(detections, neighbors, strict=True):
        ratios = [ratio(truth[n], detection) for n in own]
        assert ratios == sorted(ratios, reverse=True)
        assert sorted(own) == [n for n, event in enumerate(truth) if ratio(event, detection) >= 0.3]


def test_a_detection_gives_way_to_one_that_has_no_other_event() -> None:
    growing = Matching(2)
    assert growing.add(0, [0, 1])
    assert growing.add(1, [0])
    assert sorted(growing.pairs) == [(0, 1), (1, 0)]
    assert not growing.add(2, [0, 1])
    assert sorted(growing.pairs) == [(0, 1), (1, 0)]


def test_a_ratio_of_exactly_the_least_is_a_match() -> None:
    assert outcome([(0, 1)], [(0.7, 1.0)]).is_right.all()
    assert outcome([(0, 10)], [(7.1, 10.0)]).is_right.tolist() == [False]


def test_errors_of_onset_and_offset_are_of_the_detection_less_the_event() -> None:
    result = outcome([(1, 2), (5, 6)], [(5.25, 6.5), (0.875, 2)])
    assert sorted(result.onset_errors) == [-0.125, 0.25]
    assert sorted(result.offset_errors) == [0, 0.5]


def test_a_detection_of_an_unsure_event_is_neither_right_nor_wrong() -> None:
    truth = TrueEvents(array([(1, 2)]), array([(5, 6), (8, 9)]))
    detections = array([(1, 2), (5, 6), (5, 6.1), (11, 12)])
    result = Outcome.of(truth, detections, np.array([0.9, 0.8, 0.7, 0.6]))
    assert result.detection_status == ("right", "left out", "wrong", "wrong")
    assert (result.n_events, result.left_out) == (1, 1)


def test_a_detection_of_an_event_is_not_spent_on_an_unsure_one() -> None:
    truth = TrueEvents(array([(1, 2)]), array([(1, 2)]))
    result = Outcome.of(truth, array([(1, 2), (1, 2), (1, 2)]), np.array([0.1, 0.3, 0.2]))
    assert result.detection_status == ("wrong", "right", "left out")


def test_the_given_events_are_left_out_with_all_up_to_the_end_of_the_last() -> None:
    events = [(9, 10), (1, 2), (3, 4), (5, 6), (7, 8)]
    detections = [(1, 2), (2.2, 2.8), (4.5, 4.9), (3.9, 5.1), (5, 6), (6.2, 6.6), (9, 10)]
    result = outcome(events, detections, skip_first=2)
    assert result.event_status == ("right", "left out", "left out", "right", "missed")
    # The fourth begins before the end of the second event, and is no later event's.
    assert result.detection_status == ("left out", "left out", "wrong", "left out", "right", "wrong", "right")
    assert result.n_events == 3


def test_with_fewer_events_than_were_given_none_is_to_be_found() -> None:
    result = outcome([(1, 2), (3, 4)], [(1, 2), (5, 6)], skip_first=5)
    assert (result.n_events, result.detection_status) == (0, ("left out", "wrong"))


def test_too_many_overlaps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_PAIRS", 8)
    overlap_ratios(array([(0, 1)] * 2), array([(0, 1)] * 4), 0.3)
    with pytest.raises(DataError, match="3 events and 3 detections overlap in 9 pairs"):
        overlap_ratios(array([(0, 1)] * 3), array([(0, 1)] * 3), 0.3)
