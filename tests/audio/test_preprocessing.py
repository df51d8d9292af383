"""Segments, normalization, and a preprocessing that survives being saved."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.segments import usual_hop
from fewshot_audio.errors import DataError

SMALL = Preprocessing(sample_rate=1000, segment_seconds=0.1, n_fft=32, hop_length=16, n_mels=8)
SMALL_SEGMENT = 100


def reference_segments(wave: np.ndarray, length: int, window: int) -> list[list[float]]:
    """Straight from the definition, sample by sample."""
    segments = []
    for start in range(0, len(wave), length):
        part = list(wave[start : start + length])
        if start and len(part) < window:
            break
        segments.append([part[i % len(part)] for i in range(length)])
    return segments


@settings(deadline=None, max_examples=60)
@given(st.integers(32, 450))
def test_segments_follow_the_definition(samples: int) -> None:
    wave = np.arange(samples, dtype=np.float32)
    segments = SMALL.segments(wave)
    assert segments.dtype == np.float32
    assert segments.tolist() == reference_segments(wave, 100, 32)


def test_the_tail_is_filled_with_itself_by_tiling() -> None:
    segments = SMALL.segments(np.arange(140, dtype=np.float32))
    assert segments[1, :41].tolist() == [*range(100, 140), 100]
    short = SMALL.segments(np.arange(40, dtype=np.float32))
    assert short.shape == (1, 100)
    assert short[0, 38:42].tolist() == [38, 39, 0, 1]


def test_a_tail_shorter_than_one_window_is_left_out() -> None:
    assert len(SMALL.segments(np.zeros(131, dtype=np.float32))) == 1
    assert len(SMALL.segments(np.zeros(132, dtype=np.float32))) == 2


@settings(deadline=None, max_examples=40)
@given(st.integers(32, 5000), st.floats(1e-20, 1e20), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_normalized_clips_have_mean_0_and_deviation_1(samples: int, scale: float, offset: float, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(samples) + offset
    wave = SMALL.normalize((values * scale).astype(np.float32))
    assert wave.dtype == np.float32
    assert abs(wave.mean(dtype=np.float64)) < 1e-5
    assert abs(wave.std(dtype=np.float64) - 1) < 1e-5


def test_normalization_spans_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).uniform(2, 3, 1000).astype(np.float32)
    whole = SMALL.normalize(values)
    monkeypatch.setattr("fewshot_audio.audio.segments._BLOCK", 77)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(SMALL.normalize(values), (exact - exact.mean()) / exact.std(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(SMALL.normalize(values), whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("wave", "reason"),
    [
        (np.zeros(0), Reason.TOO_SHORT),
        (np.random.default_rng(0).normal(size=19), Reason.TOO_SHORT),
        (np.zeros(500), Reason.SILENT),
        (np.full(500, 0.1), Reason.SILENT),
        (np.array([0.0, np.nan] * 100), Reason.NON_FINITE),
        (np.array([0.0, np.inf] * 100), Reason.NON_FINITE),
    ],
)
def test_unusable_waveforms_are_rejected_with_their_reason(wave: np.ndarray, reason: Reason) -> None:
    with pytest.raises(Rejected) as caught:
        SMALL.normalize(wave.astype(np.float32))
    assert caught.value.reason == reason


def test_a_recording_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    preprocessing = Preprocessing(segment_seconds=1.0)
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000)), 16000)
    assert preprocessing.load(str(tmp_path / "a.wav")).shape == (16000,)
    (tmp_path / "b.wav").write_text("no sound")
    for name, reason in (("b.wav", Reason.UNREADABLE), ("c.wav", Reason.MISSING)):
        with pytest.raises(Rejected, match=f"{name}: ") as error:
            preprocessing.load(tmp_path / name)
        assert error.value.reason == reason


def test_features_do_not_depend_on_how_many_are_computed_at_once() -> None:
    segments = np.random.default_rng(0).normal(size=(19, SMALL.segment_samples)).astype(np.float32)
    features = SMALL.features(segments)
    assert features.shape == (19, SMALL.n_mels, SMALL.frames)
    assert features.dtype == np.float32
    for i in (0, 8, 18):
        np.testing.assert_allclose(SMALL.features(segments[i : i + 1])[0], features[i], rtol=1e-6, atol=1e-5)


def test_saved_and_read_back_it_is_the_same() -> None:
    preprocessing = Preprocessing(segment_seconds=3.0, n_mels=64)
    again = Preprocessing.from_json(preprocessing.to_json())
    assert again == preprocessing
    assert hash(again) == hash(preprocessing)
    assert again != Preprocessing()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"n_mel": 128}', ["model.json", "n_mel", "128"]),
        ('{"n_fft": "1024"}', ["model.json", "n_fft", "'1024'", "integer"]),
        ('{"hop_length": 0}', ["hop_length", "0"]),
        ('{"hop_length": 2048}', ["hop_length 2048", "1024"]),
        ('{"segment_seconds": 0.05}', ["0.05", "800 samples", "1024"]),
        ('{"n_mels": 600}', ["600", "513"]),
        ("{", ["model.json", "JSON"]),
        ("[1]", ["model.json", "[1]"]),
    ],
)
def test_wrong_files_are_refused_with_the_key_and_what_was_found(text: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing.from_json(text, "model.json")
    assert all(word in str(caught.value) for word in words), str(caught.value)


DEFAULT = """{
  "sample_rate": 16000,
  "segment_seconds": 5.0,
  "n_fft": 1024,
  "hop_length": 512,
  "n_mels": 128,
  "eps": 2.22e-16,
  "compat": ""
}
"""


def test_what_was_the_only_way_is_written_as_before() -> None:
    """So that earlier versions read what this one writes, and digests of it stay."""
    assert Preprocessing().to_json() == DEFAULT
    assert list(Preprocessing(slowdown=10, fmax=7000.0).model_dump())[7:] == ["fmax", "slowdown"]
    for values in ({"fmin": 50.0}, {"fmax": 7000.0}, {"frontend": "pcen"}, {"slowdown": 10}, {"fill": "silence"}):
        preprocessing = Preprocessing.of(**values)
        assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing != Preprocessing()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fmin": 8000.0}, ["fmin 8000", "fmax <= 8000"]),
        ({"fmin": 3000.0, "fmax": 2000.0}, ["fmin 3000", "fmax 2000"]),
        ({"fmax": 9000.0}, ["fmax 9000", "8000"]),
        ({"fmin": -1.0}, ["fmin", "-1"]),
        ({"frontend": "mfcc"}, ["frontend", "mfcc", "pcen"]),
        ({"slowdown": 0}, ["slowdown", "0"]),
        ({"slowdown": 100}, ["16000 x slowdown 100", "768000"]),
        ({"fill": "noise"}, ["fill", "noise"]),
        ({"fill": "silence", "compat": "authors-waveforms"}, ["fill", "authors-waveforms"]),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing.of(**values)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_clip_of_20_ms_is_padded_to_a_window_and_then_as_others_are() -> None:
    clip = SMALL.normalize(np.random.default_rng(0).normal(size=20).astype(np.float32))
    window = [*clip.tolist(), *[0.0] * 12]
    assert SMALL.segments(clip).tolist() == [[window[i % 32] for i in range(100)]]
    silent = SMALL.model_copy(update={"fill": "silence"})
    assert silent.segments(clip).tolist() == [[*clip.tolist(), *[0.0] * 80]]


def test_silence_fills_what_is_left_of_the_last_segment() -> None:
    silent = SMALL.model_copy(update={"fill": "silence"})
    wave = np.arange(1, 141, dtype=np.float32)
    assert silent.segments(wave)[1].tolist() == [*range(101, 141), *[0] * 60]
    assert silent.segments(wave[:100]).tolist() == SMALL.segments(wave[:100]).tolist()
    assert len(silent.segments(wave[:131])) == 1  # a rest shorter than a window is dropped as ever


def test_slowed_down_a_recording_is_that_of_a_slower_recorder(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).normal(size=64_000)
    for name, rate in (("bat.wav", 160_000), ("bird.wav", 16_000)):
        soundfile.write(tmp_path / name, 0.1 * wave, rate, subtype="FLOAT")
    slow, plain = Preprocessing(slowdown=10, segment_seconds=2.0), Preprocessing(segment_seconds=2.0)
    assert (slow.recording_rate, slow.recording_seconds) == (160_000, 0.2)
    assert slow.load(tmp_path / "bat.wav").tobytes() == plain.load(tmp_path / "bird.wav").tobytes()
    segments = plain.segments(plain.load(tmp_path / "bird.wav"))
    assert slow.features(segments).tobytes() == plain.features(segments).tobytes()


@pytest.mark.parametrize(
    ("seconds", "n_fft", "hop"),
    [(5.0, 1024, 512), (1.0, 1024, 512), (0.99, 1024, 256), (0.5, 1024, 256), (0.25, 512, 128), (2.0, 256, 128)],
)
def test_the_usual_hop_leaves_32_frames(seconds: float, n_fft: int, hop: int) -> None:
    assert usual_hop(round(16_000 * seconds), n_fft) == hop
    assert 1 + round(16_000 * seconds) // hop >= 32


def test_a_hop_is_a_sample_at_least() -> None:
    assert usual_hop(16, 16) == 1


def test_wrong_values_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="segment_seconds"):
        Preprocessing.of(segment_seconds=-1.0)


def each_sample(values: list[float], times: int) -> list[float]:
    return [value for value in values for _ in range(times)][:SMALL_SEGMENT]


def tiled(values: list[float]) -> list[float]:
    return [values[i % len(values)] for i in range(SMALL_SEGMENT)]


def filled(compat: str, clip: list[float], rest: list[float]) -> list[float]:
    """The last segment: ``rest`` is the whole clip if that is shorter than a segment, else its tail."""
    times = math.ceil(SMALL_SEGMENT / len(rest))
    tail = len(clip) > len(rest)
    if compat == "metaaudio-offline":  # to_var_spec: samples of the clip, samples of the tail
        return each_sample(rest, times)
    if compat == "metaaudio-training":  # tiles of the clip, for a tail too, for which that is the clip's start
        return tiled(clip)
    if compat == "authors-waveforms":  # samples of the clip, for a tail too, as many times as the tail would need
        return each_sample(clip, times)
    return clip[:SMALL_SEGMENT] if tail else each_sample(clip, times)  # what 0.1 called metaaudio


COMPATS = ["metaaudio-offline", "metaaudio-training", "authors-waveforms", "metaaudio"]


@pytest.mark.parametrize("compat", COMPATS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(1, 3), samples=st.integers(1, 3 * SMALL_SEGMENT))
def test_compat_fills_segments_up_as_the_published_programs_do(compat: str, seed: int, samples: int) -> None:
    wave = np.random.default_rng(seed).standard_normal(samples).astype(np.float32)
    expected = []
    for start in range(0, samples, SMALL_SEGMENT):
        piece = wave[start : start + SMALL_SEGMENT].tolist()
        expected.append(piece if len(piece) == SMALL_SEGMENT else filled(compat, wave.tolist(), piece))
    seconds = SMALL_SEGMENT / 16_000
    preprocessing = Preprocessing.of(segment_seconds=seconds, n_fft=64, hop_length=64, n_mels=8, compat=compat)
    np.testing.assert_array_equal(preprocessing.segments(wave), np.array(expected, dtype=np.float32))


def test_each_compat_is_another_program() -> None:
    """Of a clip that is too short and of one with a tail, no two of them make the same segments."""
    answers = set()
    for compat in ["", *COMPATS]:
        preprocessing = Preprocessing.of(segment_seconds=0.01, n_fft=64, hop_length=64, n_mels=8, compat=compat)
        clips = [np.arange(1, 1 + samples, dtype=np.float32) for samples in (70, 230)]
        answers.add(b"".join(preprocessing.segments(clip).tobytes() for clip in clips))
    assert len(answers) == 5


def test_compat_is_off_saved_and_compared() -> None:
    assert Preprocessing().compat == ""
    other = Preprocessing.of(compat="metaaudio")
    assert other != Preprocessing()
    assert Preprocessing.from_json(other.to_json()) == other
    before = {key: value for key, value in json.loads(Preprocessing().to_json()).items() if key != "compat"}
    assert Preprocessing.from_json(json.dumps(before)) == Preprocessing()
    with pytest.raises(DataError, match="compat"):
        Preprocessing.of(compat="else")
