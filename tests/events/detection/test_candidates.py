import numpy as np

from fewshot_audio.events.annotation import Detection
from fewshot_audio.events.detection.candidates import agreement, best_apart, overlap
from fewshot_audio.events.detection.select import merged, plausibly_many, without_overlaps


def test_overlap_is_intersection_over_union() -> None:
    shares = overlap(np.array([0.0]), np.array([2.0]), np.array([1.0, 5.0, 0.0]), np.array([3.0, 6.0, 2.0]))
    np.testing.assert_allclose(shares, [[1 / 3, 0.0, 1.0]])


def test_best_apart_keeps_the_best_of_what_covers_each_other() -> None:
    starts, ends = np.array([0.0, 0.5, 2.0, 1.9]), np.array([1.0, 1.5, 3.0, 2.1])
    assert best_apart(starts, ends, np.array([1.0, 2.0, 0.5, 0.4])).tolist() == [1, 2]
    assert best_apart(starts, ends, np.array([2.0, 1.0, 0.5, 0.6])).tolist() == [0, 3]


def test_events_with_a_short_pause_are_joined_on_request() -> None:
    events = [Detection(2.0, 3.0, "a", 0.6), Detection(0.0, 1.0, "a", 0.8), Detection(1.2, 1.8, "a", 0.7)]
    assert [(e.start, e.end, e.score) for e in merged(events, 0.3)] == [(0.0, 3.0, 0.8)]
    assert [(e.start, e.end) for e in merged(events, 0.15)] == [(0.0, 1.0), (1.2, 1.8), (2.0, 3.0)]
    assert len(merged(events, None)) == 3


def test_the_more_events_than_expected_the_surer_they_must_be() -> None:
    scores = np.random.default_rng(0).permutation(np.linspace(0.7, 0.99, 100))
    events = [Detection(float(n), n + 0.5, "a", float(score)) for n, score in enumerate(scores)]
    for expected, usual, most in ((0.0, 10, 20), (4.0, 10, 20), (20.0, 30, 60)):
        kept = plausibly_many(events, expected)
        sure = sorted((event for event in events if event.score >= 0.95), key=lambda event: -event.score)
        best = sorted(events, key=lambda event: -event.score)[:usual]
        expected_events = {*best, *sure[:most]}
        assert kept == [event for event in events if event in expected_events]
        assert usual <= len(kept) <= most
    assert plausibly_many(events, 70.0) == events
    unsure = [Detection(0.0, 1.0, "a", 0.9)] * 30
    assert len(plausibly_many(unsure, 8.0)) == 12


def test_of_overlapping_labels_the_higher_score_wins() -> None:
    events = [Detection(0.0, 1.0, "a", 0.6), Detection(0.2, 1.0, "b", 0.9), Detection(0.9, 2.0, "a", 0.5)]
    assert [(e.start, e.label) for e in without_overlaps(events)] == [(0.2, "b"), (0.9, "a")]
    assert without_overlaps([events[0], Detection(0.1, 0.9, "a", 0.7)])[0].label == "a"


def test_agreement_is_the_sum_over_all_candidates_of_probability_times_overlap() -> None:
    random = np.random.default_rng(0)
    starts = random.uniform(0.0, 100.0, 700)
    ends, log_odds = starts + random.uniform(0.1, 5.0, 700), random.normal(size=700)
    expected = [
        sum(
            max(0.0, min(e, f) - max(s, r)) / (max(e, f) - min(s, r)) / (1 + np.exp(-o))
            for r, f, o in zip(starts, ends, log_odds, strict=True)
        )
        for s, e in zip(starts, ends, strict=True)
    ]
    np.testing.assert_allclose(agreement(starts, ends, log_odds), expected)
    assert len(agreement(np.empty(0), np.empty(0), np.empty(0))) == 0
