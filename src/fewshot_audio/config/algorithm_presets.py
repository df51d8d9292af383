"""Ready configs of MetaAudio's algorithms (Heggan et al. 2022), in its protocol: 5-way, 1 shot, 1 query, 10,000 tests.

The numbers are those of the parameter files that were published with the paper; each algorithm's file is of one
dataset (``source``). What other datasets had is not known: all take the same numbers here. A batch of theirs is
``episodes_per_step`` tasks; ten of them are an epoch. Training never stops early.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from fewshot_audio.config.experiment import PHASES, ExperimentConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.config.model import EncoderName, ModelConfig
from fewshot_audio.config.presets import hyperparameters, scenario_configs

PresetName: TypeAlias = Literal["fo-maml", "fo-meta-curvature", "meta-baseline", "simpleshot"]
PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)
STEPS_PER_EPOCH, WAY, VALIDATION_TASKS, TEST_TASKS = 10, 5, 200, 10_000


@dataclass(frozen=True)
class Preset:
    """An algorithm's published hyper-parameters, and what is ours because it was not published.

    Attributes:
        source: the dataset of the parameter file.
        lr: learning rate of Adam.
        tasks_per_step: tasks whose gradients are averaged in a step.
        epochs: of ten steps each.
        keys: further keys.
    """

    source: str
    lr: float
    tasks_per_step: int
    epochs: int
    keys: dict[str, Any] = field(default_factory=dict)


PRESETS: dict[PresetName, Preset] = {
    "fo-maml": Preset("ESC-50", 0.001, 50, 200, {"algorithm.inner_steps": 8, "algorithm.inner_lr": 0.4}),
    "fo-meta-curvature": Preset(
        "FSDKaggle2018", 0.0005, 20, 300, {"algorithm.inner_steps": 4, "algorithm.inner_lr": 1.0}
    ),
    # The first stage is 300 epochs over the data at a rate of 0.0001 in batches of 80; here it has the rate of the
    # second, and the same share of the steps is ours.
    "meta-baseline": Preset(
        "VoxCeleb1", 0.001, 10, 5000, {"distance": "cosine", "score_scale": 10.0, "loss.pretraining_epochs": 1000}
    ),
    # A batch of 100 segments is an episode here: 20 classes of 5 segments, which balances the classes as the weighted
    # loss of the file does.
    "simpleshot": Preset(
        "VoxCeleb1",
        0.0001,
        1,
        1000,
        {"embedding_transform": "center_l2", "n_way_train": 20, "n_shot_train": 4},
    ),
}


def algorithm_configs(
    dataset: str, name: PresetName, encoder: EncoderName = "Hybrid", epochs: int | None = None
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair of configs of an algorithm for a dataset and an encoder.

    With another number of ``epochs`` than the published one, a first stage of the training keeps its share of them.
    """
    preset = PRESETS[name]
    epochs = epochs or preset.epochs
    first_stage = preset.keys.get("loss.pretraining_epochs", 0)
    keys = preset.keys | {"loss.pretraining_epochs": math.ceil(first_stage * epochs / preset.epochs)}
    changes: dict[str, Any] = {
        "algorithm.name": name,
        "lr": preset.lr,
        "scheduler_milestones": [],
        "episodes_per_step": preset.tasks_per_step,
        "n_training_tasks": STEPS_PER_EPOCH * preset.tasks_per_step,
        "num_epochs": epochs,
        "patience": epochs,
        "n_validation_tasks": VALIDATION_TASKS,
        "n_testing_tasks": TEST_TASKS,
        "num_runs": 1,
        "multi_segm": hyperparameters(dataset).multi_segm,
        "experiment_folder": f"{dataset}_{name}_{encoder}",
    }
    changes |= {f"n_way_{phase}": WAY for phase in PHASES}
    changes |= {f"n_{what}_{phase}": 1 for phase in PHASES for what in ("shot", "query")}
    if name in ("fo-maml", "fo-meta-curvature"):
        changes[f"{encoder}.out_dim"] = WAY  # the outputs are the scores of the classes
    return change_configs(*scenario_configs(dataset, 1, encoder=encoder), changes | keys, f"algorithm {name!r}")
