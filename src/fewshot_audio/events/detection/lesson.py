"""What a label learns from: an excerpt, what is known of it, and how it is heard."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.detection.augment import Copy, mixed_copies
from fewshot_audio.events.detection.frames import Excerpt, Integers
from fewshot_audio.events.detection.hearing import Ear, HeardFrames, faintest_beside
from fewshot_audio.events.detection.network import Hearing


@dataclass(frozen=True)
class Lesson:
    """An excerpt that a label learns from, with what is known of it.

    Args:
        excerpt: frames and noise floor.
        starts: first frames, in the excerpt, of the examples in it.
        lengths: their frames.
        span: frames, in the excerpt, between which all that is no example may be taken for none.
        counterexamples: starts and lengths of windows that are certainly none.
        unsure: starts and lengths of windows that may be events; nothing is learned from what meets them.
    """

    excerpt: Excerpt
    starts: Integers
    lengths: Integers
    span: tuple[int, int]
    counterexamples: tuple[Integers, Integers]
    unsure: tuple[Integers, Integers]

    def is_unsure(self, starts: Integers, ends: Integers) -> NDArray[np.bool_]:
        """Which windows, in frames of the excerpt, meet one that may be an event. Shape: (n,), (n,) -> (n,)."""
        first, length = self.unsure
        total = len(self.excerpt.power)
        steps = np.zeros(total + 1, np.int64)
        np.add.at(steps, np.clip(first, 0, total), 1)
        np.add.at(steps, np.clip(first + length, 0, total), -1)
        covered = np.concatenate([[0], np.cumsum(np.cumsum(steps[:-1]) > 0)])  # unsure frames before each
        meets: NDArray[np.bool_] = covered[np.clip(ends, 0, total)] > covered[np.clip(starts, 0, total)]
        return meets


def open_ear(lessons: Sequence[Lesson], hearing: Hearing) -> Ear:
    """How lessons, and later recordings, are heard by a network."""
    loudest = max(
        float(lesson.excerpt.power[start : start + length].mean(axis=0).max(initial=0.0))
        for lesson in lessons
        for start, length in zip(lesson.starts, lesson.lengths, strict=True)
    )
    return Ear(faintest_beside(loudest), hearing)


@dataclass(frozen=True)
class HeardLesson:
    """A lesson as it is heard, once, however often it is learned from.

    Args:
        lesson: the excerpt, and what is known of it.
        frames: the excerpt.
        copies: of its examples, over other places of it.
    """

    lesson: Lesson
    frames: HeardFrames
    copies: tuple[Copy, ...]


def hear_lessons(lessons: Iterable[Lesson], ear: Ear) -> list[HeardLesson]:
    """Hear lessons, and copies of their examples."""
    random = np.random.default_rng(0)
    heard = []
    for lesson in lessons:
        copies = mixed_copies(lesson.excerpt, lesson.starts, lesson.lengths, ear, random)
        heard.append(HeardLesson(lesson, ear.hear(lesson.excerpt), tuple(copies)))
    return heard
