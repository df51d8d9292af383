"""Folders that other tools made: whole waveforms of unequal lengths, and no spectral statistics."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError

RATE = 16_000


def write(folder: DatasetFolder, clips: dict[str, NDArray[Any]]) -> DatasetFolder:
    for name, array in clips.items():
        path = folder.waveforms / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return folder


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


def segments(store: SegmentStore, clip: str) -> NDArray[np.float32]:
    return store.read(np.array(store.index.segments(store.clips.index(clip))))


def naive(clip: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Consecutive segments; the last one repeats what is left, if that is a short clip or at least 1024 samples.

    A clip of fewer samples than that is filled up to them with silence first.
    """
    clip = np.pad(clip, (0, max(0, 1024 - len(clip))))
    pieces = [clip[start : start + length].tolist() for start in range(0, len(clip), length)]
    if len(pieces) > 1 and len(pieces[-1]) < 1024:
        pieces.pop()
    return np.array([[piece[i % len(piece)] for i in range(length)] for piece in pieces], np.float32)


@pytest.mark.parametrize(("name", "seconds"), [("FSD2018", 5), ("nsynth", 4), ("NSynth", 4), ("Own", 5)])
def test_whole_waveforms_of_unequal_lengths_are_cut(
    tmp_path: Path, name: str, seconds: int, caplog: pytest.LogCaptureFixture
) -> None:
    length = seconds * RATE
    clips = {"a/short": noise(700), "a/long": noise(2 * length + 1023, 1), "b/tail": noise(length + 1024, 2)}
    folder = write(DatasetFolder(tmp_path / name), {**clips, "b/cut": noise(3 * length, 3).reshape(3, length)})
    store = SegmentStore.open(folder, "waveforms")
    assert f"cut into segments of {seconds} s" in caplog.text
    assert store.shape == (length,)
    for key, clip in clips.items():
        np.testing.assert_array_equal(segments(store, key[2:]), naive(clip, length))
    assert [len(segments(store, clip)) for clip in ("short", "long", "tail", "cut")] == [1, 2, 2, 3]


def test_the_segments_are_those_of_the_folders_preprocessing(tmp_path: Path) -> None:
    """It decides length and filling; if it changes, the waveforms are cut anew."""
    folder = write(DatasetFolder(tmp_path / "Own"), {"a/x": noise(3000), "a/y": noise(RATE + 5)})
    for changes in ({}, {"segment_seconds": 0.5}, {"segment_seconds": 0.5, "compat": "metaaudio-offline"}):
        preprocessing = Preprocessing.of(**changes)
        folder.preprocessing.write_text(preprocessing.to_json())
        store = SegmentStore.open(folder, "waveforms")
        for clip, samples in (("x", 3000), ("y", RATE + 5)):
            np.testing.assert_array_equal(segments(store, clip), preprocessing.segments(noise(samples)))


def test_waveforms_of_one_length_stay_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(DatasetFolder(tmp_path / "Own"), {"a/x": noise(3000), "a/y": noise(3000, 1).astype(np.float64)})
    store = SegmentStore.open(folder, "waveforms")
    np.testing.assert_array_equal(store.read(np.arange(2)), np.stack([noise(3000), noise(3000, 1)]))
    assert not caplog.text


def test_segments_of_unequal_lengths_are_refused(tmp_path: Path) -> None:
    folder = write(DatasetFolder(tmp_path / "Own"), {"a/x": noise(3000)[None], "a/y": noise(3001)[None]})
    with pytest.raises(DataError, match=r"y\.npy: segments are \(3001,\), but those of .*x\.npy are \(3000,\)"):
        SegmentStore.open(folder, "waveforms")
    write(folder, {"a/a": noise(100)})  # is cut, but the others are not segments of 5 s
    with pytest.raises(DataError, match=r"x\.npy: segments are \(3000,\), but those of .*a\.npy are \(80000,\)"):
        SegmentStore.open(folder, "waveforms")


@pytest.mark.parametrize(
    ("name", "stats"),
    [
        ("FSD2018", WaveStats(1944, 1605, 0.056)),
        ("nsynth", WaveStats(1294, 961, 0.224)),
        ("ESC-50-master", WaveStats(1191, 1669, 0.144)),
        ("esc-50", WaveStats(1191, 1669, 0.144)),
        ("BirdClef", WaveStats(3038, 1910, 0.127)),
    ],
)
def test_published_statistics_where_a_folder_has_none(
    tmp_path: Path, name: str, stats: WaveStats, caplog: pytest.LogCaptureFixture
) -> None:
    folder = DatasetFolder(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert DatasetFolders((folder,)).read_wave_stats() == stats
    assert "wave_stats.json: missing; the published statistics" in caplog.text
    caplog.clear()
    write_wave_stats(folder.wave_stats, WaveStats(2000.0, 1000.0, 0.2))
    assert DatasetFolders((folder,)).read_wave_stats() == WaveStats(2000.0, 1000.0, 0.2)
    assert not caplog.text


def test_no_statistics_are_published_of_other_datasets(tmp_path: Path) -> None:
    for name in ("VoxCeleb", "Own"):
        assert DatasetFolders((DatasetFolder(tmp_path / name),)).read_wave_stats() is None
