"""Stress tests against loops over tasks, clips and classes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.stress import class_incremental, task_test, with_shots, with_wrong_labels
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import PlannedTasks, TaskProtocol, plan_tasks
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.functional.seeding import Purpose, numpy_generator
from fewshot_audio.models.build import build_network
from tests.tiny import FRAMES, MELS, tiny_configs, write_tiny_dataset

PROTOCOL = TaskProtocol("test", seed=3, n_tasks=12, n_way=4, n_shot=5, n_query=2)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> NetworkSystem:
    root = tmp_path_factory.mktemp("data")
    write_tiny_dataset(root)
    torch.manual_seed(0)
    experiment, model = tiny_configs()
    network = build_network(experiment, model, MELS, FRAMES).eval()
    network.set_normalization(-40.0, 12.0)
    return NetworkSystem.test(network, experiment, open_dataset(root, experiment).data)


@pytest.fixture(scope="module")
def embeddings(system: NetworkSystem) -> NDArray[np.float64]:
    """Of every segment of the store, (segments, width)."""
    with torch.no_grad():
        rows = system.embed(np.arange(len(system.data.store.segments))).rows
    return rows[:, 0, 0].double().numpy()


def plan(system: NetworkSystem, protocol: TaskProtocol = PROTOCOL) -> PlannedTasks:
    return plan_tasks(system.data.store.index, system.data.splits.test, protocol)


def naive_answers(embeddings: NDArray[np.float64], support: NDArray[np.int64], queries: NDArray[np.int64]) -> list[int]:
    """The nearest class mean of each query. Shape: support (way, shot), queries (n,)."""
    means = [np.mean([embeddings[item] for item in of_class], axis=0) for of_class in support]
    return [int(np.argmin([np.linalg.norm(embeddings[query] - mean) for mean in means])) for query in queries]


@pytest.mark.parametrize("shot", [1, 3, 5])
def test_fewer_shots_are_the_first_ones_of_the_same_tasks(
    shot: int, system: NetworkSystem, embeddings: NDArray[np.float64]
) -> None:
    planned = plan(system)
    actual = task_test(system, planned)(with_shots(planned, shot))
    for task in range(PROTOCOL.n_tasks):
        queries = planned.queries.segments[task, ..., 0].ravel()
        answers = naive_answers(embeddings, planned.support[task, :, :shot], queries)
        assert actual[task] == pytest.approx(np.mean(np.array(answers) == np.repeat(np.arange(4), 2)))
    assert 0.3 < actual.mean() < 1  # better than chance, so that something is compared


def test_all_shots_are_the_ordinary_test(system: NetworkSystem) -> None:
    planned = plan(system)
    expected = evaluate_network(system, PROTOCOL).accuracy
    np.testing.assert_array_equal(task_test(system, planned)(with_shots(planned, 5)), expected)


def test_wrong_labels_are_clips_of_the_other_classes(system: NetworkSystem) -> None:
    planned = plan(system)
    assert np.array_equal(with_wrong_labels(planned, 0).support, planned.support)
    before = planned.support
    for share, wrong in ((0.2, 1), (0.4, 2), (0.5, 2), (1.0, 5)):
        noisy = with_wrong_labels(planned, share).support
        for task in range(PROTOCOL.n_tasks):
            assert sorted(noisy[task].ravel()) == sorted(planned.support[task].ravel())
            for label in range(4):
                own = set(planned.support[task, label])
                assert sum(item not in own for item in noisy[task, label]) == wrong
        kept = noisy[:, :, :wrong] if wrong < 2 else noisy[:, :, :1]
        assert np.array_equal(kept, with_wrong_labels(planned, 0.2).support[:, :, :1])  # a larger share keeps them
        assert np.array_equal(noisy[:, :, wrong:], before[:, :, wrong:])
    steps = {
        int(np.argwhere(planned.support[task, :, 0] == with_wrong_labels(planned, 0.2).support[task, 0, 0])[0, 0])
        for task in range(PROTOCOL.n_tasks)
    }
    assert steps == {1, 2, 3}  # every other class


def test_wrong_labels_cost_accuracy(system: NetworkSystem, embeddings: NDArray[np.float64]) -> None:
    planned = plan(system, replace(PROTOCOL, n_tasks=60))
    test = task_test(system, planned)
    means = [test(with_wrong_labels(planned, share)).mean() for share in (0, 0.4, 1)]
    assert means[0] > means[1] > means[2]
    noisy = with_wrong_labels(planned, 0.4)
    answers = naive_answers(embeddings, noisy.support[0], planned.queries.segments[0, ..., 0].ravel())
    assert test(noisy)[0] == pytest.approx(np.mean(np.array(answers) == np.repeat(np.arange(4), 2)))


def test_classes_added_over_time(system: NetworkSystem, embeddings: NDArray[np.float64]) -> None:
    """All numbers from answers of a loop; the order of the classes is random and differs between tasks."""
    planned = plan(system, replace(PROTOCOL, n_way=6, n_tasks=40))
    result = class_incremental(system, planned, 2)
    assert result.sessions.shape == (40, 3)
    orders = set()
    for task in range(40):
        order = numpy_generator(3, "test", 0, task, Purpose.LABELS).permutation(6)
        orders.add(tuple(order))
        correct: list[list[float]] = []  # after each session, the accuracy on each class so far
        for classes in (2, 4, 6):
            chosen = order[:classes]
            accuracies = []
            for label, number in enumerate(chosen):
                queries = planned.queries.segments[task, number, :, 0]
                answers = naive_answers(embeddings, planned.support[task, chosen], queries)
                accuracies.append(float(np.mean(np.array(answers) == label)))
            correct.append(accuracies)
        sessions = [float(np.mean(accuracies)) for accuracies in correct]
        np.testing.assert_allclose(result.sessions[task], sessions)
        assert result.average[task] == pytest.approx(np.mean(sessions))
        assert result.drop[task] == pytest.approx(sessions[0] - sessions[2])
        first, second = (np.mean(correct[at][2 * at : 2 * at + 2]) for at in (0, 1))
        later = np.mean(correct[2][:2]), np.mean(correct[2][2:4])
        assert result.forgetting[task] == pytest.approx(np.mean([first - later[0], second - later[1]]))
    assert len(orders) > 30
    assert result.forgetting.mean() > 0.02


def test_each_segment_is_embedded_once(system: NetworkSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[int] = []
    original = TrainingData.fetch

    def fetch(data: TrainingData, indices: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        fetched.extend(indices.tolist())
        return original(data, indices, device)

    monkeypatch.setattr(TrainingData, "fetch", fetch)
    planned = plan(system)
    test = task_test(system, planned)
    for shot in (1, 2, 5):
        test(with_shots(planned, shot))
    assert sorted(fetched) == sorted(set(fetched))
