"""Draw the parameters of waveform views; some ranges adapt to the dataset's spectral statistics."""

import math

import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform.extra import draw_extra
from fewshot_audio.audio.augment.waveform.filters import LOWEST_HZ
from fewshot_audio.audio.augment.waveform.parameters import WaveformDraw
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.augmentation import WaveAugParams
from fewshot_audio.errors import ConfigError

ADAPTIVE = ("lowpass_p", "noise_p", "highpass_p", "bandstop_p")


def draw_waveform_views(
    params: WaveAugParams,
    stats: WaveStats | None,
    n_examples: int,
    n_samples: int,
    generator: torch.Generator,
    sample_rate: int = 16_000,
) -> WaveformDraw:
    """Draw the parameters of all transforms.

    With the dataset's mean centroid c, bandwidth b and flatness f: low-pass cutoffs lie in [c, c + b/2], high-pass
    cutoffs and band-stop centers in [c - b/2, c], uniform on the mel scale. The SNR is uniform between a lower bound
    ~ U(min, s) and an upper bound ~ U(s, max) with s = max * (1 - f). All else is uniform in the config's ranges.

    Args:
        params: probabilities and ranges.
        stats: spectral statistics of the dataset; may be None if no transform that adapts to them is on.
        n_examples: number of examples: segments times ``params.aug_num``.
        n_samples: samples of an example.
        generator: a CPU generator.
        sample_rate: of the examples, in Hz.

    Returns:
        The draw, with its tensors on the CPU.

    Raises:
        ConfigError: a transform that adapts has a probability above 0, but ``stats`` is None.
    """
    extra = draw_extra(params.extra, n_examples, generator)
    rows = _Rows(n_examples, generator)
    low, middle, high = _frequencies(params, stats, sample_rate)
    mask_length = int(n_samples * params.timemasking_mask_fraction)
    splice_start, splice_width = _splices(params, n_samples, sample_rate, rows)
    return WaveformDraw(
        n_samples=n_samples,
        sample_rate=sample_rate,
        lowpass_on=rows.chance(params.lowpass_p),
        lowpass_hz=rows.uniform_mel(middle, high),
        pitch_on=rows.chance(params.pitchshift_p),
        pitch_semitones=rows.uniform(
            params.pitchshift_min_transpose_semitones, params.pitchshift_max_transpose_semitones
        ),
        shift_on=rows.chance(params.shift_p),
        shift_samples=rows.integers(
            round(params.shift_min_shift * n_samples), round(params.shift_max_shift * n_samples), 1
        ).squeeze(1),
        inversion_on=rows.chance(params.timeinversion_p),
        gain_on=rows.chance(params.gain_p),
        gain_db=rows.uniform(params.min_gain_in_db, params.max_gain_in_db),
        noise_on=rows.chance(params.noise_p),
        noise_snr_db=_snr(params, stats, rows),
        noise_f_decay=rows.uniform(params.noise_min_f_decay, params.noise_max_f_decay),
        noise_seed=rows.integers(0, 2**32 - 1, 1).squeeze(1),
        highpass_on=rows.chance(params.highpass_p),
        highpass_hz=rows.uniform_mel(low, middle),
        bandstop_on=rows.chance(params.bandstop_p),
        bandstop_hz=rows.uniform_mel(low, middle),
        bandstop_bandwidth=rows.uniform(params.bandstop_min_bandwidth_fraction, params.bandstop_max_bandwidth_fraction),
        spliceout_on=rows.chance(params.spliceout_p),
        spliceout_start=splice_start,
        spliceout_width=splice_width,
        stretch_on=rows.chance(params.timestretch_p),
        stretch_ratio=rows.uniform(params.min_stretch_ratio, params.max_stretch_ratio),
        mask_on=rows.chance(params.timemasking_p),
        mask_start=rows.integers(0, n_samples - mask_length, params.timemasking_masks),
        mask_length=mask_length,
        extra=extra,
    )


class _Rows:
    """Draws for ``n`` examples, in a fixed order from one generator."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self._n = n
        self._generator = generator

    def uniform(self, low: float | Tensor, high: float | Tensor) -> Tensor:
        return (low + (high - low) * self._unit(1).squeeze(1)).float()

    def uniform_mel(self, low_hz: float, high_hz: float) -> Tensor:
        low, high = (1127 * math.log1p(hz / 700) for hz in (low_hz, high_hz))
        return (700 * torch.expm1(self.uniform(low, high).double() / 1127)).clamp(low_hz, high_hz).float()

    def integers(self, low: int, high: int | Tensor, columns: int) -> Tensor:
        """Draw integers in low..high, both included; ``high`` is an int or (n, 1). Returns (n, columns) int64."""
        return low + (self._unit(columns) * (high - low + 1)).floor().long()

    def chance(self, probability: float) -> Tensor:
        return self._unit(1).squeeze(1) < probability

    def _unit(self, columns: int) -> Tensor:
        return torch.rand((self._n, columns), dtype=torch.float64, generator=self._generator)


def _frequencies(params: WaveAugParams, stats: WaveStats | None, sample_rate: int) -> tuple[float, float, float]:
    """Return centroid - bandwidth / 2, centroid, and centroid + bandwidth / 2, clamped to valid frequencies."""
    if stats is None:
        keys = [key for key in ADAPTIVE if getattr(params, key) > 0]
        if keys:
            raise ConfigError(
                f"waveaug_params: {', '.join(keys)} above 0 need the dataset's spectral statistics "
                "(norm_stats/wave_stats.json), which are missing; prepare the dataset again with --waveforms, "
                "or set these probabilities to 0"
            )
        return LOWEST_HZ, LOWEST_HZ, LOWEST_HZ  # for filters that are never applied
    half = stats.bandwidth / 2
    low, middle, high = (
        min(max(hz, LOWEST_HZ), sample_rate / 2)
        for hz in (stats.centroid - half, stats.centroid, stats.centroid + half)
    )
    return low, middle, high


def _snr(params: WaveAugParams, stats: WaveStats | None, rows: _Rows) -> Tensor:
    """Draw the SNR in dB: the flatter (more noise-like) a dataset's spectra, the lower the knee between the bounds."""
    low, high = params.min_snr_in_db, params.max_snr_in_db
    knee = min(max(high * (1 - (stats.flatness if stats else 0.0)), low), high)
    return rows.uniform(rows.uniform(low, knee).double(), rows.uniform(knee, high).double())


def _splices(params: WaveAugParams, n_samples: int, sample_rate: int, rows: _Rows) -> tuple[Tensor, Tensor]:
    """Draw disjoint intervals of even width, uniformly placed; returns their starts and widths.

    ``spliceout_max_width`` is in milliseconds, as in torch-audiomentations' SpliceOut, from which name and value come.
    If a segment is too short for all intervals at full width, each takes at most its share of the segment.
    """
    count = params.spliceout_num_time_intervals
    max_width = min(round(params.spliceout_max_width * sample_rate / 1000), n_samples // count)
    widths = 2 * rows.integers(0, max_width // 2, count)
    gaps = rows.integers(0, n_samples - widths.sum(dim=1, keepdim=True), count).sort(dim=1).values
    return gaps + widths.cumsum(dim=1) - widths, widths
