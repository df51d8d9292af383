"""Joining the runs of an experiment into one network: their encoders side by side (``models.ensemble``)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.frozen import frozen_references, in_words
from fewshot_audio.config.model import PRETRAINED
from fewshot_audio.engine.history import WEIGHTS_FILE
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.same_experiment import check_same_experiment
from fewshot_audio.models.ensemble import ensemble_members
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.tensor_file import save_tensors


def join_runs(folders: Sequence[Path], output: Path) -> Run:
    """Join the networks of runs into one, and write it as the folder of a new run.

    The new run is tested, enrolled with, exported and served as any run, and costs as much as its members together. The
    projection head, which only training needs, is left out.

    Args:
        folders: the run folders.
        output: the folder of the new run.

    Returns:
        The new run.

    Raises:
        ConfigError: fewer than two runs, runs of different experiments, the same run twice, or networks with parts
            beside the encoder that cannot be joined.
        DataError: a folder is no run folder, or the output exists.
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
    save_tensors(output / WEIGHTS_FILE, network.state_dict())
    joined.write()
    return joined


def side_by_side(networks: Sequence[FewShotNetwork], joined: FewShotNetwork) -> FewShotNetwork:
    """Copy the weights of ``networks`` into ``joined``, which has as many members as they have together; return it."""
    first = networks[0]
    joined.set_normalization(float(first.norm_mean), float(first.norm_std))
    encoders = [encoder for network in networks for encoder in ensemble_members(network.encoder)]
    for member, encoder in zip(ensemble_members(joined.encoder), encoders, strict=True):
        member.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        if joined.center is not None:
            centers = [network.center for network in networks if network.center is not None]
            joined.center.copy_(torch.cat(centers) / math.sqrt(len(centers)))
    return joined


def _check_can_join(experiment: ExperimentConfig) -> None:
    obstacles = {
        "use_attention": experiment.use_attention,
        "relation_head": experiment.relation_head,
        "algorithm.name": experiment.algorithm.adapts or experiment.algorithm.name == "meta-baseline",
        "encoder_name": in_words(experiment.encoder_name).startswith(PRETRAINED)
        or bool(frozen_references(experiment.encoder_name)),
    }
    for key, is_obstacle in obstacles.items():
        if is_obstacle:
            raise ConfigError(
                f"{key} is {attrgetter(key)(experiment)!r}: only networks of an encoder and distances can be joined"
            )
