"""Which windows of a recording may be events that nobody marked."""

from pathlib import Path

import numpy as np

from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.label_model import frame_step
from fewshot_audio.events.detection.lessons import make_lesson, read_blocks
from fewshot_audio.events.detection.network import open_hearing
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.detection.study import Study, without_unmarked
from tests.events.detection.recordings import DURATION, write_recording

MARKED = (1, 6, 9, 14, 18)


def test_unmarked_calls_are_left_out_and_other_sounds_are_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "dawn.wav"
    calls = write_recording(path)
    marks = [calls[number] for number in MARKED]
    rest = np.array([call.start for call in calls if call not in marks])
    step = frame_step([DURATION])
    lesson = make_lesson(read_blocks(path, marks, DURATION)[0], step, float("inf"), marks)
    hearing = open_hearing()
    (changed,) = without_unmarked([lesson], hearing)
    middles = (changed.unsure[0] + changed.unsure[1] / 2) * step / 200.0  # frames of 5 ms
    near = np.abs(middles[:, None] - (rest + DURATION / 2)) < DURATION
    assert near.any(axis=0).sum() >= len(rest) - 2  # the unmarked calls are left out
    assert near.any(axis=1).mean() > 0.9  # and little else
    before, after = (Study.of([own], hearing) for own in (lesson, changed))
    assert before.is_original.sum() == after.is_original.sum() == len(MARKED)
    assert 0 < len(after.others) < len(before.others)


def test_the_calls_are_found_wherever_those_that_are_marked_lie(tmp_path: Path) -> None:
    path = tmp_path / "dawn.wav"
    calls = write_recording(path)
    marks = [calls[number] for number in MARKED]
    events = Detector.fit(marks, options=DetectionOptions(complete_between=False)).detect(path)
    rest = np.array([call.start for call in calls if call not in marks])
    apart = np.abs(np.array([event.start for event in events])[:, None] - rest)
    assert (apart.min(axis=1) < 0.15).all()
    assert (apart.min(axis=0) < 0.15).sum() >= len(rest) - 2
