"""Configs as the fingerprints of studies hash them."""

from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig, Role, keys_with

PLACE_KEYS = keys_with(Role.PLACE)


def describe_configs(experiment: ExperimentConfig, model: ModelConfig) -> list[dict[str, Any]]:
    """A pair of configs as the fingerprints of studies hash it: without defaults and without keys in ``PLACE_KEYS``.

    The spelling is the former one, so that studies which version 0.1 started keep their fingerprints.
    """
    values = experiment.model_dump(exclude_defaults=True, exclude=PLACE_KEYS)
    return [
        {key: former_spelling(value) for key, value in values.items()},
        model.model_dump(exclude_defaults=True),
    ]


def former_spelling(value: Any) -> Any:
    """A config value as version 0.1 spelled it."""
    return "centre_l2" if value == "center_l2" else value
