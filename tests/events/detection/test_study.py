"""Which windows of a recording may be events that nobody marked."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.frames import Excerpt, Frames
from fewshot_audio.events.detection.judge import Judge
from fewshot_audio.events.detection.label_model import frame_step
from fewshot_audio.events.detection.lesson import Lesson, hear_lessons, open_ear
from fewshot_audio.events.detection.lesson_reading import make_lesson, read_blocks
from fewshot_audio.events.detection.network import open_hearing
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.detection.study import Study, without_unmarked
from tests.events.detection.recordings import DURATION, RATE, chirp, write_recording

MARKED = (1, 6, 9, 14, 18)


def test_unmarked_calls_are_left_out_and_other_sounds_are_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "dawn.wav"
    calls = write_recording(path)
    marks = [calls[number] for number in MARKED]
    rest = np.array([call.start for call in calls if call not in marks])
    step = frame_step([DURATION])
    lesson = make_lesson(read_blocks(path, marks, DURATION)[0], step, float("inf"), marks)
    (heard,) = hear_lessons([lesson], open_ear([lesson], open_hearing()))
    (changed,) = without_unmarked([heard])
    first, length = changed.lesson.unsure
    middles = (first + length / 2) * step / 200.0  # frames of 5 ms
    near = np.abs(middles[:, None] - (rest + DURATION / 2)) < DURATION
    assert near.any(axis=0).sum() >= len(rest) - 2  # the unmarked calls are left out
    assert near.any(axis=1).mean() > 0.9  # and little else
    before, after = (Study.of([own]) for own in (heard, changed))
    for study in (before, after):
        assert np.unique(study.events.examples).tolist() == list(range(len(MARKED)))
    assert 0 < len(after.others) < len(before.others)


def test_of_very_many_proposals_some_are_learned_from_and_every_counterexample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dawn.wav"
    calls = write_recording(path)
    step, against = frame_step([DURATION]), calls[5:7]
    lesson = make_lesson(read_blocks(path, calls[:5], DURATION)[0], step, float("inf"), calls[:5], against)
    (heard,) = hear_lessons([lesson], open_ear([lesson], open_hearing()))
    study = Study.of([heard])
    taught: list[Frames] = []
    monkeypatch.setattr(Judge, "fit", lambda _events, others, *_rest: taught.append(others))
    monkeypatch.setattr("fewshot_audio.events.detection.study.MOST_PROPOSED", 40)
    study.judge()
    (others,) = taught
    assert len(study.others) > 200
    assert len(others) == 40 + len(against)
    assert np.array_equal(others[40:], study.others.features[study.others.stretches < 0])
    assert all((study.others.features == row).all(axis=1).any() for row in others)


def test_windows_are_unsure_where_they_meet_one_that_is() -> None:
    random = np.random.default_rng(0)
    power = np.ones((80, 4), np.float32)
    none = np.empty(0, np.int64)
    for count in (0, 1, 5):
        first, length = random.integers(0, 70, count), random.integers(1, 11, count)
        lesson = Lesson(Excerpt(0, (0, 80), power, power, 1), none, none, (0, 80), (none, none), (first, length))
        starts = random.integers(0, 75, 200)
        ends = starts + random.integers(1, 6, 200)
        expected = [
            any(s < f + n and e > f for f, n in zip(first, length, strict=True))
            for s, e in zip(starts, ends, strict=True)
        ]
        assert lesson.is_unsure(starts, ends).tolist() == expected


def test_the_calls_are_found_wherever_those_that_are_marked_lie(tmp_path: Path) -> None:
    path = tmp_path / "dawn.wav"
    calls = write_recording(path)
    marks = [calls[number] for number in MARKED]
    events = Detector.fit(marks, options=DetectionOptions(complete_between=False)).detect(path)
    rest = np.array([call.start for call in calls if call not in marks])
    apart = np.abs(np.array([event.start for event in events])[:, None] - rest)
    assert (apart.min(axis=1) < 0.15).all()
    assert (apart.min(axis=0) < 0.15).sum() >= len(rest) - 2


@pytest.mark.parametrize(("noise", "marked"), [(1e-3, (1, 6, 9, 14, 18)), (0.0, (3, 12))])
def test_all_copies_of_one_sound_are_found_by_a_few_of_them(
    noise: float, marked: tuple[int, ...], tmp_path: Path
) -> None:
    """Of sounds that are quite alike, few spies may all score higher than most others: the gap below these counts."""
    path, call = tmp_path / "copies.wav", 0.3 * chirp(2000.0, 4000.0)
    samples = noise * np.random.default_rng(0).normal(size=60 * RATE).astype(np.float32)
    starts = 2.0 + 3.0 * np.arange(19)
    for start in starts:
        samples[round(start * RATE) :][: len(call)] += call
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    marks = [Annotation(path, starts[number], starts[number] + DURATION, "call") for number in marked]
    events = Detector.fit(marks, options=DetectionOptions(complete_between=False)).detect(path)
    rest = np.delete(starts, marked)
    assert len(events) == len(rest)
    assert np.abs(np.array([event.start for event in events]) - rest).max() < 0.15
