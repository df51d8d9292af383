"""Sounds that are known and never an answer: the background, and classes that are ignored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_audio import Recognizer
from fewshot_audio.errors import DataError
from fewshot_audio.recognition import recognizer as recognizer_module
from fewshot_audio.recognition.background import MOST_KEPT, background_clips
from fewshot_audio.recognition.bundle.write import save_bundle
from fewshot_audio.recognition.decision.choose import Head
from fewshot_audio.recognition.decision.maker import DecisionMaker, DecisionState
from fewshot_audio.recognition.encoder_choosing import with_only_encoders
from fewshot_audio.recognition.enrolled import UNKNOWN, Classification, EnrolledClass, EnrolledSounds
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.scan import answer_file
from tests.recognition.recognizers import CLASSES, PREPROCESSING, SAMPLES, Sound, sound
from tests.recognition.recognizers import recognizer as make_recognizer
from tests.shell import Shell, shell

__all__ = ["shell"]
RATE = PREPROCESSING.sample_rate
HEADS: list[Head] = ["prototypes", "both"]


def hum(seed: int, samples: int = SAMPLES) -> Sound:
    """A sound of no class: a low hum with its harmonics, under noise."""
    random = np.random.default_rng((9, seed))
    time = np.arange(samples) / RATE
    tones = sum(np.sin(2 * np.pi * 90 * n * time * random.uniform(0.98, 1.02)) / n for n in range(1, 6))
    return np.asarray(0.2 * tones + 0.02 * random.normal(size=samples), np.float32)


def asked() -> list[Sound]:
    return [sound(kind, seed) for kind in range(3) for seed in range(50, 55)] + [hum(seed) for seed in range(50, 55)]


def check_one_score_decides(recognizer: Recognizer, answers: list[Classification]) -> None:
    threshold = recognizer.unknown_threshold
    assert threshold is not None
    for answer in answers:
        assert (answer.label == UNKNOWN) == (answer.unknown_score > threshold)
        assert answer.best == max(answer.probabilities, key=lambda name: answer.probabilities[name])
        assert answer.label in (UNKNOWN, answer.best)
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.background is not None
        if answer.background > 0.5 + 1e-9:
            assert answer.label == UNKNOWN


@pytest.mark.parametrize("head", HEADS)
def test_what_is_like_the_background_is_unknown_and_nothing_else_changes(head: Head) -> None:
    recognizer = make_recognizer(head=head)
    before = recognizer.classify(asked(), rate=RATE)
    assert {answer.background for answer in before} == {None}
    if head == "prototypes":  # the fitted head tells this hum by its distance alone
        assert UNKNOWN not in [answer.label for answer in before[15:]]
    enrollment = recognizer.enroll_background([hum(seed) for seed in range(6)], rate=RATE)
    assert (enrollment.clips, enrollment.segments, enrollment.total) == (6, 6, 6)
    after = recognizer.classify(asked(), rate=RATE)
    assert [answer.probabilities for answer in after] == [answer.probabilities for answer in before]
    assert [answer.label for answer in after[15:]] == [UNKNOWN] * 5
    assert sum(a.label == b.label for a, b in zip(after[:15], before[:15], strict=True)) >= 14
    check_one_score_decides(recognizer, after)
    recognizer.remove_background()
    assert recognizer.classify(asked(), rate=RATE) == before


def test_the_score_agrees_with_one_computed_by_hand() -> None:
    recognizer = make_recognizer(head="prototypes")
    background = [hum(seed) for seed in range(4)]
    recognizer.enroll_background(background, rate=RATE)
    points, prototypes = recognizer.embed(background, rate=RATE).astype(float), recognizer.prototypes.astype(float)
    for clip, answer in zip(asked(), recognizer.classify(asked(), rate=RATE), strict=True):
        (point,) = recognizer.embed([clip], rate=RATE).astype(float)
        distances = np.linalg.norm(prototypes - point, axis=1)
        to_best = distances[recognizer.classes.index(answer.best)]
        odds = to_best / np.linalg.norm(points - point, axis=1).min()
        in_units = (distances / recognizer.expected_distances).min()
        assert answer.background == pytest.approx(odds / (1 + odds), rel=1e-4)
        assert answer.unknown_score == pytest.approx(max(in_units, 1.2 * odds), rel=1e-4)  # 1.2 is the threshold


def test_without_a_calibration_only_the_background_is_unknown() -> None:
    recognizer = make_recognizer(calibration=None, head="prototypes")
    assert recognizer.unknown_threshold is None
    recognizer.enroll_background([hum(seed) for seed in range(6)], rate=RATE)
    assert recognizer.unknown_threshold == 1.0
    answers = recognizer.classify(asked(), rate=RATE)
    check_one_score_decides(recognizer, answers)
    assert [answer.label for answer in answers[15:]] == [UNKNOWN] * 5
    assert sum(answer.label != UNKNOWN for answer in answers[:15]) >= 14


@pytest.mark.parametrize("head", HEADS)
def test_an_ignored_class_is_known_and_never_an_answer(head: Head) -> None:
    recognizer = make_recognizer(head=head)
    before = recognizer.classify(asked(), rate=RATE)
    recognizer.ignore("Käuzchen")
    assert recognizer.ignored == ["Käuzchen"]
    answers = recognizer.classify(asked(), rate=RATE)
    check_one_score_decides(recognizer, answers)
    assert {answer.probabilities["Käuzchen"] for answer in answers} == {0.0}
    assert "Käuzchen" not in {answer.label for answer in answers} | {answer.best for answer in answers}
    assert [answer.label for answer, former in zip(answers, before, strict=True) if former.best == "Käuzchen"] == (
        [UNKNOWN] * sum(former.best == "Käuzchen" for former in before)
    )
    assert recognizer.predict_proba(asked(), rate=RATE).shape == (20, 3)
    recognizer.rename("Käuzchen", "owl")
    assert recognizer.ignored == ["owl"]
    recognizer.ignore("owl", False)
    recognizer.rename("owl", "Käuzchen")
    assert recognizer.classify(asked(), rate=RATE) == before
    recognizer.ignore("chirp")
    recognizer.remove("chirp")
    assert recognizer.ignored == []


def test_a_recognizer_that_ignores_all_says_so() -> None:
    recognizer = make_recognizer()
    for name in CLASSES:
        recognizer.ignore(name)
    with pytest.raises(DataError, match="every enrolled class is ignored"):
        recognizer.classify([sound(0, 1)], rate=RATE)
    with pytest.raises(DataError, match="'cat' is not enrolled"):
        recognizer.ignore("cat")
    with pytest.raises(DataError, match="no background is enrolled"):
        recognizer.remove_background()
    recognizer.enroll_background([hum(0)], rate=RATE)
    with pytest.raises(DataError, match=r"no clip 'x'; it has clip 1"):
        recognizer.remove_background("x")


@pytest.mark.parametrize("head", HEADS)
def test_a_bundle_keeps_background_and_ignored_classes(head: Head, tmp_path: Path) -> None:
    recognizer = make_recognizer(head=head)
    recognizer.save(tmp_path / "plain")
    assert "background" not in json.loads((tmp_path / "plain/recognizer.json").read_text())  # older versions read it
    recognizer.enroll_background([hum(seed, 3 * SAMPLES) for seed in range(3)], rate=RATE)
    recognizer.ignore("rain, heavy")
    recognizer.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert (loaded.ignored, loaded.background) == (["rain, heavy"], recognizer.background)
    assert [clip.segments for clip in loaded.background] == [3, 3, 3]
    assert loaded.classify(asked(), rate=RATE) == recognizer.classify(asked(), rate=RATE)
    assert "1 ignored, background of 3 clips" in repr(loaded)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"ignored": ["cat"]}, "background.ignored: 'cat' is no enrolled class"),
        ({"ignored": []}, "tensors"),
        ({"clips": [{"name": "a", "segments": 9, "silence": 0.0}]}, "expected float32"),
        ({"clips": [{"name": "a" * 2000, "segments": 2, "silence": 0.0}]}, "without a usable name"),
        ({"clips": [{"name": "a", "segments": 0, "silence": 0.0}]}, "background.clips"),
        ({"sounds": []}, "background.sounds"),
    ],
)
def test_a_section_that_was_tampered_with_is_refused(section: dict[str, object], words: str, tmp_path: Path) -> None:
    recognizer = make_recognizer()
    recognizer.enroll_background(hum(0, 2 * SAMPLES), rate=RATE)
    recognizer.save(tmp_path)
    path = tmp_path / "recognizer.json"
    description = json.loads(path.read_text())
    clips = description["background"]["clips"]
    keeps_clips = "ignored" in section and section["ignored"]
    description["background"] = {**section, "clips": clips} if keeps_clips else section
    path.write_text(json.dumps(description))
    with pytest.raises(DataError, match=words) as error:
        Recognizer.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_changes_of_two_programs_are_joined(tmp_path: Path) -> None:
    make_recognizer().save(tmp_path)
    here, there = Recognizer.load(tmp_path), Recognizer.load(tmp_path)
    there.enroll_background(hum(0), rate=RATE)
    there.save(tmp_path)
    here.ignore("chirp")
    here.enroll_background(hum(1), rate=RATE)
    here.refresh(tmp_path)
    assert (here.ignored, [clip.name for clip in here.background]) == (["chirp"], ["clip 1", "clip 1 (2)"])
    here.save(tmp_path)
    there.refresh(tmp_path)
    assert there.classify(asked(), rate=RATE) == here.classify(asked(), rate=RATE)


def test_a_long_recording_gives_a_bounded_number_of_segments_at_even_distances(tmp_path: Path) -> None:
    """Every segment has a tone of its own, so that the kept ones can be told."""
    count = 3 * MOST_KEPT
    time = np.arange(SAMPLES) / RATE
    long = np.concatenate([np.sin(2 * np.pi * (200 + 20 * number) * time) for number in range(count)])
    long[SAMPLES * 8 : SAMPLES * 12] = 0.0  # silent
    soundfile.write(tmp_path / "long.wav", 0.3 * long, RATE)
    (clip,) = background_clips(tmp_path / "long.wav", PREPROCESSING)
    pitches = [np.abs(np.fft.rfft(segment)).argmax() * RATE / SAMPLES for segment in clip.segments]
    places = [round((pitch - 200) / 20) for pitch in pitches]
    assert places == [place for place in range(0, count, 4) if place != 8]
    assert clip.seconds == len(places) * PREPROCESSING.segment_seconds
    assert clip.silence == 1 / (count // 4)  # of the segments at these distances, as of those that are kept
    assert np.allclose(clip.segments.std(axis=1), 1, atol=1e-3)  # each is normalized by itself
    (of_array,) = background_clips((0.3 * long.astype(np.float32), RATE), PREPROCESSING)
    assert np.allclose(of_array.segments, clip.segments, atol=1e-2)


def test_a_background_beside_classes_of_version_0_1_keeps_its_timbre(tmp_path: Path) -> None:
    """It is missed as soon as the classes are enrolled anew, and a decision counts timbre."""
    own = make_recognizer(enrolled=False, head="both")
    for kind, name in enumerate(CLASSES):
        own.enroll(name, [sound(kind, seed) for seed in range(3)], rate=RATE)
    own.enroll_background(hum(0), rate=RATE)
    clips = {
        name: EnrolledClass.of(tuple(replace(clip, timbre=None) for clip in enrolled_class.clips))
        for name, enrolled_class in own.snapshot().classes.items()
    }
    parts = own.parts()
    without = parts._replace(sounds=replace(parts.sounds, classes=clips), decision=None)
    save_bundle(tmp_path, without)
    loaded = Recognizer.load(tmp_path)
    assert loaded.head == "prototypes"
    for kind, name in enumerate(CLASSES):
        loaded.enroll(name, [sound(kind, seed) for seed in range(3)], rate=RATE, replace=True)
    loaded.choose_head("both")
    loaded.save(tmp_path)
    again = Recognizer.load(tmp_path)
    assert again.head == "both"
    assert again.classify(asked(), rate=RATE) == own.classify(asked(), rate=RATE)


def test_clips_without_timbre_in_the_background_leave_the_classes_theirs(tmp_path: Path) -> None:
    own = make_recognizer(head="both")
    own.enroll_background(hum(0), rate=RATE)
    parts = own.parts()
    silent = tuple(replace(clip, timbre=None) for clip in parts.sounds.background)
    save_bundle(tmp_path, parts._replace(sounds=replace(parts.sounds, background=silent)))
    loaded = Recognizer.load(tmp_path)
    assert loaded.head == "both"
    with pytest.raises(DataError, match="background: clip 'clip 1' has no timbre: remove it"):
        loaded.classify(asked(), rate=RATE)
    loaded.remove_background()
    own.remove_background()
    assert loaded.classify(asked(), rate=RATE) == own.classify(asked(), rate=RATE)


def test_a_reader_never_sees_classes_with_the_decision_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a bundle is read again, another thread that answers would choose a decision anew."""
    make_recognizer(head="both").save(tmp_path)
    own, other = Recognizer.load(tmp_path), Recognizer.load(tmp_path)
    other.enroll(CLASSES[0], [sound(0, 70)], rate=RATE)
    other.save(tmp_path)
    seen: list[tuple[int, bool]] = []
    updates: list[DecisionState] = []
    update = DecisionMaker.update

    def counting(maker: DecisionMaker, state: DecisionState, *values: Any) -> DecisionState:
        updates.append(state)
        return update(maker, state, *values)

    monkeypatch.setattr(DecisionMaker, "update", counting)

    def reading(*values: Any) -> EnrolledSounds:
        seen.append((len(own.snapshot().classes[CLASSES[0]].clips), own.snapshot().decision is not None))
        return with_only_encoders(*values)

    monkeypatch.setattr(recognizer_module, "with_only_encoders", reading)
    before = len(own.clips(CLASSES[0]))
    own.refresh(tmp_path)
    assert seen == [(before, True)]
    assert len(own.clips(CLASSES[0])) == before + 1
    assert own.classify(asked(), rate=RATE) == other.classify(asked(), rate=RATE)
    assert not updates  # the decision that each state was saved with is the one that counts


def test_recordings_that_cannot_be_background_are_named(tmp_path: Path) -> None:
    recognizer = make_recognizer()
    soundfile.write(tmp_path / "silent.wav", np.zeros(5 * SAMPLES), RATE)
    with pytest.raises(DataError, match=r"silent\.wav: silent"):
        recognizer.enroll_background(tmp_path / "silent.wav")
    with pytest.raises(DataError, match="clip 2: too short"):
        recognizer.enroll_background([hum(0), hum(0, 100)], rate=RATE)
    with pytest.raises(DataError, match="no clips"):
        recognizer.enroll_background([])
    assert recognizer.background == []


def test_a_scan_has_no_events_where_the_background_is(tmp_path: Path) -> None:
    recognizer = make_recognizer(head="prototypes")
    soundfile.write(tmp_path / "mixed.wav", np.concatenate([sound(0, 60), hum(60), hum(61), sound(0, 61)]), RATE)
    assert answer_file(recognizer, tmp_path / "mixed.wav", ScanOptions(hop=0.5)).unknown < 2
    recognizer.enroll_background([hum(seed) for seed in range(8)], rate=RATE)
    result = answer_file(recognizer, tmp_path / "mixed.wav", ScanOptions(hop=0.5))
    assert (result.windows, result.unknown) == (4, 2)
    assert [(event.start, event.end, event.label) for event in result.events] == [(0, 0.5, "chirp"), (1.5, 2, "chirp")]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("calibrated", [True, False])
def test_an_onnx_graph_judges_as_the_recognizer_does(head: Head, calibrated: bool, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from fewshot_audio.recognition.onnx import export_onnx

    recognizer = make_recognizer(head=head) if calibrated else make_recognizer(head=head, calibration=None)
    recognizer.enroll_background([hum(seed) for seed in range(4)], rate=RATE)
    recognizer.ignore("Käuzchen")
    export_onnx(recognizer, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    probabilities, scores = session.run(None, {"waveform": np.stack(asked())})
    answers = recognizer.classify(asked(), rate=RATE)
    assert np.allclose(probabilities, recognizer.predict_proba(asked(), rate=RATE), atol=1e-3)
    assert np.allclose(scores, [answer.unknown_score for answer in answers], rtol=1e-2)
    metadata = session.get_modelmeta().custom_metadata_map
    labels = [UNKNOWN if score > float(metadata["unknown_threshold"]) else "known" for score in scores]
    assert labels == [UNKNOWN if answer.label == UNKNOWN else "known" for answer in answers]


def test_the_command_enrolls_and_ignores(shell: Shell, tmp_path: Path) -> None:
    make_recognizer().save(tmp_path / "bundle")
    (tmp_path / "place").mkdir()
    for seed in range(2):
        soundfile.write(tmp_path / f"place/{seed}.wav", hum(seed, 2 * SAMPLES), RATE)
    bundle = str(tmp_path / "bundle")
    result = shell("enroll", bundle, "--background", str(tmp_path / "place"), "--ignore", "chirp")
    assert result.code == 0, result.err
    assert "Background: 2 recordings, 4 segments" in result.out
    assert "Never an answer: chirp" in result.out
    loaded = Recognizer.load(tmp_path / "bundle")
    assert ([clip.name for clip in loaded.background], loaded.ignored) == (["0.wav", "1.wav"], ["chirp"])
    result = shell("enroll", bundle, "--clear-background", "--answer", "chirp")
    assert result.code == 0, result.err
    loaded = Recognizer.load(tmp_path / "bundle")
    assert (loaded.background, loaded.ignored) == ([], [])
    for option in ("--ignore", "--answer"):
        result = shell("enroll", bundle, "--background", str(tmp_path / "none.wav"), option, "thunder")
        assert result.code != 0
        assert "class 'thunder' is not enrolled" in result.err
        assert "none.wav" not in result.err  # nothing was begun
    ignore_all = [word for name in CLASSES for word in ("--ignore", name)]
    result = shell("enroll", bundle, *ignore_all)
    assert result.code != 0
    assert "every enrolled class is ignored" in result.err
    assert Recognizer.load(tmp_path / "bundle").ignored == []
