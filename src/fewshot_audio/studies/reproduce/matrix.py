"""The matrix of experiments (dataset x system x encoder), and the budgets that shorten them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fewshot_audio.config import ExperimentConfig, ModelConfig, change_configs, parse_override
from fewshot_audio.config.algorithm_presets import PRESET_NAMES, algorithm_configs
from fewshot_audio.config.model import EncoderName
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.config.recipes import RUNS, Recipe, recipe_configs

DATASETS = ("ESC-50-master", "nsynth", "FSD2018", "BirdClef", "VoxCeleb")
SYSTEMS = ("1", "2", "3", "4-cpl", "4-angular", "5-cpl", "5-angular", *RUNS, *PRESET_NAMES)
SYSTEM_NAMES = {
    "1": "1 plain",
    "2": "2 enrichment",
    "3": "3 attention",
    "4-cpl": "4 CPL",
    "4-angular": "4 angular",
    "5-cpl": "5 attention + CPL",
    "5-angular": "5 attention + angular",
    "best": "recipe best",
    "fast": "recipe fast",
    "fo-maml": "FO-MAML",
    "fo-meta-curvature": "FO-Meta-Curvature",
    "meta-baseline": "Meta-Baseline",
    "simpleshot": "SimpleShot",
}

# Changes of the published protocol. "quick": five systems of one dataset within an hour on two cores. The length of the
# training is part of a recipe and of an algorithm: a budget changes their number of runs only.
BUDGETS: dict[str, dict[str, Any]] = {
    "published": {},
    "quick": {"num_runs": 1, "num_epochs": 40, "n_training_tasks": 40, "n_validation_tasks": 100},
}


@dataclass(frozen=True)
class Cell:
    """One experiment of the matrix. ``system`` is of ``SYSTEMS``: a scenario with its loss, a recipe, an algorithm."""

    dataset: str
    system: str
    encoder: EncoderName

    @property
    def system_name(self) -> str:
        """The system as the tables name it."""
        return SYSTEM_NAMES[self.system]

    @property
    def algorithm(self) -> str:
        """The algorithm by its name in the experiment file."""
        return self.system if self.system in PRESET_NAMES else "prototypes"

    def configs(self, budget: str, overrides: Sequence[str] = ()) -> tuple[ExperimentConfig, ModelConfig]:
        """The pair of configs; ``overrides`` (``key.sub=value``) replace values of the budget."""
        changes = BUDGETS[budget]
        algorithm = next((name for name in PRESET_NAMES if name == self.system), None)
        if self.system in RUNS or algorithm:
            changes = {key: value for key, value in changes.items() if key == "num_runs"}
        own = dict(map(parse_override, overrides))
        if algorithm:
            epochs = own.get("num_epochs")
            epochs = epochs if isinstance(epochs, int) and epochs > 0 else None  # else an error says what is wrong
            experiment, model = algorithm_configs(self.dataset, algorithm, self.encoder, epochs)
        elif self.system in RUNS:
            recipe: Recipe = "fast" if self.system == "fast" else "best"
            experiment, model = recipe_configs(self.dataset, recipe, self.encoder)
        else:
            scenario, _, loss_name = self.system.partition("-")
            loss: Literal["cpl", "angular"] = "angular" if loss_name == "angular" else "cpl"
            experiment, model = scenario_configs(self.dataset, int(scenario), loss, self.encoder)
        folder = f"{self.dataset}_{self.system}_{self.encoder}_{budget}"
        changes = changes | {"experiment_folder": folder} | own
        return change_configs(experiment, model, changes, f"{self.dataset} {self.system}")


def cells(datasets: Sequence[str], systems: Sequence[str], encoders: Sequence[EncoderName]) -> list[Cell]:
    """All cells, dataset by dataset."""
    return [
        Cell(dataset, system, encoder) for dataset, encoder, system in itertools.product(datasets, encoders, systems)
    ]
