"""Ready configs: the five scenarios with the published hyper-parameters of each dataset.

The numbers are the tables of Sgouropoulos et al. 2025; datasets without a row take ESC-50's.
"""

from dataclasses import dataclass
from typing import Literal

from fewshot_audio.config.experiment import PHASES, ExperimentConfig
from fewshot_audio.config.model import EncoderName, ModelConfig, ProjectionConfig
from fewshot_audio.config.validation import validate

MILESTONES = (20, 40, 60)


@dataclass(frozen=True)
class Hyperparameters:
    """A dataset's row of the three published tables; ``head`` is the hidden and output width of the projection head."""

    mask_param: int
    W: int
    num_mask: int
    p: float
    lr: float
    gamma: float
    head: tuple[int, int]
    l_param: float
    t_param: float
    m_param: int
    angle: float
    prototypes_as_anchors: bool
    multi_segm: bool


PUBLISHED = {
    "esc-50-master": Hyperparameters(7, 20, 2, 0.3127, 0.00038, 0.376, (128, 256), 1.7235, 6.0488, 3, 15, True, False),
    "fsd2018": Hyperparameters(16, 22, 1, 0.282, 0.0007, 0.4482, (512, 256), 2.022308, 9.2361, 5, 30, False, True),
    "nsynth": Hyperparameters(9, 36, 1, 0.42157, 0.0008, 0.48426, (64, 64), 8.566, 4.081, 3, 15, False, False),
    "birdclef": Hyperparameters(6, 29, 1, 0.298, 0.00149, 0.59974, (128, 256), 9.1625, 2.6981, 4, 15, False, True),
    "voxceleb": Hyperparameters(6, 29, 1, 0.298, 0.00149, 0.59974, (128, 256), 9.1625, 2.6981, 4, 0, True, True),
}


def hyperparameters(dataset: str) -> Hyperparameters:
    """Return a dataset's published hyper-parameters, or ESC-50's if none are published."""
    return PUBLISHED.get(dataset.lower(), PUBLISHED["esc-50-master"])


def scenario_configs(
    dataset: str, scenario: int, loss: Literal["cpl", "angular"] = "cpl", encoder: EncoderName = "Hybrid"
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return valid configs of scenario 1 (plain), 2 (enrichment), 3 (attention), 4 (contrastive) or 5 (all)."""
    if scenario not in range(1, 6):
        raise ValueError(f"scenario {scenario}: expected 1 to 5")
    preset = hyperparameters(dataset)
    attention, contrastive, views = scenario in (3, 5), scenario in (4, 5), scenario in (2, 3, 5)
    episodes = {f"n_{what}_{phase}": 5 for what in ("way", "shot", "query") for phase in PHASES}
    suffix = f"{loss}_" if contrastive else ""
    experiment = {
        "encoder_name": encoder,
        "dataset_name": dataset,
        "use_attention": attention,
        "use_contrastive": contrastive,
        "input_type": "spec",
        **episodes,
        "train_query_augmentations": views,
        "validation_query_augmentations": attention,
        "test_query_augmentations": attention,
        "lr": preset.lr,
        "loss": {
            "l_param": preset.l_param,
            "cpl": {"use": contrastive and loss == "cpl", "m_param": preset.m_param, "t_param": preset.t_param},
            "angular": {
                "use": contrastive and loss == "angular",
                "angle": preset.angle,
                "prototypes_as_anchors": preset.prototypes_as_anchors,
            },
        },
        "num_epochs": 200,
        "multi_segm": preset.multi_segm,
        "tie_strategy": "",
        "relation_head": False,
        "n_training_tasks": 100,
        "n_testing_tasks": 2000,
        "device": "auto",
        "gpu_index": 0,
        "scheduler_milestones": list(MILESTONES),
        "scheduler_gamma": preset.gamma,
        "patience": 70,
        "experiment_folder": f"{dataset}_scenario-{scenario}_{suffix}{encoder}",
        "normalize_prototypes": True,
        "project_prototypes": True,
        "specaug_params": {
            "use": views,
            "mask_param": preset.mask_param,
            "W": preset.W,
            "num_mask": preset.num_mask,
            "mask_value": 0,
            "p": preset.p,
        },
    }
    projection = ProjectionConfig(hidden_dim=preset.head[0], output_dim=preset.head[1])
    return validate(ExperimentConfig, experiment, f"configs of {dataset!r}"), ModelConfig(Projection=projection)
