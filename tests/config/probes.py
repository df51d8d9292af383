"""What rows observe: episodes, tensors, files and scores."""

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor

from fewshot_audio.cli.train import train
from fewshot_audio.config import PHASES, ExperimentConfig, ModelConfig, Phase
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.files import write_json
from fewshot_audio.runtime.device import start_runtime
from tests.config.bench import CLIPS_OF_A_RECORDING, Bench, Probe, Weights, plain
from tests.tiny import FRAMES, MELS, tiny_configs

E: TypeAlias = ExperimentConfig
M: TypeAlias = ModelConfig


# Probes: episodes


def episode_size(phase: Phase, part: str, axis: int) -> Probe:
    """The size of one axis of all episodes of a phase of an experiment."""

    def probe(bench: Bench, experiment: E, model: M) -> Any:
        (size,) = {getattr(episode, part).shape[axis] for episode in bench.run(experiment, model).episodes[phase]}
        return size

    return probe


def episode_count(phase: Phase) -> Probe:
    """How many episodes of a phase an experiment of one epoch draws."""
    return lambda bench, experiment, model: len(bench.run(experiment, model).episodes[phase])


def shared_recordings(bench: Bench, experiment: E, model: M) -> dict[Phase, int]:
    """In how many episodes of each phase support and query come from one source recording."""
    offsets = bench.open(experiment).data.store.index.offsets
    shared = dict.fromkeys(PHASES, 0)
    for phase, episodes in bench.run(experiment, model).episodes.items():
        for episode in episodes:
            clips = [np.searchsorted(offsets, part, "right") - 1 for part in (episode.support, episode.query)]
            support, query = (set((part // CLIPS_OF_A_RECORDING).ravel().tolist()) for part in clips)
            shared[phase] += bool(support & query)
    return shared


def whole(bench: Bench, experiment: E, model: M) -> Any:
    """Weights and episodes of an experiment."""
    run = bench.run(experiment, model)
    return {"weights": run.weights, "results": run.results.accuracy, **run.episodes}


# Probes: training


def losses(bench: Bench, experiment: E, model: M) -> Any:
    """Loss, contrastive loss and mined pairs of a training step."""
    return bench.step(experiment, model).result


def views(bench: Bench, experiment: E, model: M) -> Any:
    """How many views support and query have in a training step."""
    step = bench.step(experiment, model)
    return step.support.shape[2], step.query.shape[2]


def rows_of(phase: Phase) -> Probe:
    """How many embeddings a segment has, and how wide they are."""
    return lambda bench, experiment, model: tuple(bench.embeddings(experiment, model, phase).shape[2:])


def many_views(bench: Bench, experiment: E, model: M) -> Tensor:
    """Views of 96 training segments. Shape: (96, 4, mels, frames)."""
    steps = [bench.step(experiment, model, task) for task in range(8)]
    return torch.cat([part.flatten(0, 1) for step in steps for part in (step.support, step.query)])


def masks(bench: Bench, experiment: E, model: M) -> dict[str, Any]:
    """Widest band, most bands, and fill of the time and frequency masks; how much the warped views changed."""
    made = many_views(bench, experiment, model)
    time = (made[:, 2] != made[:, 0]).any(1)
    frequency = (made[:, 3] != made[:, 0]).any(2)
    fills = [made[:, 2][time.unsqueeze(1).expand(-1, MELS, -1)], made[:, 3][frequency]]
    return {
        "time": max(max(bands(row), default=0) for row in time),
        "frequency": max(max(bands(row), default=0) for row in frequency),
        "count": (max(len(bands(row)) for row in time), max(len(bands(row)) for row in frequency)),
        "fill": sorted({value for fill in fills for value in fill.flatten().tolist()}),
        "warp": (made[:, 1] - made[:, 0]).abs().mean().item(),
    }


def bands(row: Tensor) -> list[int]:
    """Widths of the runs of true values."""
    return [len(run) for run in "".join("#" if covered else " " for covered in row.tolist()).split()]


def epoch_moves(bench: Bench, experiment: E, model: M) -> list[float]:
    """The largest step that any parameter took in each epoch."""
    history = bench.parameters_by_epoch(experiment, model)
    return [
        max((after[name] - before[name]).abs().max().item() for name in before)
        for before, after in itertools.pairwise(history)
    ]


def epoch_steps(bench: Bench, experiment: E, model: M) -> int:
    """Steps of the optimizer in one epoch."""
    run = bench.run(experiment, model).output / experiment.experiment_folder / "run-1"
    return int(torch.load(run / "state.pt", weights_only=True)["optimizer"]["state"][0]["step"])


def reported_in_fp32(bench: Bench, experiment: E, model: M) -> Weights:
    """The weights of a run; its reported accuracy is that of the weights in fp32."""
    run = bench.run(experiment, model)
    again = evaluate_run(
        Run.read(run.output / experiment.experiment_folder / "run-1"),
        bench.root,
        tiny_configs({"precision": "fp32"})[0],
    )
    assert again.accuracy == run.results.accuracy
    return run.weights[0]


# Probes: files, data, machine


def result_files(bench: Bench, experiment: E, model: M) -> Any:
    """The folder of the results, below the output folder."""
    output = bench.run(experiment, model).output
    (actual,) = (path.relative_to(output).parent for path in output.rglob("results.json"))
    return actual.as_posix()


def run_folders(bench: Bench, experiment: E, model: M) -> Any:
    """Folders of the runs, which all have other weights."""
    run = bench.run(experiment, model)
    folders = sorted(path.parent.name for path in run.output.rglob("model.pt"))
    assert len({str(plain(weights)) for weights in run.weights}) == len(folders) == len(run.results.runs)
    return folders


def dataset(bench: Bench, experiment: E, model: M) -> Any:
    """The folder that an experiment used, and the weights that it made of it."""
    run = bench.run(experiment, model)
    return run.results.dataset, run.weights


def trained_from_config_root(bench: Bench, experiment: E, model: M) -> Any:
    """The weights that the train command makes without --data-root."""
    files = bench.scratch()
    paths = files / "experiment.json", files / "model.json"
    for path, config in zip(paths, (experiment, model), strict=True):
        write_json(path, config.model_dump())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(bench.folder)
        train(*paths, output=files)
    return torch.load(files / experiment.experiment_folder / "run-1" / "model.pt", weights_only=True)


def machine(gpus: int) -> Probe:
    """The device that a run takes on a machine with so many GPUs."""

    def probe(bench: Bench, experiment: E, model: M) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
            patch.setattr(torch.cuda, "device_count", lambda: gpus)
            return start_runtime(experiment.device, experiment.gpu_index, experiment.precision).device

    return probe


# Probes: networks and scores


def architecture(observe: Callable[[Bench, E, M], Any], *names: str) -> Probe:
    """Shapes of some weights, and what they lead to."""

    def probe(bench: Bench, experiment: E, model: M) -> Any:
        weights = bench.network(experiment, model).state_dict()
        return [tuple(weights[name].shape) if name in weights else None for name in names], observe(
            bench, experiment, model
        )

    return probe


def scores(bench: Bench, experiment: E, model: M) -> Tensor:
    """Scores of an untrained network."""
    return bench.scores(experiment, model)


def feature_map(bench: Bench, experiment: E, model: M) -> Any:
    """Mel bins and frames after the convolutions."""
    return tuple(bench.network(experiment, model).encoder.feature_map(torch.zeros(2, MELS, FRAMES)).shape[2:])


def fusion_varies(bench: Bench, experiment: E, model: M) -> bool:
    """Whether training fuses the same views differently each time."""
    network = bench.network(experiment, model)
    tokens = torch.arange(2 * 4 * 8.0).sin().view(2, 4, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return not torch.equal(network.fuse(tokens), network.fuse(tokens))
