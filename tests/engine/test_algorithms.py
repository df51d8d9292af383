"""Experiments with each algorithm: training, testing, resuming, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fewshot_audio.config import check_configs
from fewshot_audio.engine.adapted_tasks import adapted_episode_loss
from fewshot_audio.engine.evaluate import evaluate_network
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.engine.tasks import TaskProtocol, plan_tasks
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.ensemble import join_runs
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.studies.report import write_report
from tests.oracles.adaptation import naive_adapted, with_batch_statistics
from tests.tiny import tiny_configs, write_tiny_dataset

INNER = {"algorithm.inner_steps": 3, "algorithm.inner_lr": 0.2}
MAML: dict[str, Any] = {"algorithm.name": "fo-maml", "Hybrid.out_dim": 3, "episodes_per_step": 2, **INNER}
CHANGES: dict[str, dict[str, Any]] = {
    "fo-maml": MAML,
    "fo-meta-curvature": MAML | {"algorithm.name": "fo-meta-curvature"},
    "meta-baseline": {"algorithm.name": "meta-baseline", "distance": "cosine", "score_scale": 10.0}
    | {"loss.pretraining_epochs": 1},
    "simpleshot": {"algorithm.name": "simpleshot", "embedding_transform": "center_l2"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tiny_dataset(root)
    return root


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of three epochs with each algorithm."""
    output = tmp_path_factory.mktemp("experiments")
    finished = {}
    for name, changes in CHANGES.items():
        configs = tiny_configs(changes | {"num_epochs": 3, "experiment_folder": name})
        run_experiment(*configs, root, output)
        finished[name] = Run.read(output / name / "run-1")
    return finished


@pytest.mark.parametrize("name", ["fo-meta-curvature", "meta-baseline"])
def test_a_resumed_run_ends_with_the_same_bits(
    name: str, root: Path, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = tiny_configs(CHANGES[name] | {"num_epochs": 3, "experiment_folder": name})
    with monkeypatch.context() as patch:
        patch.setattr("fewshot_audio.engine.module.EpisodicTraining.validation_step", _stop_in_epoch(2))
        with pytest.raises(RuntimeError, match="stopped"):
            run_experiment(*configs, root, tmp_path)
    run_experiment(*configs, root, tmp_path, resume=True)
    expected = runs[name].trained_network().state_dict()
    for key, value in Run.read(tmp_path / name / "run-1").trained_network().state_dict().items():
        assert torch.equal(value, expected[key]), key


def _stop_in_epoch(epoch: int) -> Any:
    from fewshot_audio.engine.module import EpisodicTraining

    original = EpisodicTraining.validation_step

    def step(module: EpisodicTraining, number: int) -> None:
        if module.epoch + 1 == epoch:
            raise RuntimeError("stopped")
        original(module, number)

    return step


@pytest.mark.parametrize("name", CHANGES)
def test_training_moves_every_weight_of_the_algorithm(name: str, runs: dict[str, Run]) -> None:
    start, end = runs[name].untrained_network(), runs[name].trained_network()
    same = [
        key for (key, before), after in zip(start.named_parameters(), end.parameters(), strict=True)
        if torch.equal(before, after) and "conv/bias" not in key.replace(".", "/")  # which batch norm takes out again
        and key != "learned_scale"  # the best epoch may be that of the first stage
    ]  # fmt: skip
    assert same == []
    assert (name == "meta-baseline") == (end.learned_scale is not None)
    assert (name == "fo-meta-curvature") == any("curvature" in key for key in end.state_dict())


def test_the_second_stage_of_meta_baseline_trains_its_scale(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewshot_audio.engine.module import EpisodicTraining

    original, scales = EpisodicTraining.validation_step, {}

    def step(module: EpisodicTraining, number: int) -> None:
        assert module.network.learned_scale is not None
        scales[module.epoch] = module.network.learned_scale.item()
        original(module, number)

    monkeypatch.setattr(EpisodicTraining, "validation_step", step)
    run_experiment(*tiny_configs(CHANGES["meta-baseline"] | {"num_epochs": 2}), root, tmp_path)
    assert scales[0] == 10.0
    assert scales[1] not in (10.0, 0.0)


@pytest.mark.parametrize("whole_clips", [False, True])
def test_every_answer_is_that_of_a_naive_loop(whole_clips: bool, root: Path, runs: dict[str, Run]) -> None:
    """Task by task in plain PyTorch, from the raw segments."""
    run = runs["fo-maml"]
    network, data = run.trained_network().double(), open_dataset(root, run.experiment).data
    protocol = replace(TaskProtocol.test(run.experiment), whole_clips=whole_clips, n_tasks=6)
    system = NetworkSystem(network, _InDouble(data), "test", 0, 1)  # type: ignore[arg-type]
    scores = evaluate_network(system, protocol)
    planned = plan_tasks(data.store.index, data.splits.test, protocol)
    segments = (torch.from_numpy(np.array(data.store.segments)).double() - network.norm_mean) / network.norm_std
    for task in range(protocol.n_tasks):
        module = with_batch_statistics(run.trained_network().double().encoder)
        labels = torch.arange(3).repeat_interleave(2)
        adapted: nn.Module = naive_adapted(module, segments[planned.support[task].ravel()], labels, 3, 0.2)
        present = planned.queries.present[task]
        with torch.no_grad():
            rows = adapted(segments[planned.queries.segments[task][present]])
        owner = np.argwhere(present)[:, :2] @ [2, 1]
        for clip in range(6):
            own = rows[torch.from_numpy(owner == clip)]
            votes = own.argmax(-1)
            counts = votes.bincount(minlength=3)
            winner = next(int(vote) for vote in votes if counts[vote] == counts.max())
            truth, number = divmod(clip, 2)
            assert scores.answers.answer[task, truth, number] == planned.classes[task, winner]
            probability = own.softmax(-1)[:, winner].mean().item()
            assert scores.answers.probability[task, truth, number] == pytest.approx(probability, abs=1e-5)
        losses = F.cross_entropy(rows, torch.from_numpy(owner // 2))
        assert scores.loss[task] == pytest.approx(losses.item(), abs=1e-5)


def test_targets_of_the_queries_are_smoothed(root: Path, runs: dict[str, Run]) -> None:
    network, data = runs["fo-maml"].trained_network(), open_dataset(root, runs["fo-maml"].experiment).data
    segments = network.normalize(torch.from_numpy(data.store.read(np.arange(12)))).unsqueeze(1)
    support, query = segments.unflatten(0, (3, 4)).split(2, dim=1)
    adaptation = network.adaptation
    assert adaptation is not None
    plain, smoothed = (
        adapted_episode_loss(network.eval(), adaptation, support, query, smoothing).loss for smoothing in (0.0, 0.3)
    )
    adapted = naive_adapted(
        with_batch_statistics(runs["fo-maml"].trained_network().encoder),
        support.reshape(6, *support.shape[-2:]),
        torch.arange(3).repeat_interleave(2),
        3,
        0.2,
    )
    log_shares = adapted(query.reshape(6, *query.shape[-2:])).log_softmax(-1).detach()
    truth = torch.arange(3).repeat_interleave(2)
    expected = -log_shares[torch.arange(6), truth].mean()
    assert plain.item() == pytest.approx(expected.item(), abs=1e-3)
    assert smoothed.item() == pytest.approx((0.7 * expected - 0.3 * log_shares.mean()).item(), abs=1e-3)
    assert abs(smoothed.item() - plain.item()) > 0.01


class _InDouble:
    """Data whose segments are float64."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def fetch(self, indices: Any, device: torch.device) -> torch.Tensor:
        return self._data.fetch(indices, device).double()


def test_simpleshot_trains_the_classifier_alone(root: Path, runs: dict[str, Run], tmp_path: Path) -> None:
    """Its weights are those of a training that is pre-training to its end."""
    changes = CHANGES["simpleshot"] | {"algorithm.name": "prototypes", "loss.pretraining_epochs": 3, "num_epochs": 3}
    run_experiment(*tiny_configs(changes), root, tmp_path)
    expected = Run.read(tmp_path / "tiny" / "run-1").trained_network().state_dict()
    for key, value in runs["simpleshot"].trained_network().state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_reports_show_a_network_that_adapts_and_nothing_enrolls_with_it(
    root: Path, runs: dict[str, Run], tmp_path: Path
) -> None:
    run = runs["fo-maml"]
    write_report([run.folder.parent], root, tmp_path / "report.html")
    results = json.loads((run.folder.parent / "results.json").read_text())
    text = (tmp_path / "report.html").read_text()
    assert f"{100 * results['accuracy']:.2f} %" in text
    with pytest.raises(ConfigError, match="no embeddings to enroll clips with"):
        Recognizer.from_run(run.folder)
    for system in ("simpleshot", "linear-probe"):
        with pytest.raises(ConfigError, match=f"has no embeddings for {system}"):
            evaluate_run(run, root, run.experiment, system=system)
    with pytest.raises(ConfigError, match="its network scores 3 classes, but a task has 4"):
        evaluate_run(run, root, run.experiment.model_copy(update={"n_way_test": 4}))
    untrained = evaluate_run(run, root, run.experiment, system="untrained")
    assert 0 < untrained.accuracy < 1
    for name in ("fo-maml", "meta-baseline"):
        with pytest.raises(ConfigError, match=f"algorithm.name is '{name}': only networks"):
            join_runs([runs[name].folder, _twin(runs[name], tmp_path / name)], tmp_path / "joined")


def _twin(run: Run, folder: Path) -> Path:
    """A run of another seed."""
    shutil.copytree(run.folder, folder)
    description = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(description | {"seed": 1}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (MAML | {"n_way_test": 4}, "n_way_test is 4: set n_way_test=3"),
        (MAML | {"relation_head": True}, "relation_head is True: set relation_head=false"),
        (MAML | {"specaug_params.use": True}, "specaug_params.use is True: set specaug_params.use=false"),
        (MAML | {"members": 2}, "members is 2: set members=1"),
        (MAML | {"distance": "cosine"}, "distance is 'cosine': set distance=euclidean"),
        (MAML | {"score_scale": 2.0}, "score_scale is 2.0: set score_scale=1"),
        (CHANGES["simpleshot"] | {"embedding_transform": "none"}, "set embedding_transform=center_l2"),
        (CHANGES["meta-baseline"] | {"distance": "squared"}, "distance is 'squared': set distance=cosine"),
        (CHANGES["meta-baseline"] | {"loss.pretraining_epochs": 2}, "pretraining_epochs is 2, expected 1 to 1"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_configs(*tiny_configs(changes))
    check_configs(*tiny_configs(CHANGES[changes["algorithm.name"]]))
