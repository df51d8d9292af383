"""A recognizer's head: chosen by the enrolled clips, refitted with them, kept in the bundle, said by ``enroll``."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.cli.enroll import HeadOption
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.advice import advice, decided_by
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.decision.choose import HEADS, Head, HeadChoice
from fewshot_audio.recognition.diagnosis import ClipDiagnosis, Collision, Diagnosis
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.windows import scan_recording
from fewshot_audio.serve.checkup import checkup
from tests.recognition.recognizers import CLASSES, SAMPLES, recognizer, sound
from tests.recognition.sounds import write_wav
from tests.recognition.test_bundle import JSON, SUPPORT, edit, edit_tensors
from tests.shell import Shell, shell

__all__ = ["shell"]
FITTED: list[Head] = ["both", "embedding", "timbre"]
ASKED = [sound(kind, 50 + kind, length) for kind in range(3) for length in (SAMPLES // 4, SAMPLES, 5 * SAMPLES // 2)]


@pytest.mark.parametrize("head", FITTED)
def test_new_clips_get_their_class_and_the_most_probable_one_is_the_label(head: Head) -> None:
    own = recognizer(head=head)
    assert own.head == head
    answers = own.classify(ASKED, rate=16_000)
    for answer in answers:
        assert answer.best == max(answer.probabilities, key=lambda name: answer.probabilities[name])
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert own.unknown_threshold is not None
        assert answer.label == (UNKNOWN if answer.unknown_score > own.unknown_threshold else answer.best)
    if head != "embedding":  # whose network is random; the third of each kind is longer than any enrolled sound
        known = [(answer.best, CLASSES[number // 3]) for number, answer in enumerate(answers) if number % 3 < 2]
        assert [best for best, _ in known] == [name for _, name in known]


def test_probabilities_of_a_long_clip_are_the_mean_over_its_segments() -> None:
    own = recognizer(head="both")
    clip = LoadedClip.of(ASKED[-1], own.preprocessing)
    features, timbre = own.embedder.features(clip.segments), clip.timbre(own.preprocessing)
    enrolled = own.snapshot()
    answers = [
        own.judge(enrolled, next(own.embedder.clip_rows([features[part]])), 1, timbre[part])
        for part in (slice(number, number + 1) for number in range(len(clip.segments)))
    ]
    mean = np.mean([list(answer.probabilities.values()) for answer in answers], axis=0)
    assert len(answers) == 3
    assert own.predict_proba([clip], rate=16_000)[0] == pytest.approx(mean)


@pytest.mark.parametrize("head", ["prototypes", "embedding"])
def test_heads_that_do_not_count_timbre_do_not_compute_it(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    own = recognizer(head=head)
    answers = own.classify(ASKED, rate=16_000)
    monkeypatch.setattr(LoadedClip, "timbre", None)
    assert own.classify(ASKED, rate=16_000) == answers


def test_a_window_of_a_scan_is_answered_as_a_file_of_its_samples(tmp_path: Path) -> None:
    own = recognizer(head="both")
    path = write_wav(tmp_path / "long.wav", np.concatenate([ASKED[1], ASKED[4], ASKED[6]]))
    windows = list(scan_recording(own, Decoding(path, own.sample_rate), own.segment_seconds))
    assert len(windows) == 3
    samples = np.concatenate(list(Decoding(path, own.sample_rate)))
    assert [window.answer for window in windows] == own.classify(
        [samples[w.start : w.end] for w in windows], rate=16_000
    )


def test_the_choice_is_made_from_the_clips_and_measured_for_each_head() -> None:
    own = recognizer(head=None)
    choice = own.diagnose().choice
    assert choice is not None
    assert own.head == choice.head
    assert choice.clips == 3 + 4 + 5
    assert own.fixed_head is None
    assert own.choose_head("timbre") == HeadChoice("timbre", choice.accuracies, choice.plain, choice.clips)
    assert (own.head, own.fixed_head) == ("timbre", "timbre")


def test_one_clip_of_a_class_leaves_prototypes_until_there_are_two() -> None:
    own = recognizer(head="both")
    own.enroll("new", [sound(1, 90)], rate=16_000)
    assert own.head == "prototypes"
    assert own.calibration is not None
    assert own.unknown_threshold == own.calibration.threshold
    own.enroll("new", [sound(1, 91)], rate=16_000)
    assert own.head == "both"
    assert list(own.classify([ASKED[0]], rate=16_000)[0].probabilities) == [*CLASSES, "new"]


def test_other_clips_of_the_same_number_are_chosen_and_calibrated_on_anew() -> None:
    own = recognizer(head=None)
    first = own.diagnose().choice
    for kind, name in enumerate(CLASSES):
        own.enroll(name, [sound(kind, 200 + seed) for seed in range(3 + kind)], replace=True, rate=16_000)
    fresh = recognizer(head=None, enrolled=False)
    for kind, name in enumerate(CLASSES):
        fresh.enroll(name, [sound(kind, 200 + seed) for seed in range(3 + kind)], rate=16_000)
    assert own.diagnose().choice is not first
    assert own.unknown_threshold == fresh.unknown_threshold
    assert own.classify(ASKED, rate=16_000) == fresh.classify(ASKED, rate=16_000)


def test_another_name_for_a_class_changes_nothing_else() -> None:
    own = recognizer(head=None)
    choice, before = own.diagnose().choice, own.predict_proba(ASKED, rate=16_000)
    own.rename(CLASSES[1], "owl")
    assert own.diagnose().choice is choice
    assert (own.predict_proba(ASKED, rate=16_000) == before).all()


def test_copies_of_one_clip_of_each_class_are_one_clip() -> None:
    """They do not show how much clips of a class vary, without which no sound is far from all classes."""
    own = recognizer(head=None, enrolled=False)
    for kind, name in enumerate(CLASSES):
        own.enroll(name, [sound(kind, 1), sound(kind, 1)], rate=16_000)
    assert own.head == "prototypes"
    own.enroll(CLASSES[0], [sound(0, 2)], rate=16_000)
    assert own.head != "prototypes"
    assert own.classify([np.sign(ASKED[4]).astype(np.float32)], rate=16_000)[0].unknown_score > 0


def test_without_a_calibration_on_other_classes_unknown_sounds_are_told_all_the_same() -> None:
    assert recognizer(calibration=None).unknown_threshold is None
    own = recognizer(calibration=None, head="both")
    assert own.unknown_threshold is not None
    assert own.classify([np.sign(ASKED[4]).astype(np.float32)], rate=16_000)[0].label == UNKNOWN


def test_a_diagnosis_judges_each_clip_without_it() -> None:
    own = recognizer(head="both")
    own.enroll(CLASSES[0], [sound(2, 70)], rate=16_000)  # rain among the chirps
    diagnosis = own.diagnose()
    stray = next(clip for clip in diagnosis.clips if (clip.class_name, clip.clip) == (CLASSES[0], "clip 1 (2)"))
    assert stray.answer == CLASSES[2]
    assert stray.outlier
    assert diagnosis.accuracy == pytest.approx(12 / 13)


# Bundles


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    recognizer(head=None).save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("head", [*HEADS, None])
def test_a_bundle_keeps_the_decision(head: Head | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = recognizer(head=head)
    own.save(tmp_path / "bundle")
    again = Recognizer.load(tmp_path / "bundle")
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)  # answers need no fit
    assert again.classify(ASKED, rate=16_000) == own.classify(ASKED, rate=16_000)
    assert (again.head, again.fixed_head) == (own.head, head)
    if head == "prototypes":  # of the others a diagnosis fits some
        assert again.diagnose().choice == own.diagnose().choice


def test_a_bundle_read_back_is_refitted_when_a_clip_is_added(saved: Path) -> None:
    own, again = recognizer(head=None), Recognizer.load(saved)
    own.predict(ASKED, rate=16_000)
    for each in (own, again):
        each.enroll(CLASSES[1], [sound(1, 77)], rate=16_000)
    assert again.classify(ASKED, rate=16_000) == own.classify(ASKED, rate=16_000)


def test_a_bundle_of_clips_without_timbre_answers_by_prototypes_and_has_no_new_section(tmp_path: Path) -> None:
    recognizer(head="both").save(tmp_path / "bundle")

    def as_before(values: Any) -> None:
        del values["features"], values["decision"]

    def without(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(".timbre") or name.startswith("decision.")]:
            del tensors[name]

    edit(tmp_path / "bundle", as_before)
    edit_tensors(tmp_path / "bundle", SUPPORT, without)
    old = Recognizer.load(tmp_path / "bundle")
    assert old.classify(ASKED, rate=16_000) == recognizer(head="prototypes").classify(ASKED, rate=16_000)
    old.enroll(CLASSES[0], [sound(0, 60)], rate=16_000)
    assert old.head == "prototypes"
    old.save(tmp_path / "bundle")
    assert not {"features", "decision"} & json.loads((tmp_path / "bundle" / JSON).read_text()).keys()
    assert Recognizer.load(tmp_path / "bundle").classes == list(CLASSES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("decision.bias"), "holds"),
        (lambda t: t.update({"decision.other": torch.ones(1)}), "holds"),
        (lambda t: t.update({"decision.bias": t["decision.bias"].float()}), r"decision.bias: float32 \(3,\)"),
        (lambda t: t.update({"decision.weights": t["decision.weights"][:2].clone()}), "decision.weights: float64"),
        (lambda t: t["decision.expected"].fill_(0.0), "above 0"),
        (lambda t: t["decision.expected"].fill_(1e-320), "above 0"),
        (lambda t: t["decision.means"].fill_(float("nan")), "not finite"),
        (lambda t: t["decision.timbre_scale"].fill_(1e200), "as no fit gives them"),
        (lambda t: t.update({"1.timbre": t["1.timbre"][1:].clone()}), "expected float32"),
        (lambda t: t.update({"1.timbre": t["1.timbre"] * 1e30}), "numbers above"),
    ],
)
def test_decisions_that_were_tampered_with_are_refused(saved: Path, change: Callable[[Any], None], words: str) -> None:
    edit_tensors(saved, SUPPORT, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v["decision"].update(extra=1), "decision.extra"),
        (lambda v: v["decision"].update(fixed="best"), "decision.fixed"),
        (lambda v: v["decision"]["fitted"].update(head="prototypes"), "decision.fitted.head"),
        (lambda v: v["decision"]["fitted"]["calibration"].update(temperature=0.0), "temperature"),
        (lambda v: v["decision"]["fitted"]["calibration"].update(temperature=1e-300), "temperature"),
        (lambda v: v["decision"]["choice"]["accuracies"].pop("timbre"), "accuracies: has none of timbre"),
        (lambda v: v.update(features={"timbre": 2}), "features.timbre"),
    ],
)
def test_descriptions_of_decisions_that_were_tampered_with_are_refused(
    saved: Path, change: Callable[[Any], None], words: str
) -> None:
    edit(saved, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(saved)


def of_classes(count: int, clips: int | None = None) -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    """Edits that leave so many classes, of so many clips, with tensors of the right shapes."""

    def describe(values: Any) -> None:
        values["classes"] = values["classes"][:count]
        for own in values["classes"]:
            own["clips"] = own["clips"][:clips]

    def cut(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            number, _, part = name.partition(".")
            if part in ("weights", "bias", "means", "expected"):
                tensors[name] = tensors[name][:count].clone()
            elif number != "decision" and int(number) >= count:
                del tensors[name]
            elif clips and part != "prototype" and number != "decision":
                tensors[name] = tensors[name][:clips].clone()
        for number in range(count if clips else 0):
            tensors[f"{number}.prototype"] = tensors[f"{number}.rows"].mean(0)

    return describe, cut


def without_timbre() -> tuple[Callable[[Any], None], Callable[[Any], None]]:
    def cut(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(".timbre")]:
            del tensors[name]

    return lambda values: values.pop("features"), cut


@pytest.mark.parametrize(
    "edits",
    [of_classes(0), of_classes(1), of_classes(3, clips=1), without_timbre()],
    ids=["no class", "one class", "one clip each", "no timbre"],
)
def test_decisions_on_clips_that_allow_none_are_refused(
    edits: tuple[Callable[[Any], None], Callable[[Any], None]], tmp_path: Path
) -> None:
    recognizer(head="both").save(tmp_path / "bundle")
    describe, cut = edits
    edit(tmp_path / "bundle", describe)
    edit_tensors(tmp_path / "bundle", SUPPORT, cut)
    with pytest.raises(DataError, match="a decision is fitted on the timbre"):
        Recognizer.load(tmp_path / "bundle")


# What is said


def diagnosis(
    accuracy: float | None, clips: int, choice: HeadChoice | None = None, head: Head = "both", **more: Any
) -> Diagnosis:
    """Of classes "a" and "b", of which the first clips are right."""
    right = round((accuracy or 0) * 2 * clips)
    judged = [
        ClipDiagnosis(name, f"{number}", 1, None if accuracy is None else answer, 1.0, 0.0, False, None)
        for number, name in enumerate(["a"] * clips + ["b"] * clips)
        for answer in [name if number < right else "c"]
    ]
    return Diagnosis(accuracy, {"a": accuracy, "b": accuracy}, tuple(judged), (), choice, head, **more)


def test_advice_names_the_choice_the_verdict_and_what_to_do() -> None:
    choice = HeadChoice("timbre", {"both": 0.5, "embedding": 0.1, "timbre": 0.8, "prototypes": 0.2}, 0.7, 10)
    (decided, verdict) = advice(diagnosis(0.9, 5, choice, "timbre"))
    assert decided == (
        "Decided by the timbre (head timbre). Right when left out: both 50 %, embedding 10 %, timbre 80 %, "
        "prototypes 20 %; for comparison, plain MFCC statistics with logistic regression 70 %."
    )
    assert verdict == "9 of 10 clips recognized when left out: the classes are told apart well."
    assert list(advice(diagnosis(1.0, 2)))[1] == (
        "4 of 4 clips recognized when left out: too few clips to tell how many others will be: from 51 to 100 %."
    )
    assert list(advice(diagnosis(0.7, 5)))[1].endswith("7 of 10 clips recognized when left out: usable, with mistakes.")
    assert list(advice(diagnosis(0.5, 3)))[1:] == [
        "3 of 6 clips recognized when left out: too few to rely on.",
        "Add clips: 2 classes with fewer than 5, such as a.",
    ]
    assert "fewshot-audio train" in list(advice(diagnosis(0.5, 5)))[-1]
    assert list(advice(diagnosis(None, 1, head="prototypes"))) == [
        "Decided by the nearest prototype of the network's embeddings.",
        "One clip of a class does not show how well it is recognized: add more, up to five of each.",
    ]


def test_figures_of_other_clips_than_the_enrolled_ones_are_told_as_such() -> None:
    choice = HeadChoice("timbre", dict.fromkeys(HEADS, 0.5), 0.7, 10)
    told = decided_by(diagnosis(0.9, 6, choice, "timbre"))
    assert "(head timbre). Right when left out, of the 10 clips when it was chosen: both 50 %" in told


def test_a_class_of_one_clip_is_said_to_be_why_prototypes_decide() -> None:
    own = recognizer(head=None)
    assert own.predict(ASKED, rate=16_000)
    own.enroll("new", [sound(1, 90)], rate=16_000)
    expected = (
        "Decided by the nearest prototype of the network's embeddings, until this class has two clips or more: new."
    )
    assert next(advice(own.diagnose())) == expected
    assert [finding.message for finding in checkup(own.diagnose()).findings if finding.kind == "head"] == [expected]
    many = diagnosis(0.9, 5, head="prototypes")
    several = replace(many, class_accuracy={"a": 0.9} | dict.fromkeys("bcdef"))
    assert decided_by(several).endswith("until these classes have two clips or more: b, c, d and 2 more.")


def test_advice_names_the_classes_that_collide_most() -> None:
    own = diagnosis(0.5, 5)
    pairs = (Collision("a", "c", 2, 10), Collision("a", "b", 5, 10))
    collided = Diagnosis(own.accuracy, own.class_accuracy, own.clips, pairs)
    assert any(line.startswith("Listen to a and b:") for line in advice(collided))


def test_the_command_offers_every_head() -> None:
    assert get_args(HeadOption) == ("auto", *HEADS)


def test_enroll_tells_the_choice_and_takes_a_head(
    run_of: Callable[[str], Path], data_root: Path, shell: Shell, tmp_path: Path
) -> None:
    for kind in range(3):
        for seed in range(3):
            write_wav(tmp_path / "support" / f"class {kind}" / f"{seed}.wav", sound(kind, seed))
    line = ["enroll", "--model", run_of("plain"), "--data-root", data_root, "--support", tmp_path / "support"]
    outcome = shell(*line, "-o", tmp_path / "auto")
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    assert "Right when left out: both " in text
    assert "of 9 clips recognized when left out" in text
    assert "Calibrated on these clips" in text
    assert shell(*line, "-o", tmp_path / "fixed", "--head", "timbre").code == 0
    assert Recognizer.load(tmp_path / "fixed").head == "timbre"
    # a head stays until another is asked for, also over a class of one clip
    new = write_wav(tmp_path / "new.wav", sound(1, 40))
    outcome = shell("enroll", tmp_path / "fixed", new, "--add", "new")
    assert outcome.code == 0, outcome.err
    assert (Recognizer.load(tmp_path / "fixed").head, Recognizer.load(tmp_path / "fixed").fixed_head) == (
        "prototypes",
        "timbre",
    )
    outcome = shell("enroll", tmp_path / "fixed", new, "--add", "other", "--head", "both")
    assert "--head both: prototypes decide until" in " ".join(outcome.err.split())
    outcome = shell("enroll", tmp_path / "fixed", "--remove", "new", "--remove", "other", "--head", "auto")
    assert outcome.code == 0, outcome.err
    assert Recognizer.load(tmp_path / "fixed").fixed_head is None


def test_a_head_that_is_asked_for_is_kept_if_another_program_writes_meanwhile(
    saved: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEWSHOT_AUDIO_BACKEND", "torch")
    save, other = Recognizer.save, Recognizer.load(saved)
    other.rename(CLASSES[1], "owl")

    def after_another(self: Recognizer, folder: Path, **options: Any) -> None:
        if other.classes[1] not in self.classes:
            save(other, saved)
        save(self, folder, **options)

    monkeypatch.setattr(Recognizer, "save", after_another)
    new = write_wav(tmp_path / "new.wav", sound(0, 40))
    outcome = shell("enroll", saved, new, "--add", CLASSES[0], "--head", "timbre")
    assert outcome.code == 0, outcome.err
    again = Recognizer.load(saved)
    assert "owl" in again.classes
    assert (again.head, again.fixed_head) == ("timbre", "timbre")
