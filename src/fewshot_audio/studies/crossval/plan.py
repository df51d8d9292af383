"""The plan of a cross-validation (candidates, folds, rungs, protocol), read and checked before any training."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig, Role, keys_with, validate
from fewshot_audio.config.load import change_configs
from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.errors import ConfigError, format_names, plural
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.holdout import check_training, hold_out, make_folds, open_development

BASE = "base"
FIXED_KEYS = keys_with(Role.FIXED_IN_CROSSVAL)


@dataclass(frozen=True)
class Candidate:
    """A pair of configs under a name; ``changes`` are the dotted keys that set it apart from the base pair."""

    name: str
    changes: dict[str, Any]
    experiment: ExperimentConfig
    model: ModelConfig


@dataclass(frozen=True)
class Rung:
    """A step of successive halving: the remaining candidates are trained for ``epochs`` on the first folds."""

    folds: int
    epochs: int

    def __str__(self) -> str:
        """The rung as the command line has it."""
        return f"{self.folds}x{self.epochs}"


@dataclass(frozen=True)
class CrossvalProtocol:
    """How candidates are trained and tested.

    Attributes:
        folds: number of folds that the classes are dealt into.
        fold_seed: seed of the deal.
        seeds: seeds of the trainings on each fold.
        shots: shots of the test tasks; candidates are ranked by the first.
        tasks: test tasks per fold and shot.
        keep: share of the candidates that go on to the next rung.
    """

    folds: int = 5
    fold_seed: int = 0
    seeds: tuple[int, ...] = (0,)
    shots: tuple[int, ...] = (5, 1)
    tasks: int = 1000
    keep: float = 0.5

    def __post_init__(self) -> None:
        """Raise ConfigError for values that are out of range."""
        for name in ("seeds", "shots"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{name} {list(values)}: expected at least one, each once")
        if min(self.seeds) < 0 or min(self.shots) < 1 or self.tasks < 1:
            raise ConfigError("expected seeds >= 0, shots >= 1 and at least one task")
        if not 0 < self.keep < 1:
            raise ConfigError(f"keep {self.keep}: expected a share between 0 and 1")


@dataclass(frozen=True)
class Plan:
    """A cross-validation, for the processes that work on it.

    Attributes:
        folder: the folder of the results.
        data_root: the folder of the dataset folders.
        candidates: the pairs of configs to compare; the first is the base.
        folds: the classes of each fold.
        rungs: the steps of successive halving.
        protocol: how candidates are trained and tested.
        fingerprint: of the data of the training and validation classes.
    """

    folder: Path
    data_root: Path
    candidates: tuple[Candidate, ...]
    folds: tuple[tuple[str, ...], ...]
    rungs: tuple[Rung, ...]
    protocol: CrossvalProtocol
    fingerprint: str


def read_candidates(path: Path, experiment: ExperimentConfig, model: ModelConfig) -> tuple[Candidate, ...]:
    """Read a JSON list of ``{"name": ..., "set": {"dotted.key": value}}``: changes of the base pair.

    Args:
        path: the file.
        experiment: the experiment config of the base.
        model: the model config of the base.

    Returns:
        The base and the candidates of the file.

    Raises:
        ConfigError: names the file, the candidate and the key.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: expected a list of candidates, found {type(entries).__name__}")
    candidates = [Candidate(BASE, {}, experiment, model)]
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or set(entry) != {"name", "set"}:
            raise ConfigError(f'{path}: candidate {number}: expected {{"name": ..., "set": {{...}}}}, found {entry!r}')
        candidates.append(_candidate(f"{path}: candidate {entry['name']!r}", entry, experiment, model))
    duplicates = [name for name, count in Counter(candidate.name for candidate in candidates).items() if count > 1]
    if duplicates:
        reserved = f" ({BASE!r} is the pair without changes)" if BASE in duplicates else ""
        raise ConfigError(f"{path}: names that are given twice: {', '.join(duplicates)}{reserved}")
    return tuple(candidates)


def _candidate(label: str, entry: Mapping[str, Any], experiment: ExperimentConfig, model: ModelConfig) -> Candidate:
    name, changes = entry["name"], entry["set"]
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigError(f"{label}: a name is a printable string")
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(f"{label}: 'set' is an object of dotted keys and their values")
    fixed = [key for key in changes if key in FIXED_KEYS]
    if fixed:
        raise ConfigError(f"{label}: {', '.join(fixed)} must be the same for every candidate: set it in the base pair")
    return Candidate(name, changes, *change_configs(experiment, model, changes, label))


def parse_rungs(text: str) -> tuple[Rung, ...]:
    """Read rungs such as ``2x10,5x10,5x40`` (folds x epochs). Raises ConfigError."""
    rungs = []
    for part in text.split(","):
        folds, cross, epochs = part.strip().partition("x")
        if not cross or not folds.isdecimal() or not epochs.isdecimal() or not int(folds) or not int(epochs):
            raise ConfigError(f"rung {part.strip()!r}: expected folds x epochs, for example 2x10,5x10,5x40")
        rungs.append(Rung(int(folds), int(epochs)))
    return tuple(rungs)


def make_plan(
    folder: Path,
    data_root: Path,
    candidates: Sequence[Candidate],
    rungs: Sequence[Rung],
    protocol: CrossvalProtocol,
    progress: Progress = silent,
) -> Plan:
    """Deal the training and validation classes into folds and check every candidate on every fold and rung.

    Args:
        folder: the folder of the results; it is not written to.
        data_root: the folder of the dataset folders.
        candidates: what ``read_candidates`` returns.
        rungs: the steps of successive halving.
        protocol: how candidates are trained and tested.
        progress: called while datasets are opened.

    Raises:
        ConfigError: a candidate or a rung does not fit; names it.
        DataError: the dataset is missing or damaged.
    """
    base = candidates[0].experiment
    dataset = open_development(data_root, base, progress)
    folds = make_folds(dataset.data.splits.classes, protocol.folds, protocol.fold_seed)
    for rung in rungs:
        if rung.folds > len(folds):
            raise ConfigError(f"rung {rung}: there are {len(folds)} folds")
    _check_folds(folds, base, dataset.data.store.index, protocol)
    complete = []
    for candidate in candidates:
        model = candidate.model
        try:
            data = open_development(data_root, candidate.experiment, progress)
            if data.fingerprint != dataset.fingerprint:
                raise ConfigError("input_type: its clips differ from those of the base, so tasks would differ too")
            for epochs, shot in itertools.product({rung.epochs for rung in rungs}, protocol.shots):
                experiment = with_test_tasks(with_training(candidate.experiment, epochs, 0), protocol, shot)
                for classes in folds:
                    model = check_training(hold_out(data, classes), experiment, model, ("train", "test"))
        except ConfigError as error:
            lines = [f"candidate {candidate.name!r}: {line}" for line in str(error).splitlines()]
            raise ConfigError("\n".join(lines)) from error
        complete.append(replace(candidate, model=model))
    return Plan(folder, data_root, tuple(complete), tuple(folds), tuple(rungs), protocol, dataset.fingerprint)


def _check_folds(
    folds: Sequence[Sequence[str]], base: ExperimentConfig, index: ClipIndex, protocol: CrossvalProtocol
) -> None:
    """Check that each fold, whose classes a training leaves out and is tested on, has the classes and clips of a task.

    Raises:
        ConfigError: names the option or key that can be changed.
    """
    way, smallest = base.n_way_test, min(map(len, folds))
    n_classes = sum(map(len, folds))
    if way > smallest:
        most = n_classes // way
        remedy = f"use --folds {most}" + (" or fewer" if most > 2 else "") if most >= 2 else "prepare more classes"
        raise ConfigError(
            f"n_way_test is {way}, but the smallest of {len(folds)} folds has {plural(smallest, 'class')} to test on "
            f"(of {n_classes} training and validation classes): {remedy}, or set a smaller n_way_test"
        )
    shot = max(protocol.shots)
    needed = shot + base.n_query_test
    clips = {name: len(index.by_class[name]) for classes in folds for name in classes}
    small = [f"{name!r} ({count})" for name, count in sorted(clips.items()) if count < needed]
    if small:
        raise ConfigError(
            f"--shots {shot} and n_query_test {base.n_query_test} need {needed} clips per class to test on, but some "
            f"have fewer: {format_names(small)}; use fewer shots, or set a smaller n_query_test"
        )


def with_training(experiment: ExperimentConfig, epochs: int, seed: int) -> ExperimentConfig:
    """The experiment with the length and the seed of one training."""
    return validate(ExperimentConfig, experiment.model_dump() | {"num_epochs": epochs, "seed": seed}, "crossval")


def with_test_tasks(experiment: ExperimentConfig, protocol: CrossvalProtocol, shot: int) -> ExperimentConfig:
    """The experiment with the test tasks of ``protocol`` at one of its shots."""
    changes = {"n_shot_test": shot, "n_testing_tasks": protocol.tasks}
    return validate(ExperimentConfig, experiment.model_dump() | changes, "crossval")
