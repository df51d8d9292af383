"""The frozen views of a bundle that anybody may have made: only what drawing views can give is accepted."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.audio.augment.waveform.extra import ExtraDraw
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, WaveAugParams
from fewshot_audio.errors import DataError
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.bundle.description import in_words
from fewshot_audio.recognition.bundle.schema import ViewsSection
from fewshot_audio.recognition.embedder import segment_shape
from fewshot_audio.recognition.torch_embedder import EXTRA, Views

LARGEST_DRAW = 1 << 18  # masks or intervals of all views of a segment


def join_views(
    experiment: ExperimentConfig,
    preprocessing: Preprocessing,
    section: ViewsSection | None,
    tensors: dict[str, Tensor],
) -> Views | None:
    """Join the frozen views' tensors ("views.*") and numbers again.

    Raises:
        DataError: they are not what drawing the views of one segment by ``experiment`` can give.
    """
    parts: dict[str, Any] = {k.removeprefix("views."): v for k, v in tensors.items() if k.startswith("views.")}
    if (section is not None) != (experiment.query_views("test") > 1) or (parts and section is None):
        raise DataError("frozen views and the config do not agree")
    if section is None:
        return None
    if section.kind != experiment.input_type:
        raise DataError(f"views of kind {section.kind!r}, expected {experiment.input_type!r}")
    draw: type[WaveformDraw] | type[SpecAugmentDraw] = WaveformDraw if section.kind == "wav" else SpecAugmentDraw
    numbers: dict[str, Any] = section.numbers
    extra = {name: parts.pop(name) for name in list(parts) if name.startswith(EXTRA)}
    try:
        views: Views = draw(**parts, **numbers)
    except TypeError as error:
        raise DataError(f"views: {error}") from error
    _check_counts(experiment)
    # Shapes, types and numbers are those of any draw: without probabilities it needs no statistics of a dataset.
    params = experiment.waveaug_params
    plain = {key: 0.0 for key in WaveAugParams.model_fields if key.endswith("_p")}
    calm = experiment.model_copy(update={"waveaug_params": params.model_copy(update=plain)})
    shape = segment_shape(preprocessing, experiment.input_type)
    expected: Views = make_views(calm, preprocessing, None).draw(1, shape, torch.Generator().manual_seed(0))
    for name, value in vars(expected).items():
        actual = vars(views)[name]
        if isinstance(value, Tensor):
            _check_kind(name, actual, value)
        elif name != "extra" and actual != value:
            raise DataError(f"views.{name} is {actual}, expected {value}")
    limits = _spectrogram_limits(experiment, *shape) if section.kind == "spec" else _waveform_limits(params, views)
    for name, (low, high) in limits.items():
        value = parts[name]
        if value.numel() and not (low <= value.min() and value.max() <= high):
            raise DataError(f"views.{name} is outside of {low:g} to {high:g}")
    joined = _join_extra(expected.extra if isinstance(expected, WaveformDraw) else (), extra)
    if isinstance(views, WaveformDraw):
        _check_intervals(views)
        return replace(views, extra=joined)
    return views


def _join_extra(expected: tuple[ExtraDraw, ...], tensors: dict[str, Tensor]) -> tuple[ExtraDraw, ...]:
    """Join the tensors of transforms from outside. Raises DataError."""
    draws = []
    for number, transform in enumerate(expected):
        own: dict[str, Tensor] = {}
        for name, value in transform.tensors.items():
            full_name = f"{EXTRA}{number}.{name}"
            own[name] = _check_kind(full_name, tensors.pop(full_name, None), value)
        draws.append(transform.with_tensors(own))
    if tensors:
        raise DataError(f"views.{next(iter(tensors))} is of no transform of waveaug_params.extra")
    return tuple(draws)


def _check_kind(name: str, actual: Any, expected: Tensor) -> Tensor:
    """Return a value that is a tensor of the expected type and shape. Raises DataError for another one."""
    if not isinstance(actual, Tensor) or actual.shape != expected.shape or actual.dtype != expected.dtype:
        found = in_words(actual) if isinstance(actual, Tensor | None) else str(actual)
        raise DataError(f"views.{name} is {found}, expected {in_words(expected)}")
    return actual


def _check_counts(experiment: ExperimentConfig) -> None:
    """Bound the size of a draw. Raises DataError."""
    params = experiment.waveaug_params
    counts = {
        "specaug_params.num_mask": experiment.specaug_params.num_mask,
        "waveaug_params.spliceout_num_time_intervals": params.aug_num * params.spliceout_num_time_intervals,
        "waveaug_params.timemasking_masks": params.aug_num * params.timemasking_masks,
    }
    for key, count in counts.items():
        if count > LARGEST_DRAW:
            raise DataError(f"experiment.{key}: {count} in the views of a segment, expected at most {LARGEST_DRAW}")


def _check_intervals(views: WaveformDraw) -> None:
    """Check that spliced intervals follow each other, and masks end, within the segment. Raises DataError."""
    ends = views.spliceout_start + views.spliceout_width
    follow = (ends[:, :-1] <= views.spliceout_start[:, 1:]).all() and (ends <= views.n_samples).all()
    if not follow or (views.spliceout_width % 2).any():
        raise DataError("views.spliceout_start and spliceout_width are no disjoint intervals of even width")
    if (views.mask_start + views.mask_length > views.n_samples).any():
        raise DataError("views.mask_start: a mask ends after the segment")


def _spectrogram_limits(experiment: ExperimentConfig, mels: int, frames: int) -> dict[str, tuple[float, float]]:
    warp = experiment.specaug_params.W
    return {
        "warp_source": (0, frames),
        "warp_shift": (-warp, warp),
        "time_start": (0, frames),
        "time_width": (0, frames),
        "freq_start": (0, mels),
        "freq_width": (0, mels),
    }


def _waveform_limits(params: WaveAugParams, views: Any) -> dict[str, tuple[float, float]]:
    """What draws lie between; a float32 may be rounded beyond."""
    samples, nyquist = views.n_samples, views.sample_rate / 2
    ranges = {
        "pitch_semitones": (params.pitchshift_min_transpose_semitones, params.pitchshift_max_transpose_semitones),
        "gain_db": (params.min_gain_in_db, params.max_gain_in_db),
        "noise_snr_db": (params.min_snr_in_db, params.max_snr_in_db),
        "noise_f_decay": (params.noise_min_f_decay, params.noise_max_f_decay),
        "bandstop_bandwidth": (params.bandstop_min_bandwidth_fraction, params.bandstop_max_bandwidth_fraction),
        "stretch_ratio": (params.min_stretch_ratio, params.max_stretch_ratio),
    }
    rounding = 1e-4
    return {
        **{name: (low - rounding, high + rounding) for name, (low, high) in ranges.items()},
        **dict.fromkeys(("lowpass_hz", "highpass_hz", "bandstop_hz"), (0, nyquist + 1)),
        "shift_samples": (-samples, samples),
        "noise_seed": (0, 2**32 - 1),
        **dict.fromkeys(("spliceout_start", "spliceout_width", "mask_start"), (0, samples)),
    }
