"""The space of a search: ranges and choices of config keys, from a file or those of the published tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import optuna
from pydantic import Field, model_validator

from fewshot_audio.config import ExperimentConfig, ModelConfig, Role, keys_with, read_json, validate
from fewshot_audio.config.base import Section
from fewshot_audio.config.keys import split_key
from fewshot_audio.config.load import change_configs
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.studies.fingerprint import former_spelling
from fewshot_audio.studies.holdout import check_training

FIXED_KEYS = keys_with(Role.FIXED_IN_SEARCH)
Value: TypeAlias = str | int | float | bool | None


class _Range(Section):
    log: bool = False
    between: list[Any]

    @model_validator(mode="after")
    def _increases(self) -> Self:
        low, high = self.between
        if low >= high:
            raise ValueError(f"[{low}, {high}]: the first number must be smaller than the second")
        if self.log and low <= 0:
            raise ValueError(f"[{low}, {high}]: a logarithmic range starts above 0")
        return self

    def ends(self) -> list[Value]:
        """The smallest and the largest value."""
        return list(self.between)

    def find(self, value: Any) -> list[Value]:
        """The value, if it is of the range's type and lies in it."""
        low, high = self.between
        return [value] if isinstance(value, type(low)) and low <= value <= high else []


class Floats(_Range):
    """``{"float": [low, high], "log": true}``: any number of the range; uniform in the logarithm with ``log``."""

    between: Annotated[list[float], Field(alias="float", min_length=2, max_length=2)]

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler draw a value."""
        return trial.suggest_float(key, self.between[0], self.between[1], log=self.log)


class Ints(_Range):
    """``{"int": [low, high], "log": true}``: any whole number from low to high."""

    between: Annotated[list[int], Field(alias="int", min_length=2, max_length=2)]

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler draw a value."""
        return trial.suggest_int(key, self.between[0], self.between[1], log=self.log)


class Choices(Section):
    """``{"choice": [64, 128, 256]}``: one of them."""

    choice: Annotated[list[Value], Field(min_length=1)]

    def suggest(self, trial: optuna.Trial, key: str) -> Value:
        """Let the sampler draw a value."""
        return trial.suggest_categorical(key, self.choice)

    def ends(self) -> list[Value]:
        """All values."""
        return list(self.choice)

    def find(self, value: Any) -> list[Value]:
        """The choice that equals the value, if there is one: 15 and 15.0 are equal, 1 and true are not."""
        is_bool = isinstance(value, bool)
        return [choice for choice in self.choice if choice == value and isinstance(choice, bool) is is_bool][:1]


Dimension: TypeAlias = Floats | Ints | Choices


@dataclass(frozen=True)
class Space:
    """Dimensions by dotted config key."""

    dimensions: dict[str, Dimension]

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """Let the sampler draw a value for every key."""
        return {key: dimension.suggest(trial, key) for key, dimension in self.dimensions.items()}

    def values_of(self, experiment: ExperimentConfig, model: ModelConfig) -> dict[str, Value]:
        """The values of a pair of configs that lie in the space, by key."""
        configs = experiment.model_dump() | model.model_dump()
        values = {}
        for key, dimension in self.dimensions.items():
            value = _value_at(configs, key)
            if matches := dimension.find(value) or dimension.find(former_spelling(value)):
                values[key] = matches[0]
        return values

    def as_json(self) -> dict[str, Any]:
        """The space as a space file has it."""
        return {key: dimension.model_dump(by_alias=True) for key, dimension in self.dimensions.items()}


def read_space(path: Path) -> Space:
    """Read a space file: a JSON object of dotted keys and their ranges or choices.

    Whether the keys exist is left to ``check_space``.

    Raises:
        ConfigError: names the file and the key.
    """
    entries = read_json(path)
    if not entries:
        raise ConfigError(f"{path}: found an empty space, expected config keys with their ranges or choices")
    return Space({key: _dimension(f"{path}: {key!r}", entry) for key, entry in entries.items()})


def default_space(experiment: ExperimentConfig) -> Space:
    """The keys that the published tables tune, if they have an effect in this experiment."""
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
        rows = experiment.n_query_train * experiment.query_rows("train")
        entries["loss.cpl.m_param"] = {"int": [1, min(5, rows)]}
        entries["loss.cpl.t_param"] = {"float": [1.0, 10.0], "log": True}
    if experiment.contrastive == "angular":
        entries["loss.angular.angle"] = {"choice": [0, 15, 30, 45]}
        entries["loss.angular.prototypes_as_anchors"] = {"choice": [False, True]}
    return Space({key: _dimension(key, entry) for key, entry in entries.items()})


def check_space(space: Space, experiment: ExperimentConfig, model: ModelConfig, dataset: Dataset, source: str) -> None:
    """Check the extreme values of every key on the base pair.

    Args:
        space: the space of the search.
        experiment: the experiment config of the base.
        model: the model config of the base.
        dataset: the training and validation classes.
        source: the space's file, for messages.

    Raises:
        ConfigError: a key is unknown or cannot be searched, or a value does not fit; names the key.
    """
    for key, dimension in space.dimensions.items():
        label = f"{source}: {key!r}"
        if key in FIXED_KEYS:
            raise ConfigError(
                f"{label} cannot be searched: it decides on the validation tasks, the length or the place of training, "
                "or is used in testing only"
            )
        for value in dimension.ends():
            configs = change_configs(experiment, model, {key: value}, label)
            try:
                check_training(dataset, *configs, ("train",))
            except ConfigError as error:
                raise ConfigError(f"{label} = {value!r}: {error}") from error


def _dimension(label: str, entry: Any) -> Dimension:
    kinds: dict[str, type[Dimension]] = {"float": Floats, "int": Ints, "choice": Choices}
    names = [name for name in kinds if isinstance(entry, dict) and name in entry]
    if len(names) != 1:
        expected = '{"float": [low, high]}, {"int": [low, high]} or {"choice": [...]}'
        raise ConfigError(f"{label}: expected {expected}, found {entry!r}")
    return validate(kinds[names[0]], entry, label)


def _value_at(values: Mapping[str, Any], key: str) -> Any:
    for part in split_key(key):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def values_as_text(values: Mapping[str, Value]) -> str:
    """Values as text, such as "lr = 0.01, distance = squared"."""
    texts = {key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in values.items()}
    return ", ".join(f"{key} = {text}" for key, text in texts.items())
