"""What the enrolled clips say about themselves: can the classes be told apart, and which clips are suspect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fewshot_audio.recognition.enrolled import EnrolledClass
from fewshot_audio.recognition.scoring import judge, reach

if TYPE_CHECKING:
    from fewshot_audio.recognition.recognizer import Recognizer

MOSTLY = 0.5  # share of silence from which a clip is "mostly silent"
COLLISION = 0.2  # share of the clips of two classes that are taken for the other one
OUTLIER = 1.5  # times the distance within which the other clips of the class lie


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


def diagnose(recognizer: "Recognizer", classes: Mapping[str, EnrolledClass]) -> Diagnosis:
    """Judge every enrolled clip by the classes as they are without it."""
    names = list(classes)
    prototypes = torch.stack([known.prototype for known in classes.values()])
    reaches = recognizer.reaches
    prior = recognizer.calibration.scatter if recognizer.calibration else None
    seen: dict[bytes, str] = {}
    found = []
    for number, (name, known) in enumerate(classes.items()):
        answers: list[tuple[str | None, float | None]] = []
        for index, clip in enumerate(known.clips):
            if len(known.clips) == 1:
                answers.append((None, None))
                continue
            others = torch.cat([known.embeddings[:index], known.embeddings[index + 1 :]])
            left, left_reaches = prototypes.clone(), reaches.copy()
            left[number] = others.mean(0)
            own = reach(others, prior)
            left_reaches[number] = own if np.isfinite(own) else reaches[number]
            verdict = judge(
                recognizer.network,
                left,
                left_reaches,
                recognizer.temperature,
                recognizer.embedder.experiment.tie_strategy,
                clip.rows,
            )
            distance = float((known.embeddings[index].double() - left[number].double()).norm()) / left_reaches[number]
            answers.append((names[verdict.best], distance))
        limit = OUTLIER * max(recognizer.unknown_threshold or 1.0, 1.0)
        for index, clip in enumerate(known.clips):
            answer, distance = answers[index]
            key = clip.rows.numpy().tobytes()
            found.append(
                ClipDiagnosis(
                    class_name=name,
                    clip=clip.name,
                    segments=clip.segments,
                    answer=answer,
                    distance=distance,
                    silence=clip.silence,
                    outlier=distance is not None and distance > limit,
                    duplicate_of=seen.get(key),
                )
            )
            seen.setdefault(key, f"{name}/{clip.name}")
    return _summary(names, found)


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
