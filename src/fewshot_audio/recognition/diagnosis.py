"""What the enrolled clips say about themselves: can the classes be told apart, and which clips are suspect."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.enrolled import Classification, Enrolled, EnrolledClass
from fewshot_audio.recognition.scoring import unknown_scores

Judge: TypeAlias = Callable[[Enrolled, Tensor, int], Classification]

MOSTLY = 0.5  # share of silence from which a clip is "mostly silent"
COLLISION = 0.2  # share of the clips of two classes that are taken for the other one
OUTLIER = 2.0  # reaches from the others of its class, where no calibration says how far clips may lie


@dataclass(frozen=True)
class ClipDiagnosis:
    """One enrolled clip, judged with itself left out of its class.

    ``answer`` is the class that the vote then gives and ``distance`` how far it lies from the class's other clips, in
    units of their reach; both None for the only clip of a class. ``silence`` is the share of it that is silent.
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
        return self.silence > MOSTLY


@dataclass(frozen=True)
class Collision:
    """Two classes of which ``confused`` of ``clips`` left-out clips are taken for the other one."""

    first: str
    second: str
    confused: int
    clips: int


@dataclass(frozen=True)
class Diagnosis:
    """Leave-one-out findings over all enrolled clips; ``accuracy`` is None where no class has two clips."""

    accuracy: float | None
    class_accuracy: dict[str, float | None]
    clips: tuple[ClipDiagnosis, ...]
    collisions: tuple[Collision, ...]

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
        """Clips whose embedding is that of an earlier clip, to the last bit."""
        return tuple(clip for clip in self.clips if clip.duplicate_of is not None)


def diagnose(enrolled: Enrolled, calibration: Calibration | None, judge: Judge) -> Diagnosis:
    """Judge every enrolled clip by the classes as they are without it."""
    prior, threshold = (calibration.scatter, calibration.threshold) if calibration else (None, OUTLIER)
    first_seen: dict[bytes, str] = {}
    found = []
    for number, (name, known) in enumerate(enrolled.classes.items()):
        for index, clip in enumerate(known.clips):
            answer = distance = None
            if len(known.clips) > 1:
                others = torch.cat([known.embeddings[:index], known.embeddings[index + 1 :]])
                without = {**enrolled.classes, name: EnrolledClass.of(known.clips[:index] + known.clips[index + 1 :])}
                left = Enrolled.of(without, prior)
                answer = judge(left, clip.rows, clip.segments).best
                own = unknown_scores(
                    known.embeddings[index, None], others.mean(0, keepdim=True), left.reaches[[number]]
                )
                distance = float(own[0])
            found.append(
                ClipDiagnosis(
                    class_name=name,
                    clip=clip.name,
                    segments=clip.segments,
                    answer=answer,
                    distance=distance,
                    silence=clip.silence,
                    outlier=distance is not None and distance > threshold,
                    duplicate_of=first_seen.get(clip.rows.numpy().tobytes()),
                )
            )
            first_seen.setdefault(clip.rows.numpy().tobytes(), f"{name}/{clip.name}")
    return _summary(list(enrolled.classes), found)


def _summary(names: list[str], clips: list[ClipDiagnosis]) -> Diagnosis:
    judged = [clip for clip in clips if clip.answer is not None]
    per_class: dict[str, float | None] = {}
    for name in names:
        right = [clip.answer == name for clip in judged if clip.class_name == name]
        per_class[name] = sum(right) / len(right) if right else None
    collisions = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = [clip for clip in judged if clip.class_name in (first, second)]
            confused = sum({clip.class_name, clip.answer} == {first, second} for clip in pair)
            if confused and confused >= COLLISION * len(pair):
                collisions.append(Collision(first, second, confused, len(pair)))
    accuracy = sum(clip.answer == clip.class_name for clip in judged) / len(judged) if judged else None
    return Diagnosis(accuracy, per_class, tuple(clips), tuple(collisions))
