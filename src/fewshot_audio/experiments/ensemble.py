"""Joining the runs of an experiment into one network: their encoders side by side (``models.ensemble``)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

import torch

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.frozen import frozen_references, in_words
from fewshot_audio.config.model import PRETRAINED, MemberName, ModelConfig
from fewshot_audio.engine.history import WEIGHTS_FILE
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.same_experiment import check_same_experiment
from fewshot_audio.models.ensemble import ensemble_members
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.runtime.tensor_file import save_tensors

TESTED_BY = (
    *("dataset_name", "input_type", "distance", "score_scale", "embedding_transform", "multi_segm", "tie_strategy"),
    *("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks", "test_seed", "disjoint_groups", "joint_sampling"),
    *("test_query_augmentations", "specaug_params", "waveaug_params"),
)
"""Keys that decide how embeddings are made, compared and tested: networks of different encoders agree in these."""


def join_runs(folders: Sequence[Path], output: Path) -> Run:
    """Join the networks of runs into one, and write it as the folder of a new run.

    The new run is tested, enrolled with, exported and served as any run, and costs as much as its members together. The
    projection head, which only training needs, is left out. Networks of different encoders may have been trained in
    different ways; what the new run's files say of training is that of the first.

    Args:
        folders: the run folders.
        output: the folder of the new run.

    Returns:
        The new run.

    Raises:
        ConfigError: fewer than two runs, runs of different experiments (of different encoders: runs that are tested in
            different ways), the same network twice, be it as a member, or networks with parts beside the encoder that
            cannot be joined.
        DataError: a folder is no run folder, or the output exists.
    """
    runs = [Run.read(folder) for folder in folders]
    if len(runs) < 2:
        raise ConfigError(f"a join needs at least two runs, found {len(runs)}")
    if output.exists():
        raise DataError(f"{output} exists: choose another folder")
    first = runs[0]
    of_encoder: dict[str, Run] = {}
    for run in runs:
        _check_can_join(run.experiment)
        _check_same_tests(run, first)
        check_same_experiment(run, of_encoder.setdefault(_encoder(run), run))
    seen: dict[tuple[str, int], Run] = {}
    for run in runs:
        twin = seen.setdefault((_encoder(run), run.seed), run)
        if twin is not run:
            raise ConfigError(f"{run.folder} and {twin.folder} are the same run (seed {run.seed})")
    joined = replace(
        first,
        folder=output,
        experiment=first.experiment.model_copy(update={"use_contrastive": False}),
        model=_joined_model(runs),
    )
    networks = [run.trained_network() for run in runs]
    _check_members_differ(runs, networks)
    network = side_by_side(networks, joined.untrained_network())
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
    if joined.center is not None:
        total = len(encoders)  # an ensemble's embedding and center are divided by the square root of its size
        centers = [
            network.center * math.sqrt(len(ensemble_members(network.encoder)) / total)
            for network in networks
            if network.center is not None
        ]
        joined.center.copy_(torch.cat(centers))
    if joined.whitening is not None:
        blocks = [network.whitening for network in networks if network.whitening is not None]
        joined.whitening.copy_(torch.block_diag(*blocks))  # type: ignore[no-untyped-call]
    return joined


def _encoder(run: Run) -> str:
    """The encoder of a run's network, or those of its members if they are different ones, in words."""
    members = run.model.members
    return ", ".join(members) if isinstance(members, list) else in_words(run.experiment.encoder_name)


def _check_same_tests(run: Run, first: Run) -> None:
    """Raise ConfigError if a run of another encoder than the first embeds, compares or is tested otherwise."""
    if _encoder(run) == _encoder(first):
        return  # these have all settings in common
    for key in TESTED_BY:
        own, expected = getattr(run.experiment, key), getattr(first.experiment, key)
        if own != expected:
            raise ConfigError(f"{run.folder}: {key} is {own!r}, but {expected!r} in {first.folder}")
    if run.dataset != first.dataset:
        raise ConfigError(f"{run.folder} was trained on other data than {first.folder}: the dataset folders differ")


def _joined_model(runs: Sequence[Run]) -> ModelConfig:
    """The model config of the first run with all runs' members, and the sections of their encoders."""
    names = [name for run in runs for name in run.model.member_names(run.experiment.encoder_name)]
    if all(name == names[0] for name in names):
        return runs[0].model.model_copy(update={"members": len(names)})
    sections: dict[str, Any] = {}
    for run in runs:
        for name in run.model.member_kinds(run.experiment.encoder_name):
            if name not in get_args(MemberName):
                raise ConfigError(
                    f"{run.folder}: encoder_name is {name!r}: networks of different encoders are joined only if they "
                    f"are of {', '.join(get_args(MemberName))}"
                )
            section = run.model.encoder(name)
            if sections.setdefault(str(name), section) != section:
                raise ConfigError(f"{run.folder}: its section {name} is another one than that of the runs before it")
    return runs[0].model.model_copy(update={**sections, "members": names})


def _check_members_differ(runs: Sequence[Run], networks: Sequence[FewShotNetwork]) -> None:
    """Raise ConfigError if two runs, of which either may be a join, have the same encoder with the same weights."""
    seen: list[tuple[Run, dict[str, torch.Tensor]]] = []
    for run, network in zip(runs, networks, strict=True):
        for member in ensemble_members(network.encoder):
            own = member.state_dict()
            for other, weights in seen:
                same = own.keys() == weights.keys() and all(torch.equal(own[key], weights[key]) for key in own)
                if same:
                    raise ConfigError(f"{run.folder} and {other.folder} hold the same network: join each once")
            seen.append((run, own))


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
