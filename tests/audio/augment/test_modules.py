"""The views as modules are those of the functions, with the published defaults, a generator, and clear refusals."""

import pytest
import torch

from fewshot_audio.audio.augment.modules import SpecAugment, WaveformAugment
from fewshot_audio.audio.augment.spectrogram import draw_specaugment, specaugment_views
from fewshot_audio.audio.augment.waveform import draw_waveform_views, waveform_views
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.errors import ConfigError
from tests.numerics import generator, global_generator_untouched, normal

SPECTROGRAMS = normal(3, 16, 60, seed=0, dtype=torch.float32)
WAVEFORMS = normal(2, 8000, seed=1, dtype=torch.float32)
STATS = WaveStats(centroid=2000.0, bandwidth=1500.0, flatness=0.2)


def test_the_defaults_are_the_published_ones() -> None:
    experiment, _ = scenario_configs("ESC-50-master", 2)
    assert SpecAugment().params == experiment.specaug_params
    assert WaveformAugment().params == experiment.waveaug_params.model_copy(update={"use": True})


@pytest.mark.parametrize("training", [False, True])
def test_spectrogram_views_are_those_of_the_functions(training: bool) -> None:
    augment = SpecAugment(mask_param=9, W=5, num_mask=1, mask_value=-1.0, p=0.5, generator=generator(4))
    before = SPECTROGRAMS.clone()
    with global_generator_untouched():
        views = augment.train(training)(SPECTROGRAMS)
    draw = draw_specaugment(3, 16, 60, augment.params, generator(4))
    assert torch.equal(views, specaugment_views(SPECTROGRAMS, draw, -1.0))
    assert torch.equal(SPECTROGRAMS, before)
    assert not torch.equal(augment(SPECTROGRAMS), views)  # the next draw


@pytest.mark.parametrize("training", [False, True])
def test_waveform_views_are_those_of_the_functions(training: bool) -> None:
    augment = WaveformAugment(2, 8000, stats=STATS, generator=generator(4), gain_p=1.0, pitchshift_p=0.0)
    assert (augment.params.aug_num, augment.params.gain_p, augment.params.pitchshift_p) == (2, 1.0, 0.0)
    before = WAVEFORMS.clone()
    with global_generator_untouched():
        views = augment.train(training)(WAVEFORMS)
    draw = draw_waveform_views(augment.params, STATS, 4, 8000, generator(4), 8000)
    assert torch.equal(views, waveform_views(WAVEFORMS, draw))
    assert torch.equal(WAVEFORMS, before)
    assert not torch.equal(augment(WAVEFORMS), views)


def test_without_statistics_those_of_the_batch_are_taken() -> None:
    stats = WaveStats.of(WAVEFORMS.numpy(), 8000)
    with_stats, without = (
        WaveformAugment(1, 8000, stats=given, generator=generator(0), lowpass_p=1.0)(WAVEFORMS)
        for given in (stats, None)
    )
    assert torch.equal(with_stats, without)
    other = WaveformAugment(1, 8000, stats=STATS, generator=generator(0), lowpass_p=1.0)(WAVEFORMS)
    assert not torch.equal(other, without)


def test_the_global_generator_is_the_default() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = SpecAugment()(SPECTROGRAMS), WaveformAugment(stats=STATS)(WAVEFORMS)
        torch.manual_seed(0)
        again = SpecAugment()(SPECTROGRAMS), WaveformAugment(stats=STATS)(WAVEFORMS)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"SpecAugment: key 'num_mask'.*found 0"):
        SpecAugment(num_mask=0)
    with pytest.raises(ConfigError, match=r"WaveformAugment: unknown key 'pitch_p' .*'pitchshift_p'"):
        WaveformAugment(pitch_p=0.0)
    with pytest.raises(ConfigError, match="min_gain_in_db"):
        WaveformAugment(min_gain_in_db=9.0)
    with pytest.raises(ConfigError, match="W is 30, but must be less than half of the 60 frames"):
        SpecAugment(W=30)(SPECTROGRAMS)
    with pytest.raises(ValueError, match=r"spectrograms are \(64, 80\), expected \(n, mels, frames\)"):
        SpecAugment()(torch.zeros(64, 80))
    with pytest.raises(ValueError, match=r"waveforms are \(2, 1, 800\), expected \(n, samples\)"):
        WaveformAugment()(torch.zeros(2, 1, 800))
