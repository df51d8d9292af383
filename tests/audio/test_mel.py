"""Mel energies of preparation: how many frames are transformed at once changes no bit."""

import numpy as np
import pytest

from fewshot_audio.audio import mel
from fewshot_audio.audio.mel import ExactMel


@pytest.mark.parametrize(("n_fft", "hop", "n_mels"), [(1024, 512, 128), (400, 160, 40), (255, 100, 20)])
@pytest.mark.parametrize("samples", [50, 5000, 47_000])
def test_no_bit_depends_on_the_frames_that_are_transformed_at_once(
    n_fft: int, hop: int, n_mels: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = ExactMel(16_000, n_fft, hop, n_mels)
    sound = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    expected = compute(sound)
    for frames in (1, 7, mel._FRAMES):
        monkeypatch.setattr(mel, "_SPECTRA", frames)
        np.testing.assert_array_equal(compute(sound), expected)
