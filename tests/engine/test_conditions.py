"""Recording conditions against a loop over tasks that degrades, mixes and embeds each clip for itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.degrade import degrade
from fewshot_audio.engine.conditions import (
    clean,
    condition_test,
    degraded,
    embed_conditions,
    over_background,
    task_backgrounds,
)
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import PlannedTasks, TaskProtocol, plan_tasks
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.models.build import build_network
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_waveforms

RATE, WAY, TASKS = 16_000, 3, 5


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> NetworkSystem:
    root = tmp_path_factory.mktemp("data")
    write_tiny_waveforms(write_tiny_dataset(root))
    torch.manual_seed(0)
    experiment, model = tiny_configs({"input_type": "wav"})
    dataset = open_dataset(root, experiment)
    network = build_network(experiment, model, *dataset.input_shape).eval()
    network.set_normalization(-20.0, 15.0)
    return NetworkSystem.test(network, experiment, dataset.data)


@pytest.fixture(scope="module")
def planned(system: NetworkSystem) -> PlannedTasks:
    protocol = TaskProtocol("test", seed=1, n_tasks=TASKS, n_way=WAY, n_shot=2, n_query=2)
    return plan_tasks(system.data.store.index, system.data.splits.test, protocol)


def embedded(system: NetworkSystem, waveform: torch.Tensor) -> NDArray[np.float64]:
    with torch.no_grad():
        views = system.data.views.plain(system.network, waveform[None])
        return system.network.embed(views)[0, 0].double().numpy()


def naive_accuracy(
    planned: PlannedTasks,
    task: int,
    support: Callable[[int, int], NDArray[np.float64]],
    query: Callable[[int, int], NDArray[np.float64]],
) -> float:
    """``support`` and ``query`` embed (segment, class of the task)."""
    means = [np.mean([support(int(s), c) for s in planned.support[task, c]], axis=0) for c in range(WAY)]
    correct = [
        np.argmin([np.linalg.norm(query(int(s), c) - mean) for mean in means]) == c
        for c in range(WAY)
        for s in planned.queries.segments[task, c, :, 0]
    ]
    return float(np.mean(correct))


def test_degraded_queries(system: NetworkSystem, planned: PlannedTasks) -> None:
    store = torch.from_numpy(np.array(system.data.store.segments))
    embeddings = embed_conditions(system, planned, [clean, degraded("codec", RATE)])
    zeros = np.zeros((TASKS, WAY), np.int64)
    actual = condition_test(system, planned, embeddings, zeros, zeros + 1)
    for task in range(TASKS):
        expected = naive_accuracy(
            planned,
            task,
            lambda segment, _: embedded(system, store[segment]),
            lambda segment, _: embedded(system, degrade(store[[segment]], "codec", RATE)[0]),
        )
        assert actual[task] == pytest.approx(expected)
    assert (actual != condition_test(system, planned, embeddings, zeros, zeros)).any()


def test_each_class_over_its_background(system: NetworkSystem, planned: PlannedTasks) -> None:
    names = system.data.splits.train[:WAY]
    conditions = [over_background(system, name, 5.0) for name in names]
    own = task_backgrounds(TASKS, WAY)
    assert sorted(own[0]) == sorted(own[4]) == [0, 1, 2]
    assert len({tuple(row) for row in own}) == WAY  # no class keeps its background in all tasks
    embeddings = embed_conditions(system, planned, conditions)
    other = (own + 1) % WAY
    actual = condition_test(system, planned, embeddings, own, other)
    store = torch.from_numpy(np.array(system.data.store.segments))

    def over(number: int, segment: int) -> NDArray[np.float64]:
        mixture = conditions[number](store[[segment]], np.array([segment]))[0]
        return embedded(system, mixture)

    for task in range(TASKS):
        expected = naive_accuracy(
            planned,
            task,
            lambda segment, c, task=task: over(int(own[task, c]), segment),  # type: ignore[misc]
            lambda segment, c, task=task: over(int(other[task, c]), segment),  # type: ignore[misc]
        )
        assert actual[task] == pytest.approx(expected)


def test_a_background_is_a_recording_of_its_class(system: NetworkSystem) -> None:
    """What is added is one of the class's first segments, for each segment its own choice, the same every time."""
    index, store = system.data.store.index, torch.from_numpy(np.array(system.data.store.segments)).double()
    name = system.data.splits.train[4]
    condition = over_background(system, name, 0.0)
    candidates = store[index.offsets[index.by_class[name]]]
    segments = np.arange(20)
    mixtures = condition(store[segments].float(), segments).double()
    chosen = []
    for segment, mixture in zip(segments, mixtures, strict=True):
        original = store[segment]
        sums = original + candidates * (original.square().mean() / candidates.square().mean(-1, keepdim=True)).sqrt()
        agreement = [float(np.corrcoef(mixture.numpy(), total.numpy())[0, 1]) for total in sums]
        chosen.append(int(np.argmax(agreement)))
        assert max(agreement) > 0.99999
    assert len(set(chosen)) > 5
    torch.testing.assert_close(condition(store[[7]].float(), np.array([7])).double(), mixtures[[7]])
