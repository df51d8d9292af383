"""Checks across keys, files and data, made before any work starts."""

from collections.abc import Mapping, Sequence

from fewshot_audio.config.augmentation import SpecAugParams
from fewshot_audio.config.experiment import PHASES, ExperimentConfig, Phase
from fewshot_audio.config.model import EncoderConfig, ModelConfig, PretrainedConfig, ResNet12Config
from fewshot_audio.errors import ConfigError, format_names, plural


def check_configs(experiment: ExperimentConfig, model: ModelConfig) -> list[str]:
    """Check the two files together.

    Returns:
        Warnings: keys that have no effect.

    Raises:
        ConfigError: keys contradict each other; one line for each contradiction.
    """
    errors = [
        *_pretrained_errors(experiment, model),
        *_attention_errors(experiment, model),
        *_width_errors(experiment, model),
    ]
    if experiment.contrastive == "cpl":
        rows = experiment.n_query_train * experiment.query_rows("train")
        if experiment.loss.cpl.m_param > rows:
            errors.append(
                f"loss.cpl.m_param is {experiment.loss.cpl.m_param}, but a class has {rows} query rows in training: "
                f"the largest possible value is {rows}"
            )
    if experiment.relation_head and experiment.embedding_transform != "none":
        errors.append("embedding_transform needs distances: set embedding_transform=none, or relation_head=false")
    warmup = experiment.optimization.warmup_epochs
    if warmup >= experiment.num_epochs:
        errors.append(
            f"optimization.warmup_epochs is {warmup}, expected less than the {experiment.num_epochs} of num_epochs"
        )
    if errors:
        raise ConfigError("\n".join(errors))
    check_steps(experiment.n_training_tasks, experiment.episodes_per_step)
    return _warnings(experiment)


def check_steps(n_training_tasks: int, episodes_per_step: int, processes: int = 1) -> None:
    """Check that an epoch is whole steps of ``processes`` that train together. Raises ConfigError."""
    step = episodes_per_step * processes
    if n_training_tasks % step:
        raise ConfigError(
            f"n_training_tasks is {n_training_tasks}, not a multiple of the {step} episodes of a step "
            f"(episodes_per_step {episodes_per_step} x {plural(processes, 'process')})"
        )


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
        widest = max(experiment.train_ways - {way}, default=0) if phase == "train" else 0
        if widest > len(clips[phase]):
            classes = plural(len(clips[phase]), "class")
            errors.append(f"way_schedule goes up to {widest}, but the train split{of} has {classes}")
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
    errors = _size_errors(experiment.encoder_name, model.encoder(experiment.encoder_name), mels, frames)
    if experiment.input_type == "spec" and experiment.specaug_params.use:
        errors += warp_errors(experiment.specaug_params, frames)
    inputs = experiment.input_augmentation
    for what, size, unit in (("time", frames, "frames"), ("frequency", mels, "mel bins")):
        widest = getattr(inputs, f"{what}_mask_width")[1]
        if getattr(inputs, f"{what}_masks") and widest > size:
            errors.append(f"input_augmentation.{what}_mask_width is up to {widest}, but a segment has {size} {unit}")
    if errors:
        raise ConfigError("\n".join(errors))


def warp_errors(params: SpecAugParams, frames: int) -> list[str]:
    """What is wrong with the time warp for segments of that many frames; empty if nothing is."""
    if frames > 2 * params.W:
        return []
    return [f"specaug_params.W is {params.W}, but must be less than half of the {frames} frames of a segment"]


def _size_errors(name: str, encoder: EncoderConfig, mels: int, frames: int) -> list[str]:
    if isinstance(encoder, PretrainedConfig):
        return []
    count = {3: "three", 4: "four"}[encoder.poolings]
    if isinstance(encoder, ResNet12Config):
        stem = f"stem_stride: {encoder.stem_stride}, then {count} poolings by 2"
        least = encoder.stem_stride * (2**encoder.poolings - 1) + 1
        needs = [(stem, least), (stem, least)]
    else:
        needs = [(f"pool_dim: {count} poolings by {pool}", pool**encoder.poolings) for pool in encoder.pool_dim]
    sizes = zip(needs, ("mel bins", "frames"), (mels, frames), strict=True)
    return [
        f"{name}.{cause} need {needed} {axis}, but a segment has {size}"
        for (cause, needed), axis, size in sizes
        if needed > size
    ]


def _pretrained_errors(experiment: ExperimentConfig, model: ModelConfig) -> Sequence[str]:
    if not isinstance(model.encoder(experiment.encoder_name), PretrainedConfig):
        return ()
    reads = f"encoder_name {experiment.encoder_name!r} reads waveforms, but"
    errors = []
    if model.members > 1:
        errors.append(
            f"members is {model.members}, but a pretrained encoder cannot be joined with others: set members=1"
        )
    if experiment.input_type == "spec":
        errors.append(
            f'{reads} input_type is "spec": set input_type=wav (the dataset must have been prepared with --waveforms)'
        )
    if experiment.input_augmentation.active:
        errors.append(f"{reads} input_augmentation changes spectrograms: leave it out")
    return errors


def _attention_errors(experiment: ExperimentConfig, model: ModelConfig) -> Sequence[str]:
    if not experiment.use_attention:
        return ()
    section = "specaug_params" if experiment.input_type == "spec" else "waveaug_params"
    missing = [] if experiment.augmentation else [f"{section}.use"]
    missing += [f"{phase}_query_augmentations" for phase in PHASES if not experiment.query_flag(phase)]
    errors = []
    if missing:
        errors.append(
            f"use_attention is true, which needs views everywhere, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} false: set {' and '.join(f'{key}=true' for key in missing)}, "
            "or use_attention=false"
        )
    attention, out_dim = model.Attention, model.out_dim(experiment.encoder_name)
    if attention.embed_dim != out_dim:
        origin = f"{experiment.encoder_name}.out_dim{_times_members(model)}"
        errors.append(f"Attention.embed_dim is {attention.embed_dim}, expected {origin} = {out_dim}")
    if attention.embed_dim % attention.num_heads:
        errors.append(f"Attention.num_heads ({attention.num_heads}) does not divide embed_dim ({attention.embed_dim})")
    return errors


def _times_members(model: ModelConfig) -> str:
    return f" x {model.members} members" if model.members > 1 else ""


def _width_errors(experiment: ExperimentConfig, model: ModelConfig) -> Sequence[str]:
    out_dim = model.encoder(experiment.encoder_name).out_dim
    width, views = experiment.embedding_width(model.out_dim(experiment.encoder_name)), experiment.views_when_on
    origin = f"{experiment.encoder_name}.out_dim {out_dim}" + _times_members(model)
    origin += f" x {views} views" if experiment.use_attention else ""
    errors = []
    if experiment.contrastive:
        if model.Projection.input_dim != width:
            errors.append(f"Projection.input_dim is {model.Projection.input_dim}, expected {width} ({origin})")
        if not experiment.project_prototypes and model.Projection.output_dim != width:
            errors.append(
                f"Projection.output_dim is {model.Projection.output_dim}, expected {width} ({origin}): "
                "project_prototypes is false, so projected queries are compared with prototypes as they are"
            )
    if experiment.relation_head and model.Relation.input_dim != 2 * width:
        errors.append(f"Relation.input_dim is {model.Relation.input_dim}, expected {2 * width} (2 x {width}; {origin})")
    return errors


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
        distances = {
            "loss.label_smoothing": experiment.loss.label_smoothing,
            "distance": experiment.distance != "euclidean",
            "score_scale": experiment.score_scale != 1,
            "learn_score_scale": experiment.learn_score_scale,
        }
        warnings += [f"{key} has no effect: relation_head is true" for key, changed in distances.items() if changed]
    if not experiment.augmentation:
        flags = [f"{phase}_query_augmentations" for phase in PHASES if experiment.query_flag(phase)]
        if flags:
            warnings.append(f"{', '.join(flags)} have no effect: the augmentation of the input type is off")
    return warnings
