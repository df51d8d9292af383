from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from fewshot_audio.cli import app
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection import frames, select
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.options import THRESHOLD, DetectionOptions
from tests.events.detection.recordings import write_recording


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("detection") / "dawn.wav"
    write_recording(path)
    return path


@pytest.fixture(scope="module")
def calls(recording: Path) -> list[Annotation]:
    return write_recording(recording)  # the same bytes again


@pytest.fixture(scope="module")
def detector(calls: list[Annotation]) -> Detector:
    return Detector.fit(calls[:5])


def times(events: object) -> list[tuple[float, float]]:
    return [(event.start, event.end) for event in events]  # type: ignore[attr-defined]


def test_the_other_calls_are_found_with_onsets_and_offsets_and_nothing_else(
    recording: Path, calls: list[Annotation], detector: Detector
) -> None:
    events = detector.detect(recording)
    assert len(events) == len(calls) - 5
    np.testing.assert_allclose(times(events), times(calls[5:]), atol=0.15)
    assert {event.label for event in events} == {"chirp"}


def test_very_many_more_events_than_among_the_examples_are_not_reported_unless_asked_for(
    recording: Path, calls: list[Annotation], detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = detector.detect(recording)
    monkeypatch.setattr(select, "MOST", (0.25, 3))
    monkeypatch.setattr(select, "USUAL", (0.25, 3))
    most = round(0.25 * (60.0 - calls[4].end) * 5 / calls[4].end)
    assert 3 < most < len(every)
    kept = detector.detect(recording)
    assert len(kept) == most
    assert min(event.score for event in kept) >= sorted(event.score for event in every)[-most]
    asked = Detector.fit(calls[:5], options=DetectionOptions(threshold=THRESHOLD))
    assert times(asked.detect(recording)) == times(every)


def test_detections_repeat_and_do_not_depend_on_the_blocks(
    recording: Path, calls: list[Annotation], detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = detector.detect(recording)
    assert Detector.fit(calls[:5]).detect(recording) == events
    monkeypatch.setattr(frames, "BLOCK_UNITS", 17)
    again = detector.detect(recording)
    np.testing.assert_allclose(times(again), times(events))
    np.testing.assert_allclose([e.score for e in again], [e.score for e in events], atol=1e-6)


def test_a_recording_of_another_level_has_the_same_events(tmp_path: Path, recording: Path, detector: Detector) -> None:
    quiet = tmp_path / "quiet.wav"
    marks = write_recording(quiet, gain=0.01)
    expected = times(detector.detect(recording))
    np.testing.assert_allclose(times(Detector.fit(marks[:5]).detect(quiet)), expected, atol=0.02)


def test_examples_of_one_recording_serve_another(tmp_path: Path, detector: Detector) -> None:
    other = tmp_path / "noon.wav"
    marks = write_recording(other, seed=3)
    np.testing.assert_allclose(times(detector.detect(other)), times(marks), atol=0.15)


def test_nothing_is_learned_from_what_is_unsure(recording: Path, calls: list[Annotation]) -> None:
    """Of five calls two are not marked: between marked ones they are taken for other sounds, unless unsure."""
    unmarked = [calls[1], calls[3]]
    marked = [calls[0], calls[2], calls[4]]
    unsure = [Annotation(call.file, call.start, call.end, "chirp", quality="UNK") for call in unmarked]
    options = DetectionOptions(threshold=0.0, complete_between=True, rescore=False)
    scores = []
    for marks in (marked, [*marked, *unsure]):
        events = Detector.fit(marks, options=options).detect(recording)
        scores.append([max(e.score for e in events if e.start < c.end and e.end > c.start) for c in calls[5:]])
    assert np.mean(scores[1]) > np.mean(scores[0]) + 0.1


def test_events_have_the_frequencies_of_the_examples(recording: Path, calls: list[Annotation]) -> None:
    banded = [Annotation(c.file, c.start, c.end, c.label, 1900.0, 4100.0) for c in calls[:5]]
    events = Detector.fit(banded).detect(recording)
    assert {(event.low_hz, event.high_hz) for event in events} == {(1900.0, 4100.0)}


def test_examples_between_digital_silence_are_learned_from(tmp_path: Path) -> None:
    random, samples = np.random.default_rng(0), np.zeros(20 * 16_000)
    starts = range(1, 19, 2)
    for start in starts:
        samples[start * 16_000 : start * 16_000 + 4000] = 0.1 * random.normal(size=4000)
    soundfile.write(tmp_path / "bursts.wav", samples, 16_000)
    marks = [Annotation(tmp_path / "bursts.wav", float(start), start + 0.25, "burst") for start in starts]
    events = Detector.fit(marks[:3]).detect(tmp_path / "bursts.wav")
    assert [round(event.start) for event in events] == list(starts)[3:]


def test_examples_with_nothing_beside_them_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "full.wav", 0.1 * np.random.default_rng(0).normal(size=32_000), 16_000)
    marks = [Annotation(tmp_path / "full.wav", float(start), start + 1.0, "noise") for start in range(2)]
    with pytest.raises(DataError, match="nothing beside the examples to compare them with"):
        Detector.fit(marks)
    with pytest.raises(DataError, match="one example of 'noise': expected 2 or more of each label"):
        Detector.fit(marks[:1])


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path, recording: Path, calls: list[Annotation]) -> None:
    with pytest.raises(DataError, match="no example to detect by"):
        Detector.fit([Annotation(recording, 1.0, 2.0, "chirp", quality="NEG")])
    with pytest.raises(DataError, match=r"dawn\.wav: an example lasts 61 s"):
        Detector.fit([Annotation(recording, 0.0, 61.0, "chirp")])
    with pytest.raises(DataError, match="a recording to learn from cannot be used"):
        Detector.fit([Annotation(tmp_path / "none.wav", float(start), start + 1.0, "chirp") for start in range(2)])
    with pytest.raises(ConfigError, match="threshold 2"):
        DetectionOptions(threshold=2.0)


def test_the_command_writes_a_table_and_reports_a_recording_without_examples(
    tmp_path: Path, recording: Path, calls: list[Annotation], detector: Detector
) -> None:
    table = recording.with_name("dawn.csv")
    rows = [f"dawn.wav,{call.start},{call.end},{call.label}" for call in calls[:5]]
    table.write_text("\n".join(["file,start,end,label", *rows]))
    other = recording.with_name("noon.wav")
    write_recording(other, seed=3, seconds=20.0)
    output = tmp_path / "events.csv"
    command = ["detect", str(recording), str(other), "--examples", str(table), "-o", str(output)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "noon.wav: no example is marked in it" in result.output
    lines = output.read_text().splitlines()
    assert lines[0].startswith("file,start,end,label,score")
    found = [tuple(float(cell) for cell in line.split(",")[1:3]) for line in lines[1:]]
    np.testing.assert_allclose(found, times(detector.detect(recording)), atol=1e-4)
    assert not output.with_name("events.csv.journal").exists()
