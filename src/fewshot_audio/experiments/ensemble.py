"""Joining the runs of an experiment into one network: their encoders side by side (``models.ensemble``)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.model import PRETRAINED
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.same_experiment import check_same_experiment
from fewshot_audio.models.ensemble import ensemble_members
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.tensors import MODEL_FILE, save_tensors


def join_runs(folders: Sequence[Path], output: Path) -> Run:
    """Write a run's folder whose network is those of ``folders`` together, and return it.

    It is tested, enrolled with, exported and served as any run, and costs as much as they do one after the other.
    A contrastive branch, which only training needs, is left behind. Learned scales of the scores are averaged.
    Raises ConfigError for fewer than two runs, runs of different experiments, the same run twice, and networks whose
    parts beside the encoder cannot stand side by side; DataError for a folder that is no run and an output that exists.
    """
    runs = [Run.read(folder) for folder in folders]
    if len(runs) < 2:
        raise ConfigError(f"a join needs at least two runs, found {len(runs)}")
    if output.exists():
        raise DataError(f"{output} exists: choose another folder")
    first = runs[0]
    for number, run in enumerate(runs):
        check_same_experiment(run, first)
        twin = next((other for other in runs[:number] if other.seed == run.seed), None)
        if twin:
            raise ConfigError(f"{run.folder} and {twin.folder} are the same run (seed {run.seed})")
    _check_can_join(first.experiment)
    joined = replace(
        first,
        folder=output,
        experiment=first.experiment.model_copy(update={"use_contrastive": False}),
        model=first.model.model_copy(update={"members": first.model.members * len(runs)}),
    )
    network = side_by_side([run.trained_network() for run in runs], joined.untrained_network())
    output.mkdir(parents=True)
    save_tensors(output / MODEL_FILE, network.state_dict())
    joined.write()
    return joined


def side_by_side(networks: Sequence[FewShotNetwork], joined: FewShotNetwork) -> FewShotNetwork:
    """Fill a network that has as many members as ``networks`` together with their weights, and return it."""
    first = networks[0]
    joined.set_normalization(float(first.norm_mean), float(first.norm_std))
    encoders = [encoder for network in networks for encoder in ensemble_members(network.encoder)]
    for place, encoder in zip(ensemble_members(joined.encoder), encoders, strict=True):
        place.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        if joined.center is not None:
            centers = [network.center for network in networks if network.center is not None]
            joined.center.copy_(torch.cat(centers) / math.sqrt(len(centers)))
        if joined.log_scale is not None:
            scales = [float(network.log_scale.detach()) for network in networks if network.log_scale is not None]
            joined.log_scale.fill_(sum(scales) / len(scales))
    return joined


def _check_can_join(experiment: ExperimentConfig) -> None:
    obstacles = {
        "use_attention": experiment.use_attention,
        "relation_head": experiment.relation_head,
        "encoder_name": experiment.encoder_name.startswith(PRETRAINED),
    }
    for key, stands_in_the_way in obstacles.items():
        if stands_in_the_way:
            raise ConfigError(
                f"{key} is {getattr(experiment, key)!r}: only networks of an encoder and distances can be joined"
            )
