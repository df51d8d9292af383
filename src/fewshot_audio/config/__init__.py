"""The two JSON files of an experiment as strict, typed models."""

from fewshot_audio.config.augmentation import SpecAugParams, WaveAugParams
from fewshot_audio.config.checks import PHASES, check_classes, check_configs, check_input, check_steps
from fewshot_audio.config.experiment import ExperimentConfig, Phase
from fewshot_audio.config.load import EXPERIMENT_FILE, MODEL_CONFIG_FILE, read_configs, read_json, validate
from fewshot_audio.config.model import ModelConfig

__all__ = [
    "EXPERIMENT_FILE",
    "MODEL_CONFIG_FILE",
    "PHASES",
    "ExperimentConfig",
    "ModelConfig",
    "Phase",
    "SpecAugParams",
    "WaveAugParams",
    "check_classes",
    "check_configs",
    "check_input",
    "check_steps",
    "read_configs",
    "read_json",
    "validate",
]
