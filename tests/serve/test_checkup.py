"""The check-up: findings in few sentences, and the one thing to do next."""

from dataclasses import replace

import pytest

from fewshot_audio.recognition.diagnosis import ClipDiagnosis, Collision, Diagnosis
from fewshot_audio.serve.checkup import checkup


def clip(class_name: str, number: int) -> ClipDiagnosis:
    return ClipDiagnosis(class_name, f"{number}.wav", 1, class_name, 0.5, 0.0, outlier=False, duplicate_of=None)


def diagnosis(*clips: ClipDiagnosis, accuracy: float = 0.8, collisions: tuple[Collision, ...] = ()) -> Diagnosis:
    return Diagnosis(accuracy, dict.fromkeys((own.class_name for own in clips), 1.0), clips, collisions)


OWLS = [clip("owl", number) for number in range(5)]
WRENS = [clip("wren", number) for number in range(5)]


@pytest.mark.parametrize(
    ("clips", "step"),
    [
        (OWLS, "Teach a second sound, or a background, that “owl” can be told from."),
        ([*OWLS, *WRENS[:1]], "Add a second clip of “wren”: one does not show how well it is recognized."),
        ([*OWLS, *WRENS[:3]], "Add clips of “wren”: it has 3, and 5 are a good number."),
        ([*OWLS, *WRENS], "Nothing: ask about sounds that it has not heard."),
        (
            [*OWLS, replace(WRENS[0], silence=0.9), *WRENS[1:]],
            "Cut “0.wav” of “wren” closer to the sound: most of it is silence.",
        ),
        (
            [replace(OWLS[0], outlier=True), *OWLS[1:], replace(WRENS[0], silence=0.9), *WRENS[1:]],
            "Listen to “0.wav” of “owl”: does it belong there? If not, move or remove it.",
        ),
        (
            [replace(OWLS[0], outlier=True), replace(OWLS[1], duplicate_of="owl/0.wav"), *WRENS],
            "Remove “1.wav” of “owl”: it is there twice.",
        ),
    ],
)
def test_one_thing_is_to_be_done_next(clips: list[ClipDiagnosis], step: str) -> None:
    assert checkup(diagnosis(*clips)).next == step


def test_a_class_alone_is_not_praised() -> None:
    assert [finding.kind for finding in checkup(diagnosis(*OWLS)).findings] == []
    assert [finding.kind for finding in checkup(diagnosis(*OWLS, *WRENS)).findings] == ["good"]


def test_silence_does_not_matter_if_the_clips_are_recognized() -> None:
    clips = [*OWLS, replace(WRENS[0], silence=0.9), *WRENS[1:]]
    assert str(checkup(diagnosis(*clips, accuracy=0.9)).next).startswith("Nothing: ")


def test_classes_that_are_confused_come_before_silence() -> None:
    pairs = (Collision("owl", "wren", 2, 10), Collision("owl", "jay", 6, 10))
    found = checkup(diagnosis(*OWLS, replace(WRENS[0], silence=0.9), *WRENS[1:], collisions=pairs))
    assert found.next == "Add clearer clips of “owl” and “jay”; if they are one sound, give them one name."
    assert [finding.kind for finding in found.findings] == ["good", "collision", "collision", "silence"]


def test_findings_of_one_kind_are_one_sentence() -> None:
    unlike = [replace(own, outlier=True, silence=0.8) for own in OWLS]
    twice = replace(WRENS[1], duplicate_of="wren/0.wav")
    messages = {finding.kind: finding.message for finding in checkup(diagnosis(*unlike, WRENS[0], twice)).findings}
    expected = "“0.wav” of “owl”, “1.wav” of “owl”, “2.wav” of “owl” and 2 more are unlike the others."
    assert messages["outlier"] == expected
    assert messages["silence"] == "Mostly silence: 5 clips of “owl”."
    assert messages["duplicate"] == "The same recording as another clip: “1.wav” of “wren”."


def test_names_cannot_break_out_of_their_line() -> None:
    name = "a\x1b[2J\nb"
    found = checkup(diagnosis(*[clip(name, number) for number in range(2)], *WRENS))
    assert "\x1b" not in str(found.next)
    assert "\n" not in str(found.next)
