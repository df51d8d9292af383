import librosa
import numpy as np
import pytest

from fewshot_audio.events.detection import frames
from fewshot_audio.events.detection.snippets import cut_snippets


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=samples).astype(np.float32)


@pytest.mark.parametrize(("rate", "n_fft", "hop"), [(22_050, 1024, 110), (16_000, 512, 80)])
@pytest.mark.parametrize("sizes", [(1,), (700, 30_000), (131_072,)])
def test_mel_frames_are_those_of_librosa_however_the_stream_is_cut(
    sizes: tuple[int, ...], rate: int, n_fft: int, hop: int
) -> None:
    samples = noise(300_123)
    blocks, position = [], 0
    while position < len(samples):
        size = sizes[len(blocks) % len(sizes)] if sizes != (1,) else len(samples)
        blocks.append(samples[position : position + size])
        position += size
    ours = np.concatenate(list(frames.mel_frames(iter(blocks), rate)))
    power = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, pad_mode="constant")) ** 2
    filters = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=frames.N_MELS)
    filters[:, librosa.fft_frequencies(sr=rate, n_fft=n_fft) < frames.LOWEST_HZ] = 0.0
    np.testing.assert_allclose(ours, (filters @ power).T, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("count", [1, 199, 12_000, 12_001, 31_234])
@pytest.mark.parametrize("context", [1, 7])
def test_blocks_share_the_recording_among_them_and_have_their_context(count: int, context: int) -> None:
    power = np.arange(count, dtype=np.float32)[:, None] * np.ones(frames.N_MELS, np.float32)
    chunks = [power[start : start + 1024] for start in range(0, count, 1024)]
    blocks = list(frames.cut_blocks(iter(chunks), context))
    cores = [number for block in blocks for number in range(*block.core)]
    assert cores == list(range(count))
    for block in blocks:
        assert block.first == max(0, block.core[0] - context * frames.UNIT)
        end = min(count, block.core[1] + context * frames.UNIT)
        np.testing.assert_array_equal(block.power[:, 0], np.arange(block.first, end))


def test_the_noise_floor_is_that_of_the_quiet_frames_and_ignores_what_is_brief() -> None:
    power = np.ones((20 * frames.UNIT, frames.N_MELS), np.float32)
    power[1000:1100] = 1000.0
    np.testing.assert_allclose(frames.noise_floor(power, frames.UNIT), 1.0)
    power[10 * frames.UNIT :] = 4.0
    floor = frames.noise_floor(power, frames.UNIT)
    assert floor[0, 0] == pytest.approx(1.0)
    assert floor[-1, 0] == pytest.approx(4.0)


def test_snippets_are_slices_of_the_recording() -> None:
    samples = noise(50_000)
    starts, ends = np.array([1.0, 0.2, 4.9, 0.25, 2.0]), np.array([1.5, 0.9, 5.2, 0.26, 9.0])
    cut = dict(cut_snippets((samples[n : n + 777] for n in range(0, 50_000, 777)), 10_000, starts, ends, 2.0, 0.08))
    np.testing.assert_array_equal(cut[0], samples[10_000:15_000])
    np.testing.assert_array_equal(cut[1], samples[2_000:9_000])
    np.testing.assert_array_equal(cut[2], np.pad(samples[49_000:], (0, 2_000)))
    np.testing.assert_array_equal(cut[3], samples[2_500:3_300])
    np.testing.assert_array_equal(cut[4], samples[20_000:40_000])
