"""Calibration and open-set figures against naive computations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.reliability import reliability
from fewshot_audio.progress import silent
from fewshot_audio.recognition import open_set_tasks
from fewshot_audio.recognition.calibration import TASKS, calibrate, fit_temperature, task_calibration_error
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.evaluate_open_set import evaluate_open_set
from fewshot_audio.recognition.from_run import open_pool, open_run
from fewshot_audio.recognition.open_set_tasks import Pool, TaskResult, auroc, run_tasks
from fewshot_audio.recognition.scoring import (
    expected_distance,
    expected_distances,
    probabilities,
    unknown_scores,
    votes,
)
from tests.recognition.sounds import NAME

scores_ = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def embedder(run_of: Callable[[str], Path]) -> Embedder:
    return open_run(run_of("plain"), "cpu", None, 0.05, silent)[0]


@pytest.fixture(scope="module")
def pool(embedder: Embedder, run_of: Callable[[str], Path], data_root: Path) -> Pool:
    experiment = Run.read(run_of("plain")).experiment
    folders = DatasetFolders.find(data_root, NAME)
    return open_pool(embedder, experiment, folders, "validation", folders.read_splits().validation, silent)


@given(scores_, scores_)
@settings(deadline=None, max_examples=50)
def test_auroc_is_the_share_of_pairs_in_order(enrolled: list[int], unknown: list[int]) -> None:
    pairs = [(u > k) + (u == k) / 2 for u in unknown for k in enrolled]
    assert auroc(np.array(enrolled, float), np.array(unknown, float)) == pytest.approx(sum(pairs) / len(pairs))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_calibration_error_is_that_of_a_loop_over_bins(answers: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for number in range(15):
        inside = [(c, r) for c, r in answers if number <= c * 15 < number + 1 or (number == 14 and c == 1)]
        if inside:
            confidence, right = (np.mean(values) for values in zip(*inside, strict=True))
            expected += len(inside) / len(answers) * abs(confidence - right)
    confidences, rights = zip(*answers, strict=True)
    assert reliability(np.array(confidences), np.array(rights)).ece == pytest.approx(expected, abs=1e-9)


def outcome(temperature: float, clips: int = 4000) -> TaskResult:
    """Clips of one row whose labels are drawn from softmax(scores / temperature)."""
    random = np.random.default_rng(0)
    scores = random.normal(scale=3 * temperature, size=(clips, 4)).astype(np.float32)
    ones = np.ones(clips, np.int64)
    cumulated = probabilities(scores, ones, temperature).cumsum(1)
    labels = (random.random(clips)[:, None] > cumulated[:, :3]).sum(1)
    return TaskResult(scores, ones, labels, votes(scores, ones, ""), np.ones(clips), np.ones(0))


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    tasks = [outcome(temperature)]
    estimate = fit_temperature(tasks)
    assert estimate == pytest.approx(temperature, rel=0.1)
    assert task_calibration_error(tasks, estimate) < 0.02
    assert temperature == 1 or task_calibration_error(tasks, 1.0) > 0.05


def test_probabilities_and_votes_of_clips_with_several_rows() -> None:
    scores = np.array([[0.0, 2.0], [3.0, 0.0], [0.0, 0.1], [1.0, 0.0]], np.float32)
    counts = np.array([3, 1])
    rows = [np.exp(r) / np.exp(r).sum() for r in scores.astype(np.float64) / 2]
    assert probabilities(scores, counts, 2.0) == pytest.approx(np.stack([np.mean(rows[:3], axis=0), rows[3]]))
    assert votes(scores, counts, "").tolist() == [1, 0]


def test_the_expected_distance_grows_with_scatter_and_shrinks_with_clips() -> None:
    clips = np.array([[0.0, 0.0], [2.0, 0.0]], np.float32)
    assert expected_distance(clips, None) == pytest.approx(np.sqrt(2 / 1 * 1.5))
    assert expected_distance(clips, 8.0) == pytest.approx(np.sqrt((2 + 5 * 8) / 6 * 1.5))
    assert expected_distance(clips[:1], 8.0) == pytest.approx(np.sqrt(8 * 2))
    assert np.isnan(expected_distance(clips[:1], None))
    assert expected_distances([clips, clips[:1]], None) == pytest.approx([np.sqrt(3), np.sqrt(3)])
    assert expected_distances([clips[:1]], None).tolist() == [1]
    embedding, prototypes = np.array([[3.0, 4.0]], np.float32), np.array([[0.0, 0.0], [9.0, 4.0]], np.float32)
    assert unknown_scores(embedding, prototypes, np.array([2.0, 6.0])) == pytest.approx([1.0])


def test_the_threshold_keeps_the_stated_rate_on_its_own_tasks(pool: Pool, embedder: Embedder) -> None:
    for rate in (0.05, 0.3):
        calibration = calibrate(pool, embedder, "", way=5, shot=3, false_alarm=rate, random=np.random.default_rng(1))
        tasks = run_tasks(
            pool,
            embedder,
            "",
            pool.scatter,
            enrolled=4,
            unknown=1,
            shot=3,
            tasks=TASKS,
            random=np.random.default_rng(1),
        )
        query_scores = np.concatenate([task.query_unknown for task in tasks])
        other_scores = np.concatenate([task.other_unknown for task in tasks])
        assert (query_scores > calibration.threshold).mean() == pytest.approx(rate, abs=0.002)
        assert calibration.unknown_found == np.mean(other_scores > calibration.threshold)
        assert calibration.ece_after <= calibration.ece_before
        assert (calibration.enrolled_classes, calibration.shot) == (4, 3)


def test_a_task_is_that_of_plain_loops(pool: Pool, embedder: Embedder) -> None:
    (task,) = run_tasks(
        pool, embedder, "", 2.0, enrolled=2, unknown=1, shot=3, tasks=1, random=np.random.default_rng(5)
    )
    random = np.random.default_rng(5)
    order = random.permutation(5)
    enrolled, other = sorted(order[:2]), order[2]
    support, queries, labels = [], [], []
    for label, c in enumerate(enrolled):
        clips = random.permutation([i for i, own in enumerate(pool.class_of) if own == c])
        support.append(pool.means[clips[:3].tolist()].astype(np.float64))
        queries += [int(clip) for clip in clips[3:]]
        labels += [label] * (len(clips) - 3)
    centers = [own.mean(0) for own in support]
    sizes = [np.sqrt((((own - own.mean(0)) ** 2).sum() + 5 * 2.0) / 7 * (4 / 3)) for own in support]

    def nearest(clip: int) -> float:
        point = pool.means[clip].astype(np.float64)
        return min(float(np.linalg.norm(point - c)) / s for c, s in zip(centers, sizes, strict=True))

    assert task.labels.tolist() == labels
    assert task.query_unknown == pytest.approx([nearest(clip) for clip in queries], rel=1e-4)
    assert task.other_unknown == pytest.approx([nearest(i) for i in range(40) if pool.class_of[i] == other], rel=1e-4)
    for clip, vote in zip(queries, task.votes, strict=True):
        distances = [[np.linalg.norm(row - c) for c in centers] for row in pool.rows[clip]]
        ballots = [int(np.argmin(row)) for row in distances]
        assert vote == max(ballots, key=ballots.count)


def test_clips_of_an_enrolled_recording_are_not_judged(pool: Pool, embedder: Embedder) -> None:
    paired = Pool(pool.rows, pool.means, pool.class_of, np.arange(40) // 2)  # two clips a recording
    for seed in range(5):
        common = {"enrolled": 2, "unknown": 1, "shot": 1, "tasks": 1}
        (task,) = run_tasks(paired, embedder, "", 1.0, **common, random=np.random.default_rng(seed))
        assert len(task.labels) == 2 * (8 - 2)
    with pytest.raises(ConfigError, match="8 clips in a class are too few for 8 shots"):
        run_tasks(paired, embedder, "", 1.0, enrolled=2, unknown=1, shot=8, tasks=1, random=np.random.default_rng(0))
    with pytest.raises(ConfigError, match="5 enrolled and 1 unknown classes asked for, but there are 5"):
        run_tasks(paired, embedder, "", 1.0, enrolled=5, unknown=1, shot=1, tasks=1, random=np.random.default_rng(0))


def test_a_large_pool_takes_a_share_of_each_class(
    embedder: Embedder, data_root: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_set_tasks, "LARGEST_POOL", 15)
    store = SegmentStore.open(DatasetFolder(data_root / NAME))
    names = [f"pitch-{number:02}" for number in range(2, 7)]
    small = Pool.embed(embedder, store, names, np.random.default_rng(0))
    assert np.bincount(small.class_of).tolist() == [3] * 5
    everything = {row.tobytes() for row in pool.means}
    assert all(row.tobytes() in everything for row in small.means)
    own = [pool.means[pool.class_of == c].astype(np.float64) for c in range(5)]
    assert pool.scatter == pytest.approx(np.mean([x.var(axis=0, ddof=1).sum() for x in own]))


def test_evaluation_on_test_classes(run_of: Callable[[str], Path], data_root: Path) -> None:
    run = run_of("plain")
    results = evaluate_open_set(run, data_root, shot=2, tasks=20)
    assert [results[key] for key in ("enrolled_classes", "unknown_classes", "n_shot", "tasks")] == [2, 2, 2, 20]
    assert results["accuracy"] > 0.5
    assert 0 <= results["false_alarm"] <= 1
    assert results == evaluate_open_set(run, data_root, shot=2, tasks=20)
    closed = evaluate_open_set(run, data_root, enrolled=5, unknown=0, shot=2, tasks=3)
    assert closed["auroc"] is None
    everything = evaluate_open_set(run, data_root, classes="all", enrolled=12, unknown=0, shot=2, tasks=3)
    assert everything["accuracy"] < closed["accuracy"]
    with pytest.raises(DataError, match="'other' not found"):
        evaluate_open_set(run, data_root, dataset="other")
