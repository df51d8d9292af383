"""Many recordings: several labels, backgrounds, bad files and interrupted runs together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.detection.scan import (
    DetectionJournal,
    bundle_fingerprint,
    detect_files,
    detection_fingerprint,
    search_by_examples,
)
from fewshot_audio.events.write import FileDetections
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from tests.events.detection.recordings import DURATION, RATE, chirp
from tests.shell import Shell

OPTIONS = DetectionOptions(rescore=False)


def write_two_kinds(path: Path, seconds: float = 40.0) -> list[Annotation]:
    """Rising and falling chirps by turns; returns both, in order."""
    random = np.random.default_rng(1)
    samples = random.normal(0.0, 0.01, round(seconds * RATE)).astype(np.float32)
    marks = []
    for number, slot in enumerate(np.arange(1.0, seconds - 2.0, 1.5)):
        start = round((slot + random.uniform(0.0, 0.8)) * RATE)
        label, edges = [("rising", (2000.0, 4000.0)), ("falling", (6000.0, 5000.0))][number % 2]
        sound = chirp(*edges)
        samples[start : start + len(sound)] += random.uniform(0.05, 0.2) * sound
        marks.append(Annotation(path, start / RATE, start / RATE + DURATION, label))
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return marks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, one of which is bad, and a quiet one."""
    path: Path = tmp_path_factory.mktemp("scan")
    write_two_kinds(path / "a.wav")
    (path / "b.wav").write_bytes(b"no sound")
    soundfile.write(path / "quiet.wav", np.random.default_rng(2).normal(0.0, 0.01, 20 * RATE), RATE, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def marks(folder: Path) -> list[Annotation]:
    return write_two_kinds(folder / "a.wav")  # the same bytes again


def write_table(path: Path, marks: list[Annotation]) -> Path:
    rows = [f"a.wav,{mark.start},{mark.end},{mark.label}" for mark in marks]
    path.write_text("\n".join(["file,start,end,label", *rows]))
    return path


def test_several_labels_are_detected_at_once_each_by_its_own_examples(folder: Path, marks: list[Annotation]) -> None:
    events = Detector.fit(marks[:10], options=OPTIONS).detect(folder / "a.wav")
    assert [event.label for event in events] == [mark.label for mark in marks[10:]]
    starts = [event.start for event in events]
    np.testing.assert_allclose(starts, [mark.start for mark in marks[10:]], atol=0.15)


def test_an_interrupted_run_with_a_background_and_a_bad_file_continues(
    folder: Path, marks: list[Annotation], tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_table(folder / "examples.csv", marks[:10])
    files = [folder / name for name in ("a.wav", "b.wav", "quiet.wav")]
    command = ["detect", *files, "--examples", table, "--shared-examples", "--background", folder / "quiet.wav"]
    command += ["--no-rescore", "-o", tmp_path / "events.csv"]
    search, searched = Detector.search, list[str]()

    def interrupted(self: Detector, path: Path, report: Callable[[str], None] = lambda _: None) -> FileDetections:
        searched.append(path.name)
        if searched == ["a.wav", "b.wav", "quiet.wav"]:
            raise KeyboardInterrupt
        return search(self, path, report)

    monkeypatch.setattr(Detector, "search", interrupted)
    outcome = shell(*command)
    assert outcome.code == 130
    assert "events of 2 files are kept" in outcome.err
    assert not (tmp_path / "events.csv").exists()
    outcome = shell(*command)
    assert searched == ["a.wav", "b.wav", "quiet.wav", "quiet.wav"]
    assert outcome.code == 1
    assert f"cannot be used: {folder / 'b.wav'}" in outcome.err
    assert "3 files, 1 with answers, 1 failed" in outcome.err
    expected = Detector.fit(marks[:10], [folder / "quiet.wav"], OPTIONS).detect(folder / "a.wav")
    rows = [line.split(",") for line in (tmp_path / "events.csv").read_text().splitlines()[1:]]
    assert [(row[3], float(row[1])) for row in rows] == [(event.label, round(event.start, 4)) for event in expected]


def test_results_of_other_examples_backgrounds_options_or_bundles_are_not_taken_over(
    folder: Path, marks: list[Annotation]
) -> None:
    prints = [
        detection_fingerprint(own, background, options)
        for own, background, options in (
            (marks[:5], [], OPTIONS),
            (marks[:6], [], OPTIONS),
            (marks[:5], [folder / "quiet.wav"], OPTIONS),
            (marks[:5], [], DetectionOptions()),
        )
    ]
    for content in ("{}", "{ }"):
        (folder / BUNDLE_FILE).write_text(content)
        prints += [bundle_fingerprint(folder, DetectionOptions(), strict=strict) for strict in (False, True)]
    assert len(set(prints)) == len(prints)


def test_a_damaged_recording_fails_if_that_is_asked_for_and_a_journal_keeps_it(tmp_path: Path) -> None:
    events = (Detection(0.5, 1.0, "wren", 0.9),)

    def search(path: Path, report: Callable[[str], None]) -> FileDetections:
        report("half of it")
        return FileDetections(str(path), 2.0, events, RATE, damage="cut off")

    journal = DetectionJournal(tmp_path / "journal", "print")
    (result,) = detect_files([tmp_path / "a.wav"], search, strict=True, journal=journal)
    assert (result.error, result.events) == ("cut off", ())
    (tolerant,) = detect_files([tmp_path / "a.wav"], search)
    assert (tolerant.error, tolerant.events) == (None, events)
    kept = DetectionJournal(tmp_path / "journal", "print").results
    assert list(kept.values()) == [result]
    assert not DetectionJournal(tmp_path / "journal", "other").results


def test_recordings_without_examples_and_missing_ones_are_told_apart(folder: Path, marks: list[Annotation]) -> None:
    search = search_by_examples(marks[:5], OPTIONS)
    missing, unmarked = detect_files([folder / "none.wav", folder / "quiet.wav"], search)
    assert missing.error == "missing: there is no such file"
    assert unmarked.error is not None
    assert unmarked.error.startswith("no example is marked in it")


def test_a_table_whose_recording_is_missing_does_not_say_that_it_has_no_event(tmp_path: Path, shell: Shell) -> None:
    soundfile.write(tmp_path / "other.wav", np.ones(RATE), RATE)
    table = write_table(tmp_path / "examples.csv", [Annotation(tmp_path / "a.wav", 1.0, 2.0, "wren")])
    outcome = shell("detect", tmp_path / "other.wav", "--examples", table)
    assert f"{table}, line 2: there is no recording 'a.wav'" in outcome.err
    assert f"{table}: no event that can be used" in outcome.err
