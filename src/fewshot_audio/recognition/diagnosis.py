"""Whether the enrolled classes can be told apart by their clips, and which clips are suspect."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.choose import Head, HeadChoice
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.decision.left_out import LeftOut
from fewshot_audio.recognition.enrolled import Classification, Enrolled, EnrolledClass, EnrolledSounds
from fewshot_audio.recognition.features import decision_examples
from fewshot_audio.recognition.scoring import Rows, unknown_scores

Judge: TypeAlias = Callable[[Enrolled, Rows, int], Classification]
Verdict: TypeAlias = tuple[str | None, float | None]  # the answer for a clip, and its distance from its class

MOSTLY_SILENT = 0.5  # share of silence above which a clip is "mostly silent"
COLLISION = 0.2  # share of the clips of two classes that are confused, from which the classes collide
SAME = 1e-4  # of the largest number of an embedding: back ends differ by less for the same clip
OUTLIER = 2.0  # distance, in expected distances, above which a clip is an outlier if there is no calibration


@dataclass(frozen=True)
class ClipDiagnosis:
    """One enrolled clip, classified with itself left out of its class.

    Args:
        class_name: its class.
        clip: its name.
        segments: how many segments it has.
        answer: the class that is then most probable; None for the only clip of a class.
        distance: from the class's other clips, in units of their expected distance; None for the only clip of a class.
        silence: the share of it that is silent.
        outlier: whether it is too far from the class's other clips.
        duplicate_of: "class/clip" of the first clip, if it is an earlier one, with the same embedding.
    """

    class_name: str
    clip: str
    segments: int
    answer: str | None
    distance: float | None
    silence: float
    outlier: bool
    duplicate_of: str | None

    @property
    def mostly_silent(self) -> bool:
        """Whether more than half of the clip is silent."""
        return self.silence > MOSTLY_SILENT


@dataclass(frozen=True)
class Collision:
    """Two classes that are hard to tell apart: ``confused`` of their ``clips`` are taken for the other class."""

    first: str
    second: str
    confused: int
    clips: int


@dataclass(frozen=True)
class Diagnosis:
    """All enrolled clips, each left out in turn.

    Args:
        accuracy: share that is recognized then; None if no class has two clips.
        class_accuracy: the same for each class.
        clips: the clips.
        collisions: classes that are hard to tell apart.
        choice: how the head was chosen; None if there was no choice.
        head: what decides; by classes of one clip it is not the chosen one but "prototypes".
    """

    accuracy: float | None
    class_accuracy: dict[str, float | None]
    clips: tuple[ClipDiagnosis, ...]
    collisions: tuple[Collision, ...]
    choice: HeadChoice | None = None
    head: Head = "prototypes"

    @property
    def outliers(self) -> tuple[ClipDiagnosis, ...]:
        """Clips far from the others of their class."""
        return tuple(clip for clip in self.clips if clip.outlier)

    @property
    def silent(self) -> tuple[ClipDiagnosis, ...]:
        """Clips that are mostly silence."""
        return tuple(clip for clip in self.clips if clip.mostly_silent)

    @property
    def duplicates(self) -> tuple[ClipDiagnosis, ...]:
        """Clips whose embedding is that of an earlier clip."""
        return tuple(clip for clip in self.clips if clip.duplicate_of is not None)


def diagnose(
    enrolled: Enrolled, calibration: Calibration | None, judge: Judge, choice: HeadChoice | None = None
) -> Diagnosis:
    """Classify every enrolled clip by clips without it, as if no class were ignored and there were no background.

    A fitted decision is fitted anew for each of a few parts of the clips, on the rest; prototypes are without one clip,
    and without others that were cut out of the same recording, if there are any of another one.

    Args:
        enrolled: the classes.
        calibration: of the recognizer, if prototypes decide.
        judge: ``Recognizer.judge``.
        choice: how the decision was chosen, to be told with the findings.
    """
    if enrolled.decision:
        verdicts, threshold = _by_decision(enrolled, enrolled.decision), enrolled.decision.calibration.threshold
    else:
        verdicts = _by_prototypes(enrolled, calibration.scatter if calibration else None, judge)
        threshold = calibration.threshold if calibration else OUTLIER
    embeddings = np.concatenate([enrolled_class.embeddings for enrolled_class in enrolled.classes.values()])
    labels = [f"{name}/{clip.name}" for name, own in enrolled.classes.items() for clip in own.clips]
    clips: list[ClipDiagnosis] = []
    for name, enrolled_class in enrolled.classes.items():
        for clip in enrolled_class.clips:
            answer, distance = next(verdicts)
            first = first_equal(embeddings, len(clips))
            clips.append(
                ClipDiagnosis(
                    class_name=name,
                    clip=clip.name,
                    segments=clip.segments,
                    answer=answer,
                    distance=distance,
                    silence=clip.silence,
                    outlier=distance is not None and distance > threshold,
                    duplicate_of=None if first is None else labels[first],
                )
            )
    head = enrolled.decision.head if enrolled.decision else "prototypes"
    return replace(_summary(list(enrolled.classes), clips), choice=choice, head=head)


def first_equal(embeddings: Rows, number: int) -> int | None:
    """The first embedding that equals that of a clip, as far as back ends agree; None if none before it does.

    Shape: (clips, width), ``number`` of the clip.
    """
    differences = np.abs(embeddings[:number] - embeddings[number]).max(axis=1, initial=0.0)
    equal = np.flatnonzero(differences <= SAME * np.abs(embeddings[number]).max())
    return int(equal[0]) if len(equal) else None


def _by_prototypes(enrolled: Enrolled, scatter: float | None, judge: Judge) -> Iterator[Verdict]:
    for number, (name, enrolled_class) in enumerate(enrolled.classes.items()):
        for index, clip in enumerate(enrolled_class.clips):
            if len(enrolled_class.clips) == 1:
                yield None, None
                continue
            others = enrolled_class.clips[:index] + enrolled_class.clips[index + 1 :]
            other_groups = tuple(other for other in others if not clip.group or other.group != clip.group)
            rest = EnrolledClass.of(other_groups or others)
            without = Enrolled.of(EnrolledSounds({**enrolled.classes, name: rest}), scatter)
            embedding = enrolled_class.embeddings[index, None]
            expected = without.expected_distances[[number]]
            distance = float(unknown_scores(embedding, rest.prototype[None], expected)[0])
            yield judge(without, clip.rows, clip.segments).best, distance


def _by_decision(enrolled: Enrolled, decision: Decision) -> Iterator[Verdict]:
    examples = decision_examples(enrolled.classes.values())
    assert examples is not None
    left_out = LeftOut.of(examples, decision.blocks, [decision.calibration.shares(decision.blocks)])
    names = list(enrolled.classes)
    answers = left_out.answers(decision.calibration.temperature)
    for answer, label, distances in zip(answers, examples.labels, left_out.distances[0], strict=True):
        yield names[answer], float(distances[label])


def _summary(names: list[str], clips: list[ClipDiagnosis]) -> Diagnosis:
    comparable = [clip for clip in clips if clip.answer is not None]
    per_class: dict[str, float | None] = {}
    for name in names:
        correct = [clip.answer == name for clip in comparable if clip.class_name == name]
        per_class[name] = sum(correct) / len(correct) if correct else None
    collisions = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = [clip for clip in comparable if clip.class_name in (first, second)]
            confused = sum({clip.class_name, clip.answer} == {first, second} for clip in pair)
            if confused and confused >= COLLISION * len(pair):
                collisions.append(Collision(first, second, confused, len(pair)))
    accuracy = sum(clip.answer == clip.class_name for clip in comparable) / len(comparable) if comparable else None
    return Diagnosis(accuracy, per_class, tuple(clips), tuple(collisions))
