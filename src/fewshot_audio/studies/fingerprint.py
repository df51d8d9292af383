"""Configs as the fingerprints of studies hash them."""

from typing import Any

from fewshot_audio.config import ExperimentConfig, ModelConfig, Role, WaveAugParams, keys_with, with_widths

PLACE_KEYS = keys_with(Role.PLACE)
# The keys of these sections that had no defaults in version 0.1.
CONVOLUTIONS = {"hidden_channels", "pool_dim", "out_dim"}
FORMERLY_REQUIRED = {
    "CNN": CONVOLUTIONS,
    "Hybrid": CONVOLUTIONS | {"seq_layers", "seq_type", "bidirectional"},
    "Attention": {"num_heads", "ffn_dim", "dropout"},
    "Projection": {"hidden_dim", "output_dim"},
    "Relation": {"hidden_dim1", "hidden_dim2", "hidden_dim3"},
    "waveaug_params": WaveAugParams.model_fields.keys() - {"extra"},
    "cpl": {"use", "m_param", "t_param"},
    "angular": {"use", "angle", "prototypes_as_anchors"},
}


def describe_configs(experiment: ExperimentConfig, model: ModelConfig) -> list[dict[str, Any]]:
    """A pair of configs as the fingerprints of studies hash it: without defaults and without keys in ``PLACE_KEYS``.

    The spelling is the former one and keys that were required are there, so that studies which version 0.1 started keep
    their fingerprints. Widths that follow from others are the same whether given or not.
    """
    values = experiment.model_dump(exclude_defaults=True, exclude=PLACE_KEYS)
    sizes = with_widths(experiment, model).model_dump(exclude_defaults=True)
    for part, inside, sections in (
        (experiment.loss, values["loss"], ("cpl", "angular")),
        (experiment, values, ("waveaug_params",)),
        (model, sizes, ("CNN", "Hybrid", "Attention", "Projection", "Relation")),
    ):
        for name in sections:
            required = getattr(part, name).model_dump(include=FORMERLY_REQUIRED[name])
            inside[name] = inside.get(name, {}) | required
    for name in ("CNN", "Hybrid"):
        sizes[name]["in_channels"] = 1
    return [{key: former_spelling(value) for key, value in values.items()}, sizes]


def former_spelling(value: Any) -> Any:
    """A config value as version 0.1 spelled it."""
    return "centre_l2" if value == "center_l2" else value
