"""Fitting the second judgement to examples and to what sounds between them, and asking it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.candidates import best_apart, overlap
from fewshot_audio.events.detection.frames import FRAMES_PER_SECOND, Numbers
from fewshot_audio.events.detection.label_model import Candidates, LabelModel
from fewshot_audio.events.detection.lesson import Lesson
from fewshot_audio.events.detection.rescore import (
    Rescorer,
    describe,
    describe_windows,
    mixed_copies,
    read_snippets,
)

MOST_OTHERS = 60
"""Candidates of one recording that are learned from, those that the first judgement takes most for events."""
PLACES = 10
"""Places of a recording over which copies of the examples are laid."""
LEAST_OTHERS = 3
_OTHER_OVERLAP = 0.3


def fit_rescorer(
    model: LabelModel,
    lessons: Sequence[Lesson],
    sources: Sequence[Path],
    examples: Sequence[Annotation],
) -> Rescorer | None:
    """Fit the second judgement; None if fewer than ``LEAST_OTHERS`` other sounds are known.

    Args:
        model: the first judgement.
        lessons: what it learned from.
        sources: the recording of each lesson.
        examples: of the label, in these recordings: all events in what is known of these.
    """
    rows: list[Numbers] = []
    copies: list[Numbers] = []
    others: list[Numbers] = []
    for path in dict.fromkeys(sources):
        here = [mark for mark in examples if mark.file == path]
        marks = np.array([(mark.start, mark.end) for mark in here]).reshape(-1, 2)
        own = [lesson for lesson, source in zip(lessons, sources, strict=True) if source == path]
        rest = _others(model, own, marks)
        places = _places(own, model.step, marks)
        starts = np.concatenate([marks[:, 0], places[:, 0]])
        ends = np.concatenate([marks[:, 1], places[:, 1]])
        snippets = dict(read_snippets(path, starts, ends))
        clips = [snippets[number] for number in range(len(here))]
        behind = [snippets[number] for number in range(len(here), len(starts))]
        mixed = mixed_copies(clips, behind)
        if clips:
            rows.append(describe(iter(enumerate(clips)), len(clips)))
            copies.append(describe(iter(mixed), len(mixed)))
        if len(rest.starts):
            others.append(describe_windows(path, rest.starts, rest.ends))
    if sum(len(part) for part in others) < LEAST_OTHERS:
        return None
    return Rescorer.fit(np.concatenate(rows), np.concatenate(copies), np.concatenate(others))


def rescored(rescorer: Rescorer, path: Path, candidates: Candidates) -> Candidates:
    """Candidates with the sum of both judgements' log-odds; the recording is decoded once more."""
    if not len(candidates.starts):
        return candidates
    descriptions = describe_windows(path, candidates.starts, candidates.ends)
    return Candidates(candidates.starts, candidates.ends, candidates.log_odds + rescorer.log_odds(descriptions))


def _others(model: LabelModel, lessons: Sequence[Lesson], marks: Numbers) -> Candidates:
    """What is proposed in the known parts of a recording and is no example."""
    rate = FRAMES_PER_SECOND / model.step
    parts = []
    for lesson in lessons:
        proposed = model.candidates(lesson.excerpt)
        known = (np.array(lesson.span) + lesson.excerpt.first) / rate
        frames = (np.round(times * rate).astype(np.int64) for times in (proposed.starts, proposed.ends))
        is_unsure = lesson.is_unsure(*(places - lesson.excerpt.first for places in frames))
        inside = (proposed.starts >= known[0]) & (proposed.ends <= known[1])
        parts.append(proposed.take(np.flatnonzero(inside & ~is_unsure)))
    candidates = Candidates.joined(parts)
    if not len(candidates.starts):
        return candidates
    share = np.zeros(len(candidates.starts))
    if len(marks):
        share = overlap(candidates.starts, candidates.ends, marks[:, 0], marks[:, 1]).max(axis=1)
    # Of windows that meet an example, the best stand for it, and hide its own parts.
    apart = best_apart(candidates.starts, candidates.ends, candidates.agreement() + 1e6 * (share > 0.5))
    candidates = candidates.take(apart[share[apart] < _OTHER_OVERLAP])
    return candidates.take(np.argsort(-candidates.log_odds, kind="stable")[:MOST_OTHERS])


def _places(lessons: Sequence[Lesson], step: int, marks: Numbers) -> Numbers:
    """Stretches of a recording, as long as examples, that no example touches. Shape: -> (places, 2), seconds."""
    rate, random = FRAMES_PER_SECOND / step, np.random.default_rng(0)
    places: list[tuple[float, float]] = []
    if not len(marks):
        return np.empty((0, 2))
    for _ in range(10 * PLACES):
        lesson = lessons[int(random.integers(len(lessons)))]
        first, last = (np.array(lesson.excerpt.core)) / rate
        length = float(np.median(marks[:, 1] - marks[:, 0]))
        start = random.uniform(first, max(first, last - length))
        if len(places) < PLACES and not ((marks[:, 0] < start + length) & (marks[:, 1] > start)).any():
            places.append((start, start + length))
    return np.array(places).reshape(-1, 2)
