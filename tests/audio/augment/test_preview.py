"""Views of both kinds as wavs and a picture."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from fewshot_audio.audio.augment.preview import preview_views, write_views
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.errors import ConfigError

CONFIG = scenario_configs("any", 2)[0]
PREPROCESSING = Preprocessing()


@pytest.fixture(scope="module")
def segment() -> torch.Tensor:
    """A tone that rises from 300 to 3000 Hz in noise, z-normalized."""
    time = torch.arange(PREPROCESSING.segment_samples) / PREPROCESSING.sample_rate
    tone = torch.sin(2 * torch.pi * (300 + 270 * time) * time)
    noisy = tone + 0.05 * torch.randn(len(time), generator=torch.Generator().manual_seed(0))
    return (noisy - noisy.mean()) / noisy.std()


def test_views_of_both_kinds(segment: torch.Tensor) -> None:
    views = preview_views(segment, PREPROCESSING, CONFIG.specaug_params, CONFIG.waveaug_params)
    assert [view.name for view in views] == [
        *("waveform_original", "waveform_copy-1", "waveform_copy-2", "waveform_copy-3"),
        *("spectrogram_original", "spectrogram_time-warp", "spectrogram_time-mask", "spectrogram_frequency-mask"),
    ]
    assert_close(views[0].waveform, segment)
    assert_close(views[4].waveform, segment)
    log_mel = PREPROCESSING.log_mel(torch.float64)
    for view in views:
        assert view.waveform.shape == segment.shape
        # What is heard is what is seen: the loud parts of the spectrogram within a few decibels.
        heard, loud = log_mel(view.waveform.double()), view.features > view.features.max() - 20
        assert (heard - view.features)[loud].abs().median() < 3
    again = preview_views(segment, PREPROCESSING, CONFIG.specaug_params, CONFIG.waveaug_params)
    other = preview_views(segment, PREPROCESSING, CONFIG.specaug_params, CONFIG.waveaug_params, seed=1)
    assert_close(views[1].waveform, again[1].waveform)
    assert not torch.equal(views[1].waveform, other[1].waveform)


def test_a_segment_too_short_for_the_time_warp_is_refused(segment: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match=r"specaug_params\.W is 20, but must be less than half of the 32 frames"):
        preview_views(segment[:16_000], PREPROCESSING, CONFIG.specaug_params, CONFIG.waveaug_params)


def test_files(segment: torch.Tensor, tmp_path: Path) -> None:
    views = preview_views(segment, PREPROCESSING, CONFIG.specaug_params, CONFIG.waveaug_params)
    *wavs, picture = write_views(views, tmp_path, "tone", PREPROCESSING)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(wavs) == len(views)
    samples, rate = soundfile.read(wavs[0])
    assert rate == PREPROCESSING.sample_rate
    assert np.corrcoef(samples, segment.numpy())[0, 1] > 0.999
    assert max(abs(soundfile.read(path)[0]).max() for path in wavs) == pytest.approx(0.9, abs=1e-3)
