"""Several episodes a step, and several processes that train together: equal to each other, and to what is defined."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.config import check_steps
from fewshot_audio.engine.episode_loss import Objective, episode_loss
from fewshot_audio.engine.fit import train_run
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.errors import ConfigError, FewShotError, OtherRankError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.distributed import Ranks
from tests.engine.comparison import outcome, without_seconds
from tests.engine.job import PATIENCE, Job
from tests.tiny import tiny_configs

FOUR_TASKS = {"n_training_tasks": 4}


# -- who does what -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_ranks_share_out_an_epochs_tasks_step_by_step(devices: int, nodes: int, per_step: int, steps: int) -> None:
    size = devices * nodes
    shares = [Ranks(devices, nodes, rank).tasks(steps * size * per_step, per_step) for rank in range(size)]
    for step in range(steps):
        together = [task for share in shares for task in share[step * per_step : (step + 1) * per_step]]
        assert together == list(range(step * size * per_step, (step + 1) * size * per_step))


def test_each_rank_has_a_gpu_of_its_own() -> None:
    assert [Ranks(2, 2, rank, rank % 2).own_gpu(2) for rank in range(4)] == [2, 3, 2, 3]


@pytest.mark.parametrize(("per_step", "processes"), [(3, 1), (1, 3), (2, 4)])
def test_an_epoch_has_whole_steps(tiny_dataset: Path, tmp_path: Path, per_step: int, processes: int) -> None:
    configs = tiny_configs(FOUR_TASKS | {"episodes_per_step": per_step})
    message = f"n_training_tasks is 4, not a multiple of the {per_step * processes} episodes"
    with pytest.raises(ConfigError, match=message):
        check_steps(configs[0].n_training_tasks, configs[0].episodes_per_step, processes)
    if processes == 1:
        with pytest.raises(ConfigError, match=message):
            run_experiment(*configs, tiny_dataset, tmp_path)
    assert not list(tmp_path.iterdir())


# -- several episodes a step -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tiny_dataset: Path) -> Dataset:
    return open_dataset(tiny_dataset, tiny_configs()[0])


def fresh_network(dataset: Dataset, configs: Any) -> FewShotNetwork:
    network = Run(Path(), *configs, 0, dataset.input_shape, "", None, {}).untrained_network()
    network.set_normalization(dataset.mean, dataset.std)
    return network


def test_a_step_averages_gradients_and_running_statistics(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch of one step of three episodes, against each episode by itself from the same start, in the open."""
    configs = tiny_configs({"n_training_tasks": 3, "episodes_per_step": 3, "num_epochs": 1}, scenario=5)
    start = fresh_network(dataset, configs)
    seen: list[tuple[Any, ...]] = []

    def spy(network: FewShotNetwork, objective: Objective, *arguments: Any) -> Any:
        *tensors, generator, _ = arguments
        seen.append((*tensors, generator.get_state(), torch.get_rng_state()))
        return episode_loss(network, objective, *arguments)

    monkeypatch.setattr("fewshot_audio.engine.module.episode_loss", spy)
    trained = copy.deepcopy(start)
    train_run(EpisodicTraining(trained, configs[0], dataset.data, 0), tmp_path)

    alone = []
    for support, query, contrast, layers in seen:
        network = copy.deepcopy(start)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(layers)
            generator = torch.Generator().set_state(contrast)
            loss = episode_loss(network, Objective.of(configs[0]), support, query, generator).loss
            torch.autograd.backward(loss)
        alone.append(network)
    assert len(alone) == 3
    optimizer = torch.optim.Adam(start.parameters(), configs[0].lr)
    for parameter, *parts in zip(start.parameters(), *(network.parameters() for network in alone), strict=True):
        parameter.grad = torch.stack([part.grad for part in parts]).mean(0)
    optimizer.step()
    for name, value in trained.named_parameters():
        expected = start.get_parameter(name)
        known = expected.grad.abs() > 1e-5  # Adam blows up the rounding of what should be 0
        assert torch.allclose(value[known], expected[known], atol=1e-4), name
    assert sum(int((parameter.grad.abs() > 1e-5).sum()) for parameter in start.parameters()) > 500
    statistics = [name for name, _ in start.named_buffers() if "running" in name]
    assert statistics
    for name in statistics:
        expected = torch.stack([network.get_buffer(name) for network in alone]).mean(0)
        assert torch.allclose(trained.get_buffer(name), expected, rtol=1e-5, atol=1e-6), name
    counters = [value for name, value in trained.named_buffers() if "num_batches" in name]
    assert counters
    assert all(value == 1 for value in counters)  # they count steps


def test_the_segments_of_the_next_episode_are_its_own(dataset: Dataset) -> None:
    """Whether fetched ahead or not, in whatever order."""
    experiment, model = tiny_configs(FOUR_TASKS)
    module = EpisodicTraining(fresh_network(dataset, (experiment, model)), experiment, dataset.data, 0)
    loader = module._loader
    for epoch, task, following in ((0, 0, 1), (0, 1, 2), (0, 3, None), (1, 0, 1), (0, 2, 1)):
        episode, support, query = loader.load(epoch, task, following)
        again = module._loader._draw(epoch, task)
        assert (episode.support == again.support).all()
        store = dataset.data.store
        assert support.numpy().tolist() == store.segments[again.support.ravel()].tolist()
        assert query.numpy().tolist() == store.segments[again.query.ravel()].tolist()


# -- several processes -------------------------------------------------------------------------------------------------

Pair = tuple[Job, dict[str, Any]]
SCENARIO_5 = FOUR_TASKS | {"num_epochs": 2, "n_testing_tasks": 6, "num_runs": 2}


@pytest.fixture(scope="module")
def pair(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """An experiment trained by two processes, and its outcome."""
    job = Job(*tiny_configs(SCENARIO_5, scenario=5), tiny_dataset, tmp_path_factory.mktemp("pair"))
    done = command(*job.arguments(), "--devices", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test accuracy") == 1  # one of them speaks
    own = re.compile(r"run \d/\d: \w+|(\[[\d:]+\]| +) +INFO +epoch \d+: loss .*")
    assert [line for line in done.stderr.splitlines() if not own.fullmatch(line.rstrip())] == []
    return job, outcome(job.folder)


def command(*arguments: str, launcher: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """``fewshot-audio`` in a process of its own, which starts the others."""
    script = str(Path(sys.executable).with_name("fewshot-audio"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, script, *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def close(one: Any, other: Any) -> None:
    """The same but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            if key != "episodes_per_step":
                close(one[key], other[key])
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            close(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
    else:
        assert one == other


def test_two_processes_equal_two_episodes_a_step(pair: Pair, tiny_dataset: Path, tmp_path: Path) -> None:
    results = run_experiment(*tiny_configs(SCENARIO_5 | {"episodes_per_step": 2}, scenario=5), tiny_dataset, tmp_path)
    job, expected = pair
    theirs = expected["results"]
    close(theirs, without_seconds(json.loads(json.dumps(results.as_json()))))
    for run in ("run-1", "run-2"):
        states = [
            torch.load(folder / run / "state.pt", weights_only=True) for folder in (job.folder, tmp_path / "tiny")
        ]
        for part in ("network", "history"):
            close(*(without_seconds(state[part]) for state in states))
    one = run_experiment(*tiny_configs(SCENARIO_5, scenario=5), tiny_dataset, tmp_path / "one")
    assert one.runs[0].val_accuracy != theirs["runs"][0]["val_accuracy"] or (
        outcome(tmp_path / "one" / "tiny")["runs"]["run-1"]["model"] != expected["runs"]["run-1"]["model"]
    )  # so that the comparison above says something


def test_other_processes_cannot_resume(pair: Pair, tiny_dataset: Path) -> None:
    job, _ = pair
    result = job.folder / "run-2" / "result.json"
    result.rename(result.with_suffix(".kept"))
    try:
        with pytest.raises(ConfigError, match="run-2 was started with 2 processes"):
            run_experiment(job.experiment, job.model, tiny_dataset, job.home, resume=True)
    finally:
        result.with_suffix(".kept").rename(result)


def test_torchrun_starts_the_processes_and_they_resume(pair: Pair, tmp_path: Path) -> None:
    """A run whose test is missing ends where it ended before."""
    job, expected = pair
    (job.folder / "run-2" / "result.json").unlink()
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone")
    done = command(*job.arguments(), "--devices", "2", "--resume", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Test accuracy") == 1
    assert outcome(job.folder) == expected


def failing() -> None:
    raise ConfigError("not here")


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("failed", [0, 1])
def test_an_error_anywhere_is_raised_by_the_one_that_leads(
    monkeypatch: pytest.MonkeyPatch, rank: int, failed: int
) -> None:
    def gather(actual: list[Any], own: Any) -> None:
        assert (own is None) == (rank != failed)
        actual[rank], actual[1 - rank] = own, None if own else ConfigError("not there")

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    with pytest.raises(FewShotError) as caught:
        Ranks(2, rank=rank).on_all_ranks(failing if rank == failed else lambda: None)
    assert isinstance(caught.value, OtherRankError) == (rank == 1)
    assert str(caught.value) == ("not here" if rank == failed else "not there")


def test_a_decision_is_made_once_and_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    wire: list[list[Any]] = []

    def broadcast(told: list[Any], src: int) -> None:
        if told == [None, None] and wire:
            told[:] = wire[-1]
        wire.append(list(told))

    monkeypatch.setattr("torch.distributed.broadcast_object_list", broadcast)
    assert [Ranks(2, rank=rank).on_rank_zero(lambda: object()) for rank in (0, 1)] == [wire[0][0]] * 2
    with pytest.raises(ConfigError, match="not here"):
        Ranks(2, rank=0).on_rank_zero(failing)
    with pytest.raises(OtherRankError, match="not here"):
        Ranks(2, rank=1).on_rank_zero(failing)
