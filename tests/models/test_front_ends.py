"""Front ends against the feature extractors of transformers, computed by numpy, on tones, noise, clicks and silence."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.testing import assert_close

from fewshot_audio.models.front_ends import ASTFrontEnd, CLAPFrontEnd, FrontEnd, Waveform, WhisperFrontEnd


def sounds(rate: int, seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Shape: (5, samples)."""
    random = np.random.default_rng(0)
    time = np.arange(round(rate * seconds)) / rate
    noise = 0.1 * random.normal(size=len(time))
    click = np.where((time > 0.1) & (time < 0.101), 0.5, 0.0)
    shifted = 0.3 + 0.05 * np.sin(2 * np.pi * 440 * time)
    sweep = 0.2 * np.sin(2 * np.pi * (100 + 3000 * time) * time)
    return np.stack([noise, sweep, click, shifted + 0.01 * noise, np.zeros_like(time)]).astype(np.float32)


CASES: dict[str, tuple[type[FrontEnd], Any, float]] = {
    "ast": (ASTFrontEnd, transformers.ASTFeatureExtractor(max_length=200, num_mel_bins=40), 1.0),
    "ast plain": (ASTFrontEnd, transformers.ASTFeatureExtractor(do_normalize=False, num_mel_bins=64), 1.3),
    "clap fused": (CLAPFrontEnd, transformers.ClapFeatureExtractor(max_length_s=2), 0.7),
    "clap unfused": (CLAPFrontEnd, transformers.ClapFeatureExtractor(max_length_s=2, truncation="rand_trunc"), 0.7),
    "clap repeat": (CLAPFrontEnd, transformers.ClapFeatureExtractor(max_length_s=2, padding="repeat"), 0.7),
    "clap pad": (CLAPFrontEnd, transformers.ClapFeatureExtractor(max_length_s=1, padding="pad"), 0.7),
    "clap whole": (CLAPFrontEnd, transformers.ClapFeatureExtractor(max_length_s=1), 1.0),
    "whisper": (WhisperFrontEnd, transformers.WhisperFeatureExtractor(chunk_length=2), 1.1),
    "wav2vec2": (Waveform, transformers.Wav2Vec2FeatureExtractor(do_normalize=True), 0.5),
    "wav2vec2 plain": (Waveform, transformers.Wav2Vec2FeatureExtractor(do_normalize=False), 0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_feature_extractor(case: str) -> None:
    front_end, extractor, seconds = CASES[case]
    ours = front_end(extractor.to_dict())
    assert ours.sample_rate == extractor.sampling_rate
    waveforms = sounds(ours.sample_rate, seconds)
    expected = extractor(list(waveforms), sampling_rate=ours.sample_rate)
    values = np.stack([np.asarray(x) for x in expected[extractor.model_input_names[0]]])
    actual = ours(torch.from_numpy(waveforms)).numpy()
    if case.startswith("clap"):
        values = values[:, :1]  # the fusion's other three are copies of the first
    assert actual.shape == values.shape
    assert actual.std() > 0.1
    if case.startswith("clap"):  # decibels: float32 loses what is 100 dB below a tone
        np.testing.assert_allclose(actual, values, atol=1)
        audible = values > values.max() - 70
        np.testing.assert_allclose(actual[audible], values[audible], atol=1e-2)
    else:
        np.testing.assert_allclose(actual, values, atol=2e-3, rtol=1e-4)


def test_max_samples_is_where_the_extractors_begin_to_cut() -> None:
    ast = ASTFrontEnd({"max_length": 100})
    assert ast(torch.zeros(1, int(ast.max_samples))).shape[1] == 100
    assert (ast.max_samples - 400) // 160 + 1 == 100
    assert CLAPFrontEnd({"max_length_s": 3}).max_samples == 3 * 48_000
    assert WhisperFrontEnd({}).max_samples == 30 * 16_000


def test_autocast_does_not_reach_the_spectrogram() -> None:
    waveforms = torch.from_numpy(sounds(16_000, 0.5))
    front_end = ASTFrontEnd({"max_length": 60})
    plain = front_end(waveforms)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(front_end(waveforms), plain, atol=0, rtol=0)
