"""The test protocol on any embedding function: against loops, and what can go wrong."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from fewshot_audio.config.experiment import Distance
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.evaluate_tasks import evaluate_tasks
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.build import build_network
from tests import tiny
from tests.numerics import generator, global_generator_untouched, normal, seeded_layers
from tests.oracles import episode as oracle
from tests.oracles.algebra import cosine, distance

CLASSES, ITEMS = 6, 8
LABELS = torch.arange(CLASSES).repeat_interleave(ITEMS)[torch.randperm(CLASSES * ITEMS, generator=generator(1))]
ROWS = 0.7 * normal(CLASSES, 3, seed=2)[LABELS] + normal(CLASSES * ITEMS, 3, seed=3)
SOUNDS = TensorDataset(ROWS.float(), LABELS)


def naive(rows: Tensor, tasks: int, seed: int, kind: Distance) -> list[float]:
    """Accuracy of each 3-way 2-shot task with 4 queries: one query and one prototype at a time."""
    index = ClipIndex(np.arange(len(LABELS) + 1), {str(c): np.flatnonzero(c == LABELS) for c in range(CLASSES)})
    episodes = Episodes(index, list(index.by_class), 3, 2, 4, seed=seed, phase="test")
    accuracies = []
    for task in range(tasks):
        episode = episodes.episode(0, task)
        items = np.concatenate([episode.support, episode.query], axis=1).flatten().tolist()
        prototypes, queries, labels = oracle.split(rows[items].tolist(), LABELS[items].tolist(), 2)
        correct = 0
        for query, label in zip(queries, labels, strict=True):
            if kind == "cosine":
                scores = [cosine(query, prototype) for prototype in prototypes]
            else:
                scores = [-distance(query, prototype) for prototype in prototypes]
            correct += scores.index(max(scores)) == label
        accuracies.append(correct / len(queries))
    return accuracies


@pytest.mark.parametrize("kind", ["euclidean", "squared", "cosine"])
@pytest.mark.parametrize("seed", [0, 5])
def test_as_loops_answer(kind: Distance, seed: int) -> None:
    result = evaluate_tasks(lambda x: x, SOUNDS, 3, 2, n_query=4, tasks=30, seed=seed, distance=kind)
    expected = naive(ROWS.float(), 30, seed, kind)
    assert result.accuracies.tolist() == pytest.approx(expected)
    mean = sum(expected) / 30
    deviation = math.sqrt(sum((value - mean) ** 2 for value in expected) / 30)
    assert result.accuracy == pytest.approx(mean)
    assert 0.4 < mean < 0.9
    assert result.ci95 == pytest.approx(1.96 * deviation / math.sqrt(30))


@pytest.mark.parametrize("transform", ["none", "center_l2"])
def test_as_a_run_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transform: str) -> None:
    """With clips of one segment and no views, the tasks, the answers and the interval are those of ``evaluate``."""
    monkeypatch.setattr(tiny, "MOST_SEGMENTS", 1)
    tiny.write_tiny_dataset(tmp_path)
    experiment, model = tiny.tiny_configs({"embedding_transform": transform})
    data = open_dataset(tmp_path, experiment).data
    with seeded_layers():
        network = build_network(experiment, model, *data.store.shape)
    network.set_normalization(tiny.MEAN, tiny.STD)
    protocol = TaskProtocol.test(experiment)
    expected = evaluate_network(NetworkSystem.test(network, experiment, data), protocol).accuracy

    clips = [(name, clip) for name in data.splits.test for clip in data.store.index.by_class[name]]
    features = torch.from_numpy(data.store.read(np.array([clip for _, clip in clips])))
    sounds = [(row, name) for row, (name, _) in zip(features, clips, strict=True)]
    sizes = protocol.n_way, protocol.n_shot
    result = evaluate_tasks(
        network, sounds, *sizes, n_query=protocol.n_query, tasks=protocol.n_tasks, seed=protocol.seed
    )
    assert result.accuracies.tolist() == expected.tolist()
    assert 0.3 < result.accuracy < 1
    assert result.ci95 == ci95(expected)


class Named(Dataset[tuple[np.ndarray[Any, Any], str]]):
    """The same sounds as arrays with names."""

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], str]:
        return ROWS[index].float().numpy(), f"class {LABELS[index].item()}"


EMBEDDINGS: list[Callable[[Any], Any]] = [
    lambda x: x,
    lambda x: x.double().numpy(),
    nn.Identity(),
    nn.Identity().forward,
]


@pytest.mark.parametrize("embed", EMBEDDINGS)
@pytest.mark.parametrize("dataset", [SOUNDS, Named()])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_names_arrays_modules_and_batches_do_not_matter(
    embed: Callable[[Any], Any], dataset: Dataset[Any], batch_size: int
) -> None:
    expected = evaluate_tasks(lambda x: x, SOUNDS, 3, 2, n_query=4, tasks=10)
    with global_generator_untouched():
        result = evaluate_tasks(embed, dataset, 3, 2, n_query=4, tasks=10, batch_size=batch_size)
    assert result.accuracies.tolist() == expected.accuracies.tolist()


@pytest.mark.parametrize("as_method", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_module_is_evaluated_and_its_mode_restored(training: bool, as_method: bool) -> None:
    """In training mode dropout and the batch's statistics would change the embeddings."""
    modes = []

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            modes.append((self.training, torch.is_grad_enabled()))
            result: Tensor = self.norm(x)
            return result

    network = Network().train(training)
    mean = network.norm.running_mean
    assert mean is not None
    before = mean.clone()
    evaluate_tasks(network.forward if as_method else network, SOUNDS, 3, 2, n_query=4, tasks=2)
    assert set(modes) == {(False, False)}
    assert network.training is training
    assert network.norm.training is training
    assert torch.equal(mean, before)


def test_every_item_is_embedded_once() -> None:
    seen: list[Tensor] = []
    evaluate_tasks(lambda x: (seen.append(x), x)[1], SOUNDS, 3, 2, n_query=4, tasks=50)
    assert torch.equal(torch.cat(seen), ROWS.float())


def test_the_defaults_are_the_documented_protocol() -> None:
    experiment, _ = scenario_configs("ESC-50-master", 1)
    assert (experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test) == (5, 5, 5)
    assert (experiment.n_testing_tasks, experiment.test_seed, experiment.distance) == (2000, 0, "euclidean")
    labels = torch.arange(5).repeat(10)
    result = evaluate_tasks(lambda x: x, TensorDataset(normal(50, 2, seed=0).float(), labels))
    assert len(result.accuracies) == 2000
    assert np.allclose(result.accuracies * 25, np.round(result.accuracies * 25))  # 25 queries


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda x: x.unsqueeze(1), r"embed returned \(48, 1, 3\) for 48 items"),
        (lambda x: x[:-1], r"embed returned \(47, 3\) for 48 items"),
        (lambda x: x * float("nan"), "not finite"),
    ],
)
def test_what_are_no_embeddings_is_refused(embed: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_tasks(embed, SOUNDS, 3, 2, tasks=2)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"n_way": 7}, DataError, r"n_way is 7, but the labels have 6 classes: '0' \(8\), '1' \(8\)"),
        ({"n_query": 7}, DataError, r"n_shot \+ n_query is 12 items of each class, .* '0' \(8\)"),
        ({"n_way": 1}, ValueError, "n_way is 1"),
        ({"tasks": 0}, ValueError, "tasks is 0"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values: dict[str, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate_tasks(lambda x: x, SOUNDS, **values)


@pytest.mark.parametrize("items", [torch.zeros(4, 3, 2), [{"input": 1.0, "label": 2}]])
def test_items_that_are_no_pairs_are_refused(items: Any) -> None:
    with pytest.raises(ValueError, match=r"no pair \(input, label\): put arrays into a TensorDataset"):
        evaluate_tasks(lambda x: x, items)


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="0 classes"):
        evaluate_tasks(lambda x: x, TensorDataset(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)))
