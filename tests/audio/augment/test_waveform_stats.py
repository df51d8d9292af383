import json
from pathlib import Path

import librosa
import numpy as np
import pytest

from fewshot_audio.audio.wave_stats import WaveStats, read_wave_stats, write_wave_stats
from fewshot_audio.errors import DataError

RATE = 16_000


def clip(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    time = np.arange(30_001) / RATE
    return {
        "noise": rng.standard_normal(30_001),
        "tone": np.sin(2 * np.pi * 440 * time),
        "decay": np.exp(-9 * time) * rng.standard_normal(30_001),
        "half silent": np.where(time < 1, np.sin(2 * np.pi * 2000 * time), 0),
        "short": rng.standard_normal(2100),
    }[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "tone", "decay", "half silent", "short"])
def test_a_clip_has_librosas_features(kind: str) -> None:
    x = clip(kind)
    stats = WaveStats.of(x, RATE)
    exact = x.astype(np.float64)
    assert stats.centroid == pytest.approx(librosa.feature.spectral_centroid(y=exact, sr=RATE).mean(), rel=1e-6)
    assert stats.bandwidth == pytest.approx(librosa.feature.spectral_bandwidth(y=exact, sr=RATE).mean(), rel=1e-6)
    assert stats.flatness == pytest.approx(librosa.feature.spectral_flatness(y=exact).mean(), rel=1e-6)


def test_white_noise_is_flat_and_a_tone_is_not() -> None:
    assert WaveStats.of(clip("noise"), RATE).flatness > 0.5
    assert WaveStats.of(clip("tone"), RATE).flatness < 0.01
    assert WaveStats.of(clip("tone"), RATE).centroid == pytest.approx(440, rel=0.05)


def test_segments_of_a_clip_are_averaged_over_all_their_frames() -> None:
    segments = clip("decay")[:30_000].reshape(3, 10_000)
    parts = [WaveStats.of(segment, RATE) for segment in segments]
    assert WaveStats.of(segments, RATE).centroid == pytest.approx(np.mean([part.centroid for part in parts]))


def test_a_datasets_mean_does_not_depend_on_the_order_of_its_clips() -> None:
    rng = np.random.default_rng(0)
    parts = [WaveStats(*values) for values in rng.random((100, 3)) * [4000, 2000, 1]]
    mean = WaveStats.mean(iter(parts))
    assert mean == WaveStats.mean(reversed(parts))
    assert mean.bandwidth == pytest.approx(np.mean([part.bandwidth for part in parts]))


def test_no_clips_and_broken_samples_are_errors() -> None:
    with pytest.raises(DataError, match="at least one clip"):
        WaveStats.mean([])
    with pytest.raises(DataError, match="finite"):
        WaveStats.of(np.array([0.0, np.nan], dtype=np.float32), RATE)
    with pytest.raises(DataError, match="finite"):
        WaveStats.of(np.zeros((0, 100), dtype=np.float32), RATE)


def test_statistics_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "norm_stats" / "wave_stats.json"
    stats = WaveStats(1190.7, 1669.25, 0.144)
    write_wave_stats(path, stats)
    assert read_wave_stats(path) == stats


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[1, 2, 3]", "keys centroid, bandwidth, flatness"),
        (json.dumps({"centroid": 1, "bandwidth": 2}), "keys centroid, bandwidth, flatness"),
        (json.dumps({"centroid": 1, "bandwidth": 2, "flatness": 1.5}), "flatness is 1.5"),
        (json.dumps({"centroid": "1", "bandwidth": 2, "flatness": 0.5}), "centroid is '1'"),
        ('{"centroid": NaN, "bandwidth": 2, "flatness": 0.5}', "centroid is nan"),
        ('{"centroid": 1, "bandwidth": Infinity, "flatness": 0.5}', "bandwidth is inf"),
    ],
)
def test_broken_statistics_are_refused_with_their_reason(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wave_stats.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_wave_stats(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.json"):
        read_wave_stats(tmp_path / "nothing.json")
