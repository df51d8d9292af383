"""What is searched: ranges and choices of config keys, from a file or all that the published tables name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import optuna
from pydantic import Field, model_validator

from fewshot_audio.config import ExperimentConfig, ModelConfig, read_json, validate
from fewshot_audio.config.base import Section
from fewshot_audio.config.load import change_configs
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.studies.holdout import check_training

# They decide which validation tasks are solved, how long training lasts, or where; or they act in testing alone.
FIXED = {
    *("dataset_name", "data_root", "input_type", "disjoint_groups", "joint_sampling"),
    *("seed", "num_runs", "num_epochs", "patience"),
    *("n_way_validation", "n_shot_validation", "n_query_validation", "n_validation_tasks"),
    *("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks", "test_seed", "multi_segm", "tie_strategy"),
    *("experiment_folder", "device", "gpu_index"),
}
Value: TypeAlias = str | int | float | bool | None


class Floats(Section):
    """``{"float": [low, high], "log": true}``: any number between, even in its logarithm with ``log``."""

    between: Annotated[list[float], Field(alias="float", min_length=2, max_length=2)]
    log: bool = False

    @model_validator(mode="after")
    def _increases(self) -> Self:
        _check_range(*self.between, log=self.log)
        return self

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler choose."""
        return trial.suggest_float(key, self.between[0], self.between[1], log=self.log)

    def ends(self) -> list[Value]:
        """The extreme values."""
        return list(self.between)

    def find(self, value: Any) -> list[Value]:
        """The value, if it lies between."""
        return [value] if isinstance(value, float) and self.between[0] <= value <= self.between[1] else []


class Ints(Section):
    """``{"int": [low, high], "log": true}``: any whole number from low to high."""

    between: Annotated[list[int], Field(alias="int", min_length=2, max_length=2)]
    log: bool = False

    @model_validator(mode="after")
    def _increases(self) -> Self:
        _check_range(*self.between, log=self.log)
        return self

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler choose."""
        return trial.suggest_int(key, self.between[0], self.between[1], log=self.log)

    def ends(self) -> list[Value]:
        """The extreme values."""
        return list(self.between)

    def find(self, value: Any) -> list[Value]:
        """The value, if it lies between."""
        return [value] if isinstance(value, int) and self.between[0] <= value <= self.between[1] else []


class Choices(Section):
    """``{"choice": [64, 128, 256]}``: one of them."""

    choice: Annotated[list[Value], Field(min_length=1)]

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler choose."""
        chosen: Value = trial.suggest_categorical(key, self.choice)
        return chosen

    def ends(self) -> list[Value]:
        """All values."""
        return list(self.choice)

    def find(self, value: Any) -> list[Value]:
        """The value, if it is one of them; 15 and 15.0 are the same, 1 and true are not."""
        kind = isinstance(value, bool)
        return [choice for choice in self.choice if choice == value and isinstance(choice, bool) is kind][:1]


Dimension: TypeAlias = Floats | Ints | Choices


@dataclass(frozen=True)
class Space:
    """Dimensions by dotted config key."""

    dimensions: dict[str, Dimension]

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """Let the sampler choose a value for every key."""
        return {key: dimension.suggest(trial, key) for key, dimension in self.dimensions.items()}

    def values_of(self, experiment: ExperimentConfig, model: ModelConfig) -> dict[str, Value]:
        """The values that a pair of configs has at the keys, where they lie in the space."""
        files = experiment.model_dump() | model.model_dump()
        found = {key: dimension.find(_at(files, key)) for key, dimension in self.dimensions.items()}
        return {key: values[0] for key, values in found.items() if values}

    def as_json(self) -> dict[str, Any]:
        """As a space file has it."""
        return {key: dimension.model_dump(by_alias=True) for key, dimension in self.dimensions.items()}


def read_space(path: Path) -> Space:
    """Read a space file: a JSON object of dotted keys and their dimensions.

    Raises ConfigError naming the file and the key; whether the keys exist is checked with the configs.
    """
    entries = read_json(path)
    if not entries:
        raise ConfigError(f"{path}: an empty space: expected config keys with their ranges or choices")
    return Space({key: _dimension(f"{path}: {key!r}", entry) for key, entry in entries.items()})


def default_space(experiment: ExperimentConfig) -> Space:
    """All that the published tables name and that has an effect in this experiment."""
    widths: dict[str, Any] = {"choice": [64, 128, 256, 512]}
    entries: dict[str, dict[str, Any]] = {
        "lr": {"float": [1e-4, 3e-3], "log": True},
        "scheduler_gamma": {"float": [0.2, 0.8]},
    }
    if experiment.input_type == "spec" and experiment.specaug_params.use:
        entries |= {
            "specaug_params.mask_param": {"int": [4, 24]},
            "specaug_params.W": {"int": [8, 40]},
            "specaug_params.num_mask": {"int": [1, 3]},
            "specaug_params.p": {"float": [0.1, 0.5]},
        }
    if experiment.contrastive:
        entries |= {"loss.l_param": {"float": [0.1, 20.0], "log": True}, "Projection.hidden_dim": widths}
        if experiment.project_prototypes:  # else its width is that of the prototypes
            entries["Projection.output_dim"] = widths
    if experiment.contrastive == "cpl":
        rows = experiment.n_query_train * (1 if experiment.use_attention else experiment.query_views("train"))
        entries["loss.cpl.m_param"] = {"int": [1, min(5, rows)]}
        entries["loss.cpl.t_param"] = {"float": [1.0, 10.0], "log": True}
    if experiment.contrastive == "angular":
        entries["loss.angular.angle"] = {"choice": [0, 15, 30, 45]}
        entries["loss.angular.prototypes_as_anchors"] = {"choice": [False, True]}
    return Space({key: _dimension(key, entry) for key, entry in entries.items()})


def check_space(space: Space, experiment: ExperimentConfig, model: ModelConfig, dataset: Dataset, where: str) -> None:
    """Try the ends of every dimension on the base pair, before any work. Raises ConfigError naming the key."""
    for key, dimension in space.dimensions.items():
        at = f"{where}: {key!r}"
        if key in FIXED:
            raise ConfigError(f"{at} cannot be searched: it decides which tasks are solved or where, or only tests it")
        for value in dimension.ends():
            changed = change_configs(experiment, model, {key: value}, at)
            try:
                check_training(dataset, *changed, ("train",))
            except ConfigError as error:
                raise ConfigError(f"{at} = {value!r}: {error}") from error


def _dimension(where: str, entry: Any) -> Dimension:
    kinds: dict[str, type[Dimension]] = {"float": Floats, "int": Ints, "choice": Choices}
    named = [name for name in kinds if isinstance(entry, dict) and name in entry]
    if len(named) != 1:
        kinds_shown = '{"float": [low, high]}, {"int": [low, high]} or {"choice": [...]}'
        raise ConfigError(f"{where}: expected {kinds_shown}, found {entry!r}")
    return validate(kinds[named[0]], entry, where)


def _check_range(low: float, high: float, *, log: bool) -> None:
    if low >= high:
        raise ValueError(f"[{low}, {high}]: the first number must be smaller than the second")
    if log and low <= 0:
        raise ValueError(f"[{low}, {high}]: a logarithmic range starts above 0")


def _at(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def describe(values: Mapping[str, Value]) -> str:
    """Values as a person reads them."""
    words = [
        f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}" for key, value in values.items()
    ]
    return ", ".join(words)
