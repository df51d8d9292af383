"""Where the behavior of keys is observed: the smallest real function that shows it, on the tiny dataset."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor

import fewshot_audio.engine.evaluate
import fewshot_audio.engine.module
import fewshot_audio.engine.tasks
from fewshot_audio.config import PHASES, ExperimentConfig, ModelConfig, Phase
from fewshot_audio.data.episodes import Episode, Episodes
from fewshot_audio.engine.adapted_tasks import adapted_episode_loss
from fewshot_audio.engine.episode_loss import EpisodeResult, episode_loss
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.engine.fit import train_run
from fewshot_audio.engine.module import EpisodicTraining
from fewshot_audio.engine.system import NetworkSystem, fit_transform
from fewshot_audio.engine.tasks import TaskProtocol
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.results import ExperimentResults
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.vote import vote
from fewshot_audio.models.network import FewShotNetwork
from tests.tiny import write_tiny_dataset, write_tiny_groups, write_tiny_waveforms

Weights: TypeAlias = dict[str, Tensor]

CLIPS_OF_A_RECORDING = 4


@dataclass(frozen=True)
class Experiment:
    """What a whole experiment left behind, and the episodes that it drew."""

    output: Path
    results: ExperimentResults
    weights: list[Weights]
    metrics: list[dict[str, float]]
    episodes: dict[Phase, list[Episode]]


@dataclass(frozen=True)
class Step:
    """What a training step computed its loss from, and the loss."""

    support: Tensor
    query: Tensor
    result: EpisodeResult


@dataclass(frozen=True)
class Judgment:
    """What the vote on test clips saw and decided."""

    scores: Tensor
    valid: Tensor
    decisions: Tensor
    accuracy: list[float]


class Bench:
    """Data, and the ways to look at what an experiment does with it. Whole experiments are kept and not repeated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        tiny = write_tiny_dataset(self.root)
        write_tiny_waveforms(tiny)
        write_tiny_groups(tiny, per_group=CLIPS_OF_A_RECORDING)
        write_tiny_dataset(self.root, "Other", seed=1)
        write_tiny_dataset(folder / "elsewhere", seed=2)
        self._experiments: dict[str, Experiment] = {}
        self._count = 0

    def scratch(self) -> Path:
        """A folder that is not there yet."""
        self._count += 1
        return self.folder / f"scratch-{self._count}"

    def open(self, experiment: ExperimentConfig) -> Dataset:
        """The dataset that the experiment names."""
        return open_dataset(self.root, experiment)

    def network(self, experiment: ExperimentConfig, model: ModelConfig) -> FewShotNetwork:
        """The network that a run starts from."""
        dataset = self.open(experiment)
        run = Run(Path(), experiment, model, experiment.seed, dataset.input_shape, "", dataset.preprocessing, {})
        network = run.untrained_network()
        network.set_normalization(dataset.mean, dataset.std)
        return network

    def run(self, experiment: ExperimentConfig, model: ModelConfig) -> Experiment:
        """Train and test."""
        key = json.dumps([experiment.model_dump(), model.model_dump()])
        if key not in self._experiments:
            self._experiments[key] = self.run_again(experiment, model)
        return self._experiments[key]

    def run_again(self, experiment: ExperimentConfig, model: ModelConfig) -> Experiment:
        """Train and test in a new folder."""
        output = self.scratch()
        with recorded_episodes() as episodes:
            results = run_experiment(experiment, model, self.root, output)
        runs = sorted((output / experiment.experiment_folder).glob("run-*"))
        with (runs[0] / "metrics.csv").open() as file:
            metrics = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
        weights = [torch.load(run / "model.pt", weights_only=True) for run in runs]
        return Experiment(output, results, weights, metrics, episodes)

    def step(self, experiment: ExperimentConfig, model: ModelConfig, task: int = 0) -> Step:
        """One training step from the start."""
        steps: list[Step] = []

        def spying(loss: Callable[..., EpisodeResult]) -> Callable[..., EpisodeResult]:
            def spy(network: Any, how: Any, support: Tensor, query: Tensor, *rest: Any) -> EpisodeResult:
                result = loss(network, how, support, query, *rest)
                steps.append(Step(support, query, EpisodeResult(*(value.detach() for value in result))))
                return result

            return spy

        network, data = self.network(experiment, model), self.open(experiment).data
        training = EpisodicTraining(network, experiment, data, experiment.seed)
        with pytest.MonkeyPatch.context() as patch:
            for loss in (episode_loss, adapted_episode_loss):
                patch.setattr(fewshot_audio.engine.module, loss.__name__, spying(loss))
            training.training_step(task)
        return steps[0]

    def parameters_by_epoch(self, experiment: ExperimentConfig, model: ModelConfig) -> list[Weights]:
        """Parameters at the start and after each epoch of a training whose validation accuracy never changes."""
        network = self.network(experiment, model)
        seen: list[Weights] = []

        def constant(*_: Any, **__: Any) -> TaskScores:
            seen.append(parameters(network))
            return TaskScores(np.full(1, 0.5), np.full(1, 0.5), answers=None)

        constant()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fewshot_audio.engine.module, "evaluate_network", constant)
            module = EpisodicTraining(network, experiment, self.open(experiment).data, experiment.seed)
            train_run(module, self.scratch())
        return seen

    def embeddings(self, experiment: ExperimentConfig, model: ModelConfig, phase: Phase = "test") -> Tensor:
        """Shape: (segments, draws, rows, width)."""
        network = self.network(experiment, model).eval()
        with torch.no_grad():
            data = self.open(experiment).data
            return (
                NetworkSystem(network, data, phase, 0, experiment.query_views(phase))
                .embed_untransformed(np.arange(6))
                .rows
            )

    def scores(self, experiment: ExperimentConfig, model: ModelConfig) -> Tensor:
        """Scores of six segments against the first three. Shape: (rows, 3)."""
        network = self.network(experiment, model).eval()
        rows = self.embeddings(experiment, model)[:, 0]
        with torch.no_grad():
            return network.score(rows[:3].mean(1), rows.flatten(0, 1))

    def judge(self, experiment: ExperimentConfig, model: ModelConfig) -> Judgment:
        """Test an untrained network."""
        votes: list[tuple[Tensor, Tensor, Tensor]] = []

        def spy(scores: Tensor, valid: Tensor, tie_strategy: Any) -> Tensor:
            votes.append((scores, valid, vote(scores, valid, tie_strategy)))
            return votes[-1][2]

        network = self.network(experiment, model)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fewshot_audio.engine.evaluate, "vote", spy)
            data = self.open(experiment).data
            fit_transform(NetworkSystem.validation(network, experiment, data, 0))
            protocol = replace(TaskProtocol.test(experiment), seed=0)
            scores = evaluate_network(NetworkSystem.test(network, experiment, data), protocol)
        ((rows, valid, decisions),) = votes
        return Judgment(rows, valid, decisions, scores.accuracy.tolist())


@contextmanager
def recorded_episodes() -> Iterator[dict[Phase, list[Episode]]]:
    """Collect the episodes that training, validation and testing draw inside the block."""
    episodes: dict[Phase, list[Episode]] = {phase: [] for phase in PHASES}

    class Recorder(Episodes):
        def __init__(self, *values: Any, phase: Phase, **options: Any) -> None:
            super().__init__(*values, phase=phase, **options)
            self.drawn = episodes[phase]

        def episode(self, epoch: int, task: int) -> Episode:
            self.drawn.append(super().episode(epoch, task))
            return self.drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fewshot_audio.engine.module, "Episodes", Recorder)
        patch.setattr(fewshot_audio.engine.tasks, "Episodes", Recorder)
        yield episodes


def parameters(network: FewShotNetwork) -> Weights:
    """Copies of what the optimizer moves."""
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def plain(value: Any) -> Any:
    """A value of numbers, strings, lists and dicts that ``==`` compares bit by bit."""
    if isinstance(value, Tensor | np.ndarray):
        return [str(value.dtype), list(value.shape), value.tolist()]
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Episode | Step | Judgment):
        return plain(vars(value))
    if isinstance(value, list | tuple | set):
        return [plain(entry) for entry in (sorted(value) if isinstance(value, set) else value)]
    return value


Probe: TypeAlias = Callable[[Bench, ExperimentConfig, ModelConfig], Any]
