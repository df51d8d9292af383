"""The matrix of experiments dataset x scenario x loss x encoder, and how much of each a budget allows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fewshot_audio.config import ExperimentConfig, ModelConfig, change_configs, parse_override
from fewshot_audio.config.model import EncoderName
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.config.recipes import RECIPES, Recipe, recipe_configs

Loss = Literal["cpl", "angular"]

DATASETS = ("ESC-50-master", "nsynth", "FSD2018", "BirdClef", "VoxCeleb")
SYSTEMS = ("1", "2", "3", "4-cpl", "4-angular", "5-cpl", "5-angular", *RECIPES)
NAMES = {
    "1": "1 plain",
    "2": "2 enrichment",
    "3": "3 attention",
    "4-cpl": "4 CPL",
    "4-angular": "4 angular",
    "5-cpl": "5 attention + CPL",
    "5-angular": "5 attention + angular",
    "best": "recipe best",
    "fast": "recipe fast",
}

# Changes of the published protocol. "quick": five systems of one dataset within an hour on two cores. How long a recipe
# trains is part of it: a budget only changes how often.
BUDGETS: dict[str, dict[str, Any]] = {
    "published": {},
    "quick": {"num_runs": 1, "num_epochs": 40, "n_training_tasks": 40, "n_validation_tasks": 100},
}


@dataclass(frozen=True)
class Cell:
    """One experiment of the matrix. ``system`` is one of ``SYSTEMS``: a scenario with its loss, or a recipe."""

    dataset: str
    system: str
    encoder: EncoderName

    def configs(self, budget: str, overrides: Sequence[str] = ()) -> tuple[ExperimentConfig, ModelConfig]:
        """The pair of configs; ``overrides`` (``key.sub=value``) come on top of the budget's."""
        budgeted = BUDGETS[budget]
        if self.system in RECIPES:
            recipe: Recipe = "fast" if self.system == "fast" else "best"
            experiment, model = recipe_configs(self.dataset, recipe, self.encoder)
            budgeted = {key: value for key, value in budgeted.items() if key == "num_runs"}
        else:
            scenario, _, loss = self.system.partition("-")
            chosen: Loss = "angular" if loss == "angular" else "cpl"
            experiment, model = scenario_configs(self.dataset, int(scenario), chosen, self.encoder)
        folder = f"{self.dataset}_{self.system}_{self.encoder}_{budget}"
        changes = budgeted | {"experiment_folder": folder} | dict(map(parse_override, overrides))
        return change_configs(experiment, model, changes, f"{self.dataset} {self.system}")


def cells(datasets: Sequence[str], systems: Sequence[str], encoders: Sequence[EncoderName]) -> Iterator[Cell]:
    """All cells, dataset by dataset."""
    for dataset in datasets:
        for encoder in encoders:
            for system in systems:
                yield Cell(dataset, system, encoder)
