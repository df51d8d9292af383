"""Training with every option on: it repeats and resumes to the bit, and what it saves is what it validated."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig, check_configs
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.engine import checkpoint
from fewshot_audio.engine.auxiliary_classifier import AuxiliaryClassification, build_head
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.engine.system import NetworkSystem, fit_transform
from fewshot_audio.errors import ConfigError, Interrupted
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.build import build_network
from tests.engine.comparison import outcome
from tests.engine.evaluation import evaluate_phase
from tests.tiny import FRAMES, MEAN, MELS, STD, tiny_configs

OPTIONS: dict[str, Any] = {
    "input_augmentation.time_scale": [0.8, 1.2],
    "input_augmentation.shift": 0.5,
    "input_augmentation.filter_db": 6.0,
    "input_augmentation.time_masks": 1,
    "input_augmentation.time_mask_width": [1, 8],
    "optimization.weight_decay": 0.01,
    "optimization.schedule": "cosine",
    "optimization.warmup_epochs": 1,
    "optimization.gradient_clip": 1.0,
    "optimization.averaging": 0.9,
    "loss.label_smoothing": 0.1,
    "loss.classification_weight": 0.5,
    "loss.pretraining_epochs": 1,
    "distance": "cosine",
    "score_scale": 10.0,
    "embedding_transform": "center_l2",
    "Hybrid.pooling": "mean_max",
    "Hybrid.pool_last": False,
}


def optional(changes: dict[str, Any] | None = None) -> tuple[ExperimentConfig, ModelConfig]:
    whole = {"num_runs": 1, "num_epochs": 3, "n_training_tasks": 3, "n_testing_tasks": 5}
    return tiny_configs(whole | OPTIONS | (changes or {}), scenario=5)


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("options")
    run_experiment(*optional(), tiny_dataset, output)
    return output / "tiny"


def test_the_same_seed_gives_the_same_bits(undisturbed: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    run_experiment(*optional(), tiny_dataset, tmp_path)
    assert outcome(tmp_path / "tiny") == outcome(undisturbed)


@pytest.mark.parametrize("step", [1, 4, 8])
def test_an_interrupted_training_resumes_to_the_same_bits(
    undisturbed: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    def press(description: str, done: int, total: int, details: str = "") -> None:
        if "training" in description and done >= step:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "REPORT_SECONDS", 0)
    with pytest.raises(Interrupted):
        run_experiment(*optional(), tiny_dataset, tmp_path, progress=press)
    torch.rand(3)
    run_experiment(*optional(), tiny_dataset, tmp_path, resume=True)
    assert outcome(tmp_path / "tiny") == outcome(undisturbed)


def test_what_is_saved_is_what_was_validated(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[dict[str, torch.Tensor], float]] = []

    def spy(system: NetworkSystem, *arguments: Any) -> TaskScores:
        scores = evaluate_network(system, *arguments)
        weights = {name: value.clone() for name, value in system.network.state_dict().items()}
        seen.append((weights, scores.accuracy.mean()))
        return scores

    monkeypatch.setattr("fewshot_audio.engine.module.evaluate_network", spy)
    run_experiment(*optional(), tiny_dataset, tmp_path)
    best = max(range(len(seen)), key=lambda epoch: (seen[epoch][1], -epoch))
    saved = torch.load(tmp_path / "tiny" / "run-1" / "model.pt", weights_only=True)
    assert saved.keys() == seen[best][0].keys()
    assert all(torch.equal(saved[name], value) for name, value in seen[best][0].items())


def test_a_run_is_tested_again_to_the_same_number(undisturbed: Path, tiny_dataset: Path) -> None:
    run = Run.read(undisturbed / "run-1")
    first = outcome(undisturbed)["runs"]["run-1"]["result"]["test"]
    assert asdict(evaluate_run(run, tiny_dataset, run.experiment)) == {**first, "dataset": "Tiny"}


def test_a_run_from_before_an_option_existed_resumes(tiny_dataset: Path, tmp_path: Path) -> None:
    run_experiment(*tiny_configs({"num_runs": 1}), tiny_dataset, tmp_path)
    file = tmp_path / "tiny" / "run-1" / "experiment_config.json"
    values = ExperimentConfig.model_validate_json(file.read_text()).model_dump(exclude={"input_augmentation"})
    file.write_text(ExperimentConfig.model_validate(values).model_dump_json(exclude={"input_augmentation"}))
    run_experiment(*tiny_configs({"num_runs": 1}), tiny_dataset, tmp_path, resume=True)
    with pytest.raises(ConfigError, match=r"cannot resume with other settings: input_augmentation.shift \(0.0 -> 0.5"):
        run_experiment(
            *tiny_configs({"num_runs": 1, "input_augmentation.shift": 0.5}), tiny_dataset, tmp_path, resume=True
        )


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimization.warmup_epochs": 2}, "optimization.warmup_epochs is 2, expected less than the 2 of num_epochs"),
        ({"relation_head": True, "embedding_transform": "power"}, "set embedding_transform=none, or relation_head"),
    ],
    ids=["warm-up", "transform"],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_configs(*tiny_configs(changes))


def test_what_the_relation_head_ignores_is_told() -> None:
    changes = {"loss.label_smoothing": 0.1, "distance": "cosine", "score_scale": 10.0}
    warnings = check_configs(*tiny_configs({"relation_head": True, **changes}))
    assert warnings == [f"{key} has no effect: relation_head is true" for key in changes]
    assert check_configs(*tiny_configs(changes)) == []
    for classifier in ({"loss.classification_weight": 0.5}, {"loss.pretraining_epochs": 1}):
        (warning,) = check_configs(*tiny_configs({"relation_head": True, "loss.label_smoothing": 0.1, **classifier}))
        assert warning == "loss.label_smoothing smooths the labels of the classifier only: relation_head is true"


def test_masks_wider_than_a_segment_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    changes = {"input_augmentation.frequency_masks": 1, "input_augmentation.frequency_mask_width": [1, 17]}
    with pytest.raises(ConfigError, match="frequency_mask_width is up to 17, but a segment has 16 mel bins"):
        run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path)


# -- the classifier of all training classes ----------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("alone", [False, True])
def test_joint_classification_by_loops(alone: bool, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(4, 7).double()
    support = torch.randn(6, 2, 4, generator=generator, dtype=torch.float64)  # 3 classes, 2 segments, 2 rows each
    query = torch.randn(3, 1, 4, generator=generator, dtype=torch.float64)
    classes = [5, 0, 3]
    joint = AuxiliaryClassification(head, torch.tensor(classes), 0.7, alone, smoothing)
    costs = []
    for part, items in ((support, 2), (query, 1)):
        for segment, rows in enumerate(part):
            for row in rows:
                logits = [(w @ row + b).item() for w, b in zip(head.weight, head.bias, strict=True)]
                total = math.log(sum(math.exp(value) for value in logits))
                target = [smoothing / 7] * 7
                target[classes[segment // items]] += 1 - smoothing
                costs.append(sum(share * (total - value) for share, value in zip(target, logits, strict=True)))
    expected = sum(costs) / len(costs)
    actual = joint.blend(torch.tensor(2.0, dtype=torch.float64), support, query).item()
    assert actual == pytest.approx(expected if alone else 2 + 0.7 * expected)


def test_the_classifier_learns_and_is_no_part_of_the_model(tiny_dataset: Path, tmp_path: Path) -> None:
    changes = {"loss.classification_weight": 1.0, "num_epochs": 1}
    run_experiment(*tiny_configs(changes), tiny_dataset, tmp_path)
    run = Run.read(tmp_path / "tiny" / "run-1")
    saved = torch.load(run.folder / "model.pt", weights_only=True)
    assert saved.keys() == run.untrained_network().state_dict().keys()
    state = torch.load(run.folder / "state.pt", weights_only=True)["classifier"]
    start = build_head(run.experiment, 8, 10, run.seed)
    assert start is not None
    assert state["weight"].shape == (10, 8)
    assert not torch.equal(state["weight"], start.weight)


# -- transforms of embeddings ------------------------------------------------------------------------------------------


def test_the_center_is_the_mean_of_the_training_classes_and_is_saved(undisturbed: Path, tiny_dataset: Path) -> None:
    run = Run.read(undisturbed / "run-1")
    network = run.trained_network().eval()
    data = open_dataset(tiny_dataset, run.experiment).data
    means = []
    with torch.no_grad():
        for name in data.splits.train:
            segments = np.array([data.store.index.segments(clip)[0] for clip in data.store.index.by_class[name]])
            everything = np.arange(data.store.index.offsets[-1])
            needed = np.unique(
                [data.store.index.segments(clip)[0] for c in data.splits.train for clip in data.store.index.by_class[c]]
            )
            assert set(segments) <= set(needed) <= set(everything)
            rows = NetworkSystem.validation(network, run.experiment, data, run.seed).embed_untransformed(needed).rows
            means.append(rows[np.isin(needed, segments)].mean((0, 1, 2)))
    assert network.center is not None
    assert network.center.abs().max() > 0
    torch.testing.assert_close(network.center, torch.stack(means).mean(0), atol=1e-5, rtol=1e-4)


def test_the_whitening_is_that_of_the_training_classes(tiny_dataset: Path) -> None:
    experiment, model = tiny_configs({"embedding_transform": "wccn"})
    network = build_network(experiment, model, MELS, FRAMES)
    network.set_normalization(MEAN, STD)
    data = open_dataset(tiny_dataset, experiment).data
    fit_transform(NetworkSystem.validation(network, experiment, data, 0))
    covariances, means = [], []
    for name in data.splits.train:
        segments = np.array([data.store.index.segments(clip)[0] for clip in data.store.index.by_class[name]])
        with torch.no_grad():
            rows = (
                network.eval().encode(network.normalize(torch.from_numpy(data.store.read(segments)))).double().numpy()
            )
        means.append(rows.mean(0))
        centered = rows - rows.mean(0)
        covariances.append(sum(np.outer(row, row) for row in centered) / len(rows))
    assert network.whitening is not None
    assert network.center is not None
    torch.testing.assert_close(network.center, torch.from_numpy(np.mean(means, 0)).float(), atol=1e-5, rtol=1e-4)
    mean = np.mean(covariances, 0)
    shrunk = mean + 0.1 * np.trace(mean) / len(mean) * np.eye(len(mean))
    whitening = network.whitening.double().numpy()
    np.testing.assert_allclose(whitening @ shrunk @ whitening, np.eye(len(mean)), atol=2e-3)


@pytest.mark.parametrize("transform", ["center_l2", "power", "wccn"])
def test_tasks_are_scored_on_transformed_embeddings(
    transform: str, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, model = tiny_configs({"embedding_transform": transform})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment, model, MELS, FRAMES)
    network.set_normalization(MEAN, STD)
    data = open_dataset(tiny_dataset, experiment).data
    fit_transform(NetworkSystem.validation(network, experiment, data, 0))
    tasks = evaluate_phase(network, experiment, data, "validation", seed=0, tasks=4)
    sampler = Episodes(data.store.index, data.splits.validation, 3, 2, 2, seed=0, phase="validation")
    for task in range(4):
        episode = sampler.episode(0, task)

        def rows(segments: Any) -> torch.Tensor:
            raw = torch.from_numpy(data.store.read(segments.ravel()))
            with torch.no_grad():
                made = network.eval().encode(network.normalize(raw)).double()
            if transform == "power":
                made = made.abs() ** 0.5 * made.sign()
            else:
                assert network.center is not None
                made = made - network.center
            if network.whitening is not None:
                made = made @ network.whitening.double()
            return (made / made.square().sum(-1, keepdim=True).sqrt()).view(*segments.shape, -1)

        prototypes = rows(episode.support).mean(1)
        distances = (rows(episode.query).unsqueeze(2) - prototypes).square().sum(-1).sqrt()
        right = distances.argmin(-1) == torch.arange(3).unsqueeze(1)
        assert tasks.accuracy[task] == pytest.approx(right.double().mean().item())
        loss = torch.nn.functional.cross_entropy(-distances.flatten(0, 1), torch.arange(3).repeat_interleave(2))
        assert tasks.loss[task] == pytest.approx(loss.item(), abs=1e-5)
