"""Checks across keys, files and data, made before any work starts."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from fewshot_audio.config.algorithm_checks import algorithm_errors
from fewshot_audio.config.augmentation import SpecAugParams
from fewshot_audio.config.experiment import PHASES, ExperimentConfig, Phase
from fewshot_audio.config.frozen import frozen_references, in_words
from fewshot_audio.config.model import (
    CNNConfig,
    EncoderConfig,
    FrozenConfig,
    ModelConfig,
    PretrainedConfig,
    ResNet12Config,
)
from fewshot_audio.config.widths import derived_widths, origin_of_out_dim, origin_of_width
from fewshot_audio.errors import ConfigError, format_names, plural


def check_configs(experiment: ExperimentConfig, model: ModelConfig) -> list[str]:
    """Check the two files together.

    Returns:
        Warnings: keys that have no effect.

    Raises:
        ConfigError: keys contradict each other; one line for each contradiction.
    """
    errors = [error for check in CONTRADICTIONS for error in check(experiment, model)]
    if errors:
        raise ConfigError("\n".join(errors))
    return _warnings(experiment)


def contradictions_of_the_rest(experiment: ExperimentConfig, model: ModelConfig) -> list[str]:
    """What ``check_configs`` would refuse, if wrong keys are left out of the two: their attributes are not there."""
    errors: list[str] = []
    for check in CONTRADICTIONS:
        with suppress(AttributeError, ConfigError):  # one of the keys that it compares is wrong itself
            errors += check(experiment, model)
    return errors


def check_steps(n_training_tasks: int, episodes_per_step: int, processes: int = 1) -> None:
    """Check that an epoch is whole steps of ``processes`` that train together. Raises ConfigError."""
    for error in _step_errors(n_training_tasks, episodes_per_step, processes):
        raise ConfigError(error)


def check_classes(experiment: ExperimentConfig, clips: Mapping[Phase, Mapping[str, int]], dataset: str = "") -> None:
    """Check that every split in ``clips`` has enough classes and clips for its episodes.

    Args:
        experiment: the experiment config.
        clips: ``clips[phase][class]`` is the number of clips.
        dataset: name of the dataset, for messages, if it is one of several that are joined.

    Raises:
        ConfigError: a split is too small; names the split, the classes and the numbers.
    """
    errors = []
    of = f" of {dataset}" if dataset else ""
    for phase in clips:
        way, needed = experiment.way(phase), experiment.shot(phase) + experiment.query(phase)
        if way > len(clips[phase]):
            errors.append(f"n_way_{phase} is {way}, but the {phase} split{of} has {plural(len(clips[phase]), 'class')}")
        small = sorted((count, name) for name, count in clips[phase].items() if count < needed)
        if small:
            listed = format_names([f"{name!r} ({count})" for count, name in small])
            errors.append(
                f"n_shot_{phase} + n_query_{phase} is {needed} clips per class, but the {phase} split{of} has smaller "
                f"classes: {listed}"
            )
    if errors:
        raise ConfigError("\n".join(errors))


def check_input(experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int) -> None:
    """Check the configs against the size of a segment's spectrogram. Raises ConfigError."""
    errors = _size_errors(experiment, model, mels, frames)
    if experiment.input_type == "spec" and experiment.specaug_params.use:
        errors += warp_errors(experiment.specaug_params, frames)
    inputs = experiment.input_augmentation
    for what, size, unit in (("time", frames, "frames"), ("frequency", mels, "mel bins")):
        widest = getattr(inputs, f"{what}_mask_width")[1]
        if getattr(inputs, f"{what}_masks") and widest > size:
            errors.append(f"input_augmentation.{what}_mask_width is up to {widest}, but a segment has {size} {unit}")
    if errors:
        raise ConfigError("\n".join(errors))


def check_front_end(experiment: ExperimentConfig, frontend: str) -> None:
    """Check the configs against the front end of a dataset's features. Raises ConfigError."""
    inputs = experiment.input_augmentation
    in_decibels = [key for key in ("gain_db", "filter_db") if getattr(inputs, key)]
    if frontend != "log-mel" and in_decibels:
        keys = " and ".join(f"input_augmentation.{key}" for key in in_decibels)
        raise ConfigError(
            f"{keys}: a gain in dB is of log-mel features, but the dataset's are {frontend}: set "
            + " and ".join(f"input_augmentation.{key}=0" for key in in_decibels)
        )


def warp_errors(params: SpecAugParams, frames: int) -> list[str]:
    """What is wrong with the time warp for segments of that many frames; empty if nothing is."""
    if frames > 2 * params.W:
        return []
    return [f"specaug_params.W is {params.W}, but must be less than half of the {frames} frames of a segment"]


def _size_errors(experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int) -> list[str]:
    members = {in_words(name): model.encoder(name) for name in model.member_kinds(experiment.encoder_name)}
    return [error for name, encoder in members.items() for error in _encoder_size_errors(name, encoder, mels, frames)]


def _encoder_size_errors(name: str, encoder: EncoderConfig, mels: int, frames: int) -> list[str]:
    if isinstance(encoder, ResNet12Config):
        cause = f"stem_stride: {encoder.stem_stride}, then {_counted(encoder.poolings)} by 2"
        needs = [(cause, encoder.stem_stride * (2**encoder.poolings - 1) + 1)] * 2
        advice = ["", ""]
    elif isinstance(encoder, CNNConfig):
        count = _counted(encoder.poolings)
        needs = [(f"pool_dim: {count} by {pool}", pool**encoder.poolings) for pool in encoder.pool_dim]
        advice = [f", expected at most {largest_root(size, encoder.poolings)}" for size in (mels, frames)]
    else:
        return []
    sizes = zip(needs, ("mel bins", "frames"), (mels, frames), advice, strict=True)
    return [
        f"{name}.{cause} need {needed} {axis}, but a segment has {size}{expected}"
        for (cause, needed), axis, size, expected in sizes
        if needed > size
    ]


def largest_root(size: int, degree: int) -> int:
    """The largest integer whose power of that degree does not exceed ``size``."""
    return next(root for root in itertools.count(1) if (root + 1) ** degree > size)


def _counted(poolings: int) -> str:
    return {3: "three poolings", 4: "four poolings"}[poolings]


def _pretrained_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    section = model.encoder(experiment.encoder_name)
    if not isinstance(section, PretrainedConfig | FrozenConfig):
        return
    reads = f"encoder_name {experiment.encoder_name!r} reads waveforms, but"
    if model.members != 1:
        kind = "frozen" if isinstance(section, FrozenConfig) else "pretrained"
        yield f"members is {model.members!r}, but a {kind} encoder cannot be joined with others: set members=1"
    if experiment.input_type == "spec":
        yield f'{reads} input_type is "spec": set input_type=wav (the dataset must have been prepared with --waveforms)'
    if experiment.input_augmentation.active:
        yield f"{reads} input_augmentation changes spectrograms: leave it out"


def _views_errors(experiment: ExperimentConfig, _: ModelConfig) -> Iterator[str]:
    section = "specaug_params" if experiment.input_type == "spec" else "waveaug_params"
    missing = [] if experiment.augmentation else [f"{section}.use"]
    missing += [f"{phase}_query_augmentations" for phase in PHASES if not experiment.query_flag(phase)]
    if experiment.use_attention and missing:
        yield (
            f"use_attention is true, which needs views everywhere, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} false: set {' and '.join(f'{key}=true' for key in missing)}, "
            "or use_attention=false"
        )


def _attention_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    if not experiment.use_attention:
        return
    expected, given = derived_widths(experiment, model)["Attention"]["embed_dim"], model.Attention.embed_dim
    if given not in (None, expected):
        origin = origin_of_out_dim(experiment, model)
        yield f"Attention.embed_dim is {given}, expected {origin} = {expected}, or leave it out"
    elif expected % model.Attention.num_heads:
        yield f"Attention.num_heads ({model.Attention.num_heads}) does not divide embed_dim ({expected})"


def _member_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    if isinstance(model.members, list) and experiment.encoder_name not in model.members:
        yield f"members is {model.members}, without encoder_name {experiment.encoder_name!r}"


def _projection_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    if not experiment.contrastive:
        return
    width, given = derived_widths(experiment, model)["Projection"]["input_dim"], model.Projection.input_dim
    origin = origin_of_width(experiment, model)
    if given not in (None, width):
        yield f"Projection.input_dim is {given}, expected {width} ({origin}), or leave it out"
    if not experiment.project_prototypes and model.Projection.output_dim != width:
        yield (
            f"Projection.output_dim is {model.Projection.output_dim}, expected {width} ({origin}): "
            "project_prototypes is false, so projected queries are compared with prototypes as they are"
        )


def _relation_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    if not experiment.relation_head:
        return
    expected, given = derived_widths(experiment, model)["Relation"]["input_dim"], model.Relation.input_dim
    if given not in (None, expected):
        origin = origin_of_width(experiment, model)
        yield f"Relation.input_dim is {given}, expected {expected} (2 x {expected // 2}; {origin}), or leave it out"
    if experiment.embedding_transform != "none":
        yield "embedding_transform needs distances: set embedding_transform=none, or relation_head=false"


def _cpl_errors(experiment: ExperimentConfig, _: ModelConfig) -> Iterator[str]:
    rows = experiment.n_query_train * experiment.query_rows("train")
    if experiment.contrastive == "cpl" and experiment.loss.cpl.m_param > rows:
        yield (
            f"loss.cpl.m_param is {experiment.loss.cpl.m_param}, but a class has {rows} query rows in training: "
            f"the largest possible value is {rows}"
        )


def _epoch_errors(experiment: ExperimentConfig, _: ModelConfig) -> Iterator[str]:
    warmup = experiment.optimization.warmup_epochs
    if warmup >= experiment.num_epochs:
        yield f"optimization.warmup_epochs is {warmup}, expected less than the {experiment.num_epochs} of num_epochs"


def _step_errors(n_training_tasks: int, episodes_per_step: int, processes: int = 1) -> Iterator[str]:
    step = episodes_per_step * processes
    if n_training_tasks % step:
        yield (
            f"n_training_tasks is {n_training_tasks}, not a multiple of the {step} episodes of a step "
            f"(episodes_per_step {episodes_per_step} x {plural(processes, 'process')})"
        )


def _frozen_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    names, definition = frozen_references(experiment.encoder_name), model.Frozen.definition
    if names and definition is not None:
        described = [values.get("name") for values in definition]
        other = [name for name in names if ":" not in name and name not in described]
        if len(described) != len(names) or other:
            yield (
                f"Frozen.definition describes {described}, but encoder_name is {experiment.encoder_name!r}: leave it "
                "out, it is filled in when a run starts"
            )


CONTRADICTIONS: tuple[Callable[[ExperimentConfig, ModelConfig], Iterator[str]], ...] = (
    _pretrained_errors,
    _frozen_errors,
    _member_errors,
    _views_errors,
    _attention_errors,
    _projection_errors,
    _relation_errors,
    _cpl_errors,
    _epoch_errors,
    algorithm_errors,
    lambda experiment, _: _step_errors(experiment.n_training_tasks, experiment.episodes_per_step),
)


def _warnings(experiment: ExperimentConfig) -> list[str]:
    warnings = []
    if experiment.use_contrastive and not experiment.contrastive:
        warnings.append(
            "use_contrastive is true, but neither loss.cpl.use nor loss.angular.use: prototypical loss only"
        )
    if not experiment.use_contrastive:
        warnings += [
            f"loss.{name}.use is true, but use_contrastive is false: prototypical loss only"
            for name in experiment.loss.used
        ]
    if experiment.relation_head:
        loss = experiment.loss
        has_classifier = loss.classification_weight or loss.pretraining_epochs  # whose labels are smoothed, too
        effect = "smooths the labels of the classifier only" if has_classifier else "has no effect"
        distances = {
            f"loss.label_smoothing {effect}": loss.label_smoothing,
            "distance has no effect": experiment.distance != "euclidean",
            "score_scale has no effect": experiment.score_scale != 1,
        }
        warnings += [f"{warning}: relation_head is true" for warning, changed in distances.items() if changed]
    if not experiment.augmentation:
        flags = [f"{phase}_query_augmentations" for phase in PHASES if experiment.query_flag(phase)]
        if flags:
            warnings.append(f"{', '.join(flags)} have no effect: the augmentation of the input type is off")
    return warnings
