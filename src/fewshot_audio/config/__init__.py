"""The two JSON files of an experiment as strict, typed models."""

from fewshot_audio.config.augmentation import SpecAugParams, WaveAugParams
from fewshot_audio.config.base import Role
from fewshot_audio.config.checks import check_classes, check_configs, check_front_end, check_input, check_steps
from fewshot_audio.config.experiment import PHASES, ExperimentConfig, Phase
from fewshot_audio.config.input_augmentation import InputAugmentation
from fewshot_audio.config.keys import keys_with
from fewshot_audio.config.load import (
    EXPERIMENT_FILE,
    MODEL_CONFIG_FILE,
    change_configs,
    parse_json,
    parse_override,
    read_configs,
    read_json,
)
from fewshot_audio.config.model import ModelConfig
from fewshot_audio.config.optimization import Optimization
from fewshot_audio.config.validation import validate
from fewshot_audio.config.widths import with_widths

__all__ = [
    "EXPERIMENT_FILE",
    "MODEL_CONFIG_FILE",
    "PHASES",
    "ExperimentConfig",
    "InputAugmentation",
    "ModelConfig",
    "Optimization",
    "Phase",
    "Role",
    "SpecAugParams",
    "WaveAugParams",
    "change_configs",
    "check_classes",
    "check_configs",
    "check_front_end",
    "check_input",
    "check_steps",
    "keys_with",
    "parse_json",
    "parse_override",
    "read_configs",
    "read_json",
    "validate",
    "with_widths",
]
