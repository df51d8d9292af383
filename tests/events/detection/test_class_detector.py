from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio import Detector
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.detection import frames
from fewshot_audio.events.detection.class_detector import event_score
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.detection.searcher import Searcher
from fewshot_audio.events.detection.stretches import SHORTEST, STEP, audible_stretches
from fewshot_audio.recognition.enrolled import Classification
from fewshot_audio.recognition.recognizer import Recognizer
from tests.events.detection.recordings import RATE, chirp, write_recording
from tests.shell import Shell

SECONDS = 20.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("classes") / "dawn.wav"
    write_recording(path, seconds=SECONDS)
    return path


@pytest.fixture(scope="module")
def calls(recording: Path) -> list[Annotation]:
    return write_recording(recording, seconds=SECONDS)  # the same bytes again


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """Knows rising and falling chirps, and the noise between them."""
    random, own = np.random.default_rng(5), Recognizer.shipped()
    for name, edges in (("rising", (2000.0, 4000.0)), ("falling", (6000.0, 5000.0))):
        clips = [chirp(*edges) * random.uniform(0.05, 0.2) for _ in range(4)]
        own.enroll(name, [(clip + random.normal(0.0, 0.01, len(clip)).astype(np.float32), RATE) for clip in clips])
    own.enroll_background([(random.normal(0.0, 0.01, 10 * RATE).astype(np.float32), RATE)])
    return own


@pytest.fixture(scope="module")
def bundle(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("classes") / "bundle"
    recognizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def detector(recognizer: Recognizer) -> Searcher:
    return Detector.from_recognizer(recognizer)


@pytest.fixture(scope="module")
def events(recording: Path, detector: Searcher) -> list[Detection]:
    return detector.detect(recording)


def test_the_sounds_of_each_class_are_events_with_onsets_and_offsets(
    calls: list[Annotation], events: list[Detection]
) -> None:
    rising = [(event.start, event.end) for event in events if event.label == "rising"]
    np.testing.assert_allclose(rising, [(call.start, call.end) for call in calls], atol=0.1)
    assert sum(event.label == "falling" for event in events) == len(calls)
    assert len(events) == 2 * len(calls)
    assert events == sorted(events, key=lambda event: event.start)
    assert all(0.3 <= event.score <= 1.0 for event in events)


def test_what_is_ignored_or_too_short_or_not_sure_enough_is_no_event(
    recording: Path, bundle: Path, events: list[Detection]
) -> None:
    own = Recognizer.load(bundle)
    middle = float(np.median([event.score for event in events]))
    by_threshold = Detector.from_recognizer(own, DetectionOptions(threshold=middle)).detect(recording)
    assert by_threshold == [event for event in events if event.score >= middle]
    long = DetectionOptions(merge_gap=60.0, overlaps=True, min_duration=SECONDS / 2)
    assert sorted(event.label for event in Detector.from_recognizer(own, long).detect(recording)) == [
        "falling",
        "rising",
    ]
    own.ignore("falling")
    detector = Detector.from_recognizer(own)
    assert {event.label for event in detector.detect(recording)} == {"rising"}


def test_a_score_is_lower_the_more_a_sound_is_unknown() -> None:
    def score(probability: float, unknown_score: float, threshold: float | None) -> float:
        answer = Classification("dog", "dog", {"cat": 1 - probability, "dog": probability}, unknown_score, 1)
        return event_score(answer, threshold)

    assert score(0.8, 0.0, 1.5) == 0.8
    assert score(0.8, 1.5, 1.5) == pytest.approx(0.4)
    assert score(0.8, 3.0, 1.5) == pytest.approx(0.16)
    assert score(0.8, 3.0, None) == 0.8


def test_detections_do_not_depend_on_the_blocks(
    recording: Path, events: list[Detection], detector: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BLOCK_UNITS", 9)
    again = detector.detect(recording)
    np.testing.assert_allclose([(e.start, e.end) for e in again], [(e.start, e.end) for e in events], atol=0.05)


def test_stretches_are_bounded_in_number_and_length_and_hold_the_sounds() -> None:
    random = np.random.default_rng(0)
    power = random.exponential(1.0, (12_000, frames.N_MELS)).astype(np.float32)
    power[4000:4100, 10:20] *= 100.0  # half a second
    excerpt = frames.Excerpt.of(power, 0, (0, 12_000), STEP)
    stretches = audible_stretches(excerpt, longest=200)
    lengths = stretches.ends - stretches.starts
    assert len(lengths) <= 100
    assert (lengths >= 100 * SHORTEST).all()
    assert (lengths <= 200).all()
    assert np.min(np.abs(stretches.starts - 2000) + np.abs(stretches.ends - 2050)) <= 6


def test_a_silent_recording_is_refused_and_one_of_noise_has_no_events(
    tmp_path: Path, detector: Searcher, recognizer: Recognizer
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    with pytest.raises(DataError, match=r"silence\.wav: silent"):
        detector.detect(tmp_path / "silence.wav")
    noise = np.random.default_rng(8).normal(0.0, 0.01, 10 * RATE)
    soundfile.write(tmp_path / "noise.wav", noise, RATE, subtype="FLOAT")
    assert detector.detect(tmp_path / "noise.wav") == []
    soundfile.write(tmp_path / "frame.wav", noise[:50], RATE, subtype="FLOAT")
    assert detector.detect(tmp_path / "frame.wav") == []  # less than the two frames that count as one


def test_options_about_examples_and_recognizers_without_classes_are_refused(recognizer: Recognizer) -> None:
    for options in (DetectionOptions(complete_between=True), DetectionOptions(rescore=False)):
        with pytest.raises(ConfigError, match="complete_between, rescore and network concern marked examples"):
            Detector.from_recognizer(recognizer, options)
    with pytest.raises(DataError, match="no class is enrolled"):
        Detector.from_recognizer(Recognizer.shipped())


# The command


def test_the_command_writes_what_the_detector_says_and_goes_on_behind_a_bad_file(
    tmp_path: Path, recording: Path, events: list[Detection], bundle: Path, shell: Shell
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound")
    output = tmp_path / "events.csv"
    outcome = shell("detect", bad, recording, "--bundle", bundle, "-o", output)
    assert outcome.code == 1
    assert f"cannot be used: {bad}" in outcome.err
    rows = [line.split(",") for line in output.read_text().splitlines()[1:]]
    assert [(row[0], row[3]) for row in rows] == [(str(recording), event.label) for event in events]
    np.testing.assert_allclose([float(row[1]) for row in rows], [event.start for event in events], atol=1e-4)
    assert not output.with_name("events.csv.journal").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "detect needs --examples TABLE, the marked events, or --bundle BUNDLE"),
        (["--bundle", "b", "--examples", "t.csv"], "not both"),
        (["--bundle", "b", "--shared-examples"], "--shared-examples: concerns --examples, and --bundle has none"),
        (["--bundle", "b", "--no-rescore"], "--no-rescore: concerns --examples"),
        (["--bundle", "b", "--background", "quiet"], "`enroll b --background` adds a background to it"),
    ],
)
def test_options_of_the_other_way_are_refused(
    arguments: list[str], message: str, recording: Path, shell: Shell
) -> None:
    outcome = shell("detect", recording, *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
