"""Configs for another dataset than the published ones: poolings, masks, warps and episodes that it has room for."""

from collections.abc import Mapping
from typing import Any

from fewshot_audio.config.checks import check_input, largest_root
from fewshot_audio.config.experiment import ExperimentConfig, Phase
from fewshot_audio.config.load import change_configs
from fewshot_audio.config.model import CNNConfig, ModelConfig, ResNet12Config
from fewshot_audio.errors import ConfigError

RESNET_CHOICES = ((2, True), (1, True), (1, False))  # stem stride, and whether the last block pools


def fit_to_segments(
    experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int, frontend: str = "log-mel"
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair with sizes that segments of ``mels`` x ``frames`` have room for; what fits stays as it is.

    - ``pool_dim`` of CNN and Hybrid: at most the root that leaves one mel bin, and one frame, after all poolings.
    - ResNet12: without the strided stem, then without the last pooling, if the map would vanish.
    - ``input_augmentation`` masks are at most a third of the segment wide; SpecAugment's warp moves at most a third.
    - With the front end "pcen" no gains in dB: they are of log-mel features.

    Raises:
        ConfigError: the segments are too small for the encoder whatever its sizes are.
    """
    encoder, name = model.encoder(experiment.encoder_name), experiment.encoder_name
    changes: dict[str, Any] = {}
    if isinstance(encoder, ResNet12Config):
        fitting = [c for c in RESNET_CHOICES if min(mels, frames) > c[0] * (2 ** (4 if c[1] else 3) - 1)]
        own = (encoder.stem_stride, encoder.pool_last)
        if own not in fitting:
            smallest = (*fitting, RESNET_CHOICES[-1])[0]
            changes |= dict(zip((f"{name}.stem_stride", f"{name}.pool_last"), smallest, strict=True))
    elif isinstance(encoder, CNNConfig):
        sizes = zip(encoder.pool_dim, (mels, frames), strict=True)
        changes[f"{name}.pool_dim"] = [min(pool, largest_root(size, encoder.poolings)) for pool, size in sizes]
    for axis, size in (("time", frames), ("frequency", mels)):
        low, high = getattr(experiment.input_augmentation, f"{axis}_mask_width")
        widest = max(1, min(high, size // 3))
        changes[f"input_augmentation.{axis}_mask_width"] = [min(low, widest), widest]
    changes["specaug_params.W"] = min(experiment.specaug_params.W, frames // 3)
    if frontend == "pcen":
        changes |= {"input_augmentation.gain_db": 0.0, "input_augmentation.filter_db": 0.0}
    pair = change_configs(experiment, model, changes, f"segments of {mels} mel bins x {frames} frames")
    try:
        check_input(*pair, mels, frames)
    except ConfigError as error:
        remedy = "prepare with a smaller --hop, with more --n-mels or longer segments, or choose another --encoder"
        raise ConfigError(f"{error}: {remedy}") from error
    return pair


def fit_to_classes(
    experiment: ExperimentConfig, model: ModelConfig, classes: Mapping[Phase, int]
) -> tuple[ExperimentConfig, ModelConfig]:
    """Return the pair with episodes of at most as many classes as each split has, if that is one or more."""
    ways = {f"n_way_{phase}": min(experiment.way(phase), count) for phase, count in classes.items() if count}
    return change_configs(experiment, model, ways, f"splits of {', '.join(map(str, classes.values()))} classes")
