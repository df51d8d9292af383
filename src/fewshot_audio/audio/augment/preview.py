"""Preview of a config's augmentation: the views of one recording as sounds and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import draw_specaugment, specaugment_views
from fewshot_audio.audio.augment.waveform import draw_waveform_views, waveform_views
from fewshot_audio.audio.features import MelFrontEnd
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wav import write_wav
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config import SpecAugParams, WaveAugParams
from fewshot_audio.config.checks import warp_errors
from fewshot_audio.errors import ConfigError
from fewshot_audio.files import write_atomic
from fewshot_audio.runtime.figures import new_figure, write_figure

SPEC_NAMES = ("original", "time-warp", "time-mask", "frequency-mask")
PHASE_ITERATIONS = 32
PEAK = 0.9
DYNAMIC_RANGE = 80  # dB that the picture shows


@dataclass(frozen=True)
class View:
    """One view of a segment.

    Attributes:
        name: kind and transform, such as "waveform_copy-1" or "spectrogram_time-mask".
        waveform: samples (samples,).
        features: log-mel spectrogram (mels, frames) in dB.
    """

    name: str
    waveform: Tensor
    features: Tensor


def preview_views(
    segment: Tensor,
    preprocessing: Preprocessing,
    spec: SpecAugParams,
    wave: WaveAugParams,
    stats: WaveStats | None = None,
    seed: int = 0,
) -> list[View]:
    """Make the waveform views and the spectrogram views of one segment.

    A spectrogram view's waveform is reconstructed from its spectrogram, starting from the phase of the original
    (Griffin and Lim 1984).

    Args:
        segment: z-normalized samples (samples,).
        preprocessing: how spectrograms are computed; log-mel, which can be inverted, whatever its front end is.
        spec: parameters of the spectrogram views.
        wave: parameters of the waveform views.
        stats: spectral statistics of the dataset; None takes those of the segment.
        seed: of all random parameters.

    Raises:
        ConfigError: the segment is too short for the time warp of ``spec``.
    """
    errors = warp_errors(spec, 1 + len(segment) // preprocessing.hop_length)
    if errors:
        raise ConfigError("\n".join(errors))
    log_mel = preprocessing.model_copy(update={"frontend": "log-mel"}).front_end(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    stats = stats or WaveStats.of(segment.numpy(), preprocessing.sample_rate)
    draw = draw_waveform_views(wave, stats, wave.aug_num, len(segment), generator, preprocessing.sample_rate)
    views = []
    for number, waveform in enumerate(waveform_views(segment.unsqueeze(0), draw)[0]):
        name = f"copy-{number}" if number else "original"
        views.append(View(f"waveform_{name}", waveform, log_mel(waveform.double())))

    features = views[0].features
    mean, std = features.mean(), features.std()
    mels, frames = features.shape
    spec_draw = draw_specaugment(1, mels, frames, spec, generator)
    normalized = ((features - mean) / std).unsqueeze(0)
    spectrograms = specaugment_views(normalized, spec_draw, spec.mask_value)[0] * std + mean
    for name, spectrogram in zip(SPEC_NAMES, spectrograms, strict=True):
        waveform = segment if name == "original" else _invert(spectrogram, segment.double(), log_mel)
        views.append(View(f"spectrogram_{name}", waveform.float(), spectrogram))
    return views


def write_views(views: Sequence[View], folder: Path, stem: str, preprocessing: Preprocessing) -> list[Path]:
    """Write each view as a 16-bit wav file, all at one scale, and a picture of all.

    Args:
        views: of one segment.
        folder: where the files are written.
        stem: start of the files' names: ``<stem>_<view>.wav`` and ``<stem>_views.png``.
        preprocessing: as given to ``preview_views``.

    Returns:
        The paths of the sounds, in order, then that of the picture.

    Raises:
        FewShotError: matplotlib is not installed.
        WriteError: a file cannot be written.
    """
    peak = max(float(view.waveform.abs().max()) for view in views)
    paths = []
    for view in views:
        path = folder / f"{stem}_{view.name}.wav"
        write_wav(path, (view.waveform * (PEAK / peak)).numpy(), preprocessing.sample_rate)
        paths.append(path)
    picture = folder / f"{stem}_views.png"
    figure = plot_views(views, preprocessing)
    write_atomic(picture, lambda stream: write_figure(figure, stream, "png"))
    return [*paths, picture]


def plot_views(views: Sequence[View], preprocessing: Preprocessing) -> Any:
    """Return a matplotlib figure of the spectrograms of all views, one row per kind, on one color scale.

    Raises:
        FewShotError: matplotlib is not installed.
    """
    kinds = {kind: [view for view in views if view.name.startswith(kind)] for kind in ("waveform", "spectrogram")}
    columns = max(map(len, kinds.values()))
    figure = new_figure(3.2 * columns, 5.6)
    panels = figure.subplots(len(kinds), columns, squeeze=False, sharex=True, sharey=True)
    high = float(views[0].features.max())
    for row, members in zip(panels, kinds.values(), strict=True):
        for panel in row[len(members) :]:
            panel.set_visible(False)
        for panel, view in zip(row, members, strict=False):
            seconds = len(view.waveform) / preprocessing.sample_rate
            image = panel.imshow(
                view.features.clamp(high - DYNAMIC_RANGE, high).numpy(),
                origin="lower",
                aspect="auto",
                extent=(0, seconds, 0, len(view.features)),
                cmap="magma",
                vmin=high - DYNAMIC_RANGE,
                vmax=high,
            )
            panel.set_title(view.name.replace("_", ": ", 1), fontsize="medium")
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    for row in panels:
        row[0].set_ylabel("mel bin")
    figure.colorbar(image, ax=panels, label="dB", shrink=0.8)
    return figure


def _invert(features: Tensor, segment: Tensor, log_mel: MelFrontEnd) -> Tensor:
    """Reconstruct a waveform (samples,) whose log-mel spectrogram is near ``features`` (mels, frames).

    The phase starts from that of ``segment`` (samples,).
    """
    n_fft, hop, window = log_mel.n_fft, log_mel.hop_length, log_mel.window

    def stft(samples: Tensor) -> Tensor:
        return torch.stft(samples, n_fft, hop, window=window, pad_mode="constant", return_complex=True)

    inverse = torch.linalg.pinv(log_mel.filterbank)
    magnitude = (inverse @ torch.pow(10, features / 10)).clamp(min=0).sqrt()
    spectrum = stft(segment)
    for _ in range(PHASE_ITERATIONS):
        waveform = torch.istft(torch.polar(magnitude, spectrum.angle()), n_fft, hop, window=window, length=len(segment))
        spectrum = stft(waveform)
    return torch.from_numpy(np.nan_to_num(waveform.numpy()))
