"""Clips cut at events: the samples that decoding the whole recording gives, whatever the blocks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError
from fewshot_audio.events import cut
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.cut import cut_events
from fewshot_audio.recognition.clips import LoadedClip
from tests.recognition.sounds import write_wav

RATE = 16_000
PREPROCESSING = Preprocessing.of(segment_seconds=0.5)
NOISE = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)


class Blocks:
    """Stands for the decoding of ``NOISE`` in blocks of some lengths."""

    lengths: tuple[int, ...] = ()

    def __init__(self, path: Path, rate: int) -> None:
        self.damage = ""
        self.level = type("Level", (), {"floor": 0.0})()

    def __iter__(self) -> Iterator[Samples]:
        yield from np.split(NOISE, np.cumsum(self.lengths))


event = st.tuples(st.integers(0, 9900), st.integers(20, 3000)).map(
    lambda pair: Annotation(Path("a.wav"), pair[0] / 1000, min(10, sum(pair) / 1000), "x")
)


@given(st.lists(event, min_size=1, max_size=8, unique=True), st.lists(st.integers(0, 60_000), max_size=6))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_clip_is_its_part_of_the_recording(
    monkeypatch: pytest.MonkeyPatch, events: list[Annotation], lengths: list[int]
) -> None:
    monkeypatch.setattr(cut, "Decoding", Blocks)
    monkeypatch.setattr(Blocks, "lengths", tuple(lengths))
    cuts = list(cut_events(events, PREPROCESSING))
    assert sorted(map(repr, (annotation for annotation, _ in cuts))) == sorted(map(repr, events))
    for annotation, clip in cuts:
        first, last = round(annotation.start * RATE), round(annotation.end * RATE)
        if last - first < PREPROCESSING.n_fft:  # widened evenly, as far as the recording goes
            first = max(0, first - (PREPROCESSING.n_fft - (last - first)) // 2)
            last = first + PREPROCESSING.n_fft
        samples = NOISE[first:last]
        assert isinstance(clip, LoadedClip)
        assert np.array_equal(clip.segments, PREPROCESSING.segments(PREPROCESSING.normalize(samples)))
        assert clip.seconds == len(samples) / RATE


def test_clips_of_files_are_named_by_recording_and_seconds(tmp_path: Path) -> None:
    files = [write_wav(tmp_path / name, NOISE[: 2 * RATE], RATE) for name in ("a.wav", "b.wav")]
    events = [Annotation(file, 0.25, 1.5, "x") for file in files]
    events.append(Annotation(files[0], 0.5, 2.0, "x"))
    cuts = list(cut_events(events, PREPROCESSING))
    assert [clip.name for _, clip in cuts if isinstance(clip, LoadedClip)] == [
        "a.wav 0.250-1.500 s",
        "a.wav 0.500-2.000 s",
        "b.wav 0.250-1.500 s",
    ]


def test_what_cannot_be_cut_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    samples = NOISE[: 2 * RATE].copy()
    samples[:RATE] = 0
    file, missing = write_wav(tmp_path / "a.wav", samples, RATE), tmp_path / "missing.wav"
    events = [
        Annotation(file, 0.1, 0.9, "silent"),
        Annotation(file, 1.0, 1.01, "short"),
        Annotation(file, 1.2, 1.8, "good"),
        Annotation(file, 0, 700, "long"),
        Annotation(missing, 1, 2, "missing"),
    ]
    outcomes = {annotation.label: clip for annotation, clip in cut_events(events, PREPROCESSING)}
    assert isinstance(outcomes.pop("good"), LoadedClip)
    assert {label: str(error).partition(": ")[2].partition(":")[0] for label, error in outcomes.items()} == {
        "silent": "silent",
        "short": "too short",
        "long": "too long",
        "missing": "missing",
    }
    assert all(isinstance(error, DataError) for error in outcomes.values())
    assert str(outcomes["silent"]).startswith(f"{file}, 0.1 to 0.9 s: ")
