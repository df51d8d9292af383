"""The detector of one label: what its examples and their surroundings teach, and the candidates that it accepts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.events.detection.augment import augmented
from fewshot_audio.events.detection.candidates import Proposer, agreement, overlap
from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import FRAMES_PER_SECOND, Excerpt, Frames, Integers, Numbers
from fewshot_audio.events.detection.hearing import HeardFrames
from fewshot_audio.events.detection.judge import Judge
from fewshot_audio.events.detection.network import Hearing
from fewshot_audio.events.detection.windows import LEVEL_WIDTH, SHORTEST, WindowFeatures

NOTHING_ELSE = "there is nothing beside the examples to compare them with: add recordings without them (background)"
SHORT_EVENTS = 0.25
"""Mean duration of the examples, in seconds, below which frames are 5 ms apart, not 10."""
FAINTEST = 1e-6
"""Power that counts as nothing, as a part of the loudest example's: -60 dB."""
CANDIDATE_ODDS = float(np.log(0.03 / 0.97))
"""Log-odds from which a window is a candidate."""

_EVENT_OVERLAP, _OTHER_OVERLAP = 0.6, 0.3
_EXAMPLE_WEIGHT, _COPY_WEIGHT, _PROPOSAL_WEIGHTS = 3.0, 0.5, 15.0
_STRETCH = 5
"""Longest examples in a stretch of time that is left out as a whole while the gaps are re-estimated."""


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
        meets: NDArray[np.bool_] = np.any((starts[:, None] < first + length) & (ends[:, None] > first), axis=1)
        return meets


@dataclass(frozen=True)
class Candidates:
    """Windows that may be events: seconds, and log-odds."""

    starts: Numbers
    ends: Numbers
    log_odds: Numbers

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Candidates of several excerpts as one."""
        empty = [np.empty(0)]
        return cls(
            np.concatenate([part.starts for part in parts] or empty),
            np.concatenate([part.ends for part in parts] or empty),
            np.concatenate([part.log_odds for part in parts] or empty),
        )

    def agreement(self) -> Numbers:
        """How much all of them speak for each."""
        return agreement(self.starts, self.ends, self.log_odds)

    def take(self, numbers: Integers) -> "Candidates":
        """Those with these numbers."""
        return Candidates(self.starts[numbers], self.ends[numbers], self.log_odds[numbers])


def frame_step(durations: Sequence[float]) -> int:
    """Frames of 5 ms that count as one for examples of these seconds."""
    return 1 if float(np.mean(durations)) < SHORT_EVENTS else 2


@dataclass(frozen=True)
class LabelModel:
    """Proposes and judges windows for one label.

    Args:
        step: frames of 5 ms that count as one.
        frames: the model of frames.
        proposer: of windows.
        judge: of windows.
    """

    step: int
    frames: FrameModel
    proposer: Proposer
    judge: Judge

    @classmethod
    def fit(cls, lessons: Sequence[Lesson], step: int, hearing: Hearing, *, complete: bool) -> "LabelModel":
        """Learn from excerpts; at least one has an example.

        Args:
            lessons: the excerpts.
            step: of their frames.
            hearing: the network by which they are heard.
            complete: whether all examples in the known parts are given; otherwise windows that are taken for examples
                by a judge who has not seen their surroundings are left out.
        """
        lengths = np.concatenate([lesson.lengths for lesson in lessons])
        loudest = max(
            float(lesson.excerpt.power[start : start + length].mean(axis=0).max(initial=0.0))
            for lesson in lessons
            for start, length in zip(lesson.starts, lesson.lengths, strict=True)
        )
        faintest = max(FAINTEST * loudest, 1e-30)
        heard = [HeardFrames.of(lesson.excerpt, faintest, hearing) for lesson in lessons]
        frames = _fit_frames(lessons, heard, faintest, hearing)
        windows = [WindowFeatures(own, frames) for own in heard]
        proposer = Proposer.fit(lengths, [own.curves for own in windows])
        random = np.random.default_rng(0)
        events: list[Frames] = []
        weights: list[Numbers] = []
        proposals: list[Frames] = []
        others: list[Frames] = []
        stretches: list[Integers] = []
        for number, (lesson, own) in enumerate(zip(lessons, windows, strict=True)):
            starts, window_lengths = proposer.propose(own.curves)
            inside = (starts >= lesson.span[0]) & (starts + window_lengths <= lesson.span[1])
            starts, window_lengths = starts[inside], window_lengths[inside]
            share = np.zeros(len(starts))
            if len(lesson.starts):
                ends = lesson.starts + lesson.lengths
                share = overlap(starts, starts + window_lengths, lesson.starts, ends).max(axis=1, initial=0.0)
                copies = augmented(lesson.excerpt, lesson.starts, lesson.lengths, frames, random)
                events += [own.rows(lesson.starts, lesson.lengths), copies]
                weights += [np.full(len(ends), _EXAMPLE_WEIGHT), np.full(len(copies), _COPY_WEIGHT)]
                near = share > _EVENT_OVERLAP
                proposals.append(own.rows(starts[near], window_lengths[near]))
            far = (share < _OTHER_OVERLAP) & ~lesson.is_unsure(starts, starts + window_lengths)
            others += [own.rows(starts[far], window_lengths[far]), own.rows(*lesson.counterexamples)]
            stretch = starts[far] // (_STRETCH * int(lengths.max())) + 2 * number
            stretches += [stretch, np.full(len(lesson.counterexamples[0]), -1)]
        near_rows = np.concatenate(proposals)
        events.append(near_rows)
        weights.append(np.full(len(near_rows), min(1.0, _PROPOSAL_WEIGHTS / max(1, len(near_rows)))))
        event_rows, event_weights = np.concatenate(events), np.concatenate(weights)
        other_rows = np.concatenate(others)
        if not len(other_rows):  # silence between the examples, where nothing is proposed
            other_rows = np.concatenate([_between(lesson, own) for lesson, own in zip(lessons, windows, strict=True)])
            stretches = [np.full(len(other_rows), -1)]
        if not len(other_rows):
            raise DataError(NOTHING_ELSE)
        if not complete:
            other_rows = _without_unmarked(event_rows, event_weights, other_rows, np.concatenate(stretches))
        return cls(step, frames, proposer, Judge.fit(event_rows, other_rows, event_weights, LEVEL_WIDTH))

    def candidates(self, excerpt: Excerpt) -> Candidates:
        """The windows whose middle lies in the core of an excerpt and that may be events; times in the recording."""
        windows = WindowFeatures(self.frames.heard(excerpt), self.frames)
        starts, lengths = self.proposer.propose(windows.curves)
        middle = excerpt.first + starts + lengths // 2
        inside = (middle >= excerpt.core[0]) & (middle < excerpt.core[1])
        starts, lengths = starts[inside], lengths[inside]
        log_odds = self.judge.log_odds(windows.rows(starts, lengths))
        likely = log_odds > CANDIDATE_ODDS
        rate = FRAMES_PER_SECOND / self.step
        first = excerpt.first + starts[likely]
        return Candidates(first / rate, (first + lengths[likely]) / rate, log_odds[likely])


def _fit_frames(
    lessons: Sequence[Lesson], heard: Sequence[HeardFrames], faintest: float, hearing: Hearing
) -> FrameModel:
    """A model that tells frames of examples from all others of the known parts."""
    labels, learned = [], []
    for lesson, own in zip(lessons, heard, strict=True):
        is_event = np.zeros(len(own.levels), bool)
        for start, length in zip(lesson.starts, lesson.lengths, strict=True):
            is_event[start : start + length] = True
        used = is_event.copy()
        used[slice(*lesson.span)] = True
        places = np.arange(len(is_event))
        learned.append(used & (is_event | ~lesson.is_unsure(places, places + 1)))
        labels.append(is_event)
    if all(is_event[used].all() for is_event, used in zip(labels, learned, strict=True)):
        raise DataError(NOTHING_ELSE)
    return FrameModel.fit(heard, labels, learned, faintest, hearing)


def _between(lesson: Lesson, windows: WindowFeatures) -> Frames:
    """Windows as long as the examples on average, at even distances, that meet no event."""
    length = int(lesson.lengths.mean()) if len(lesson.lengths) else SHORTEST
    starts = np.arange(lesson.span[0], lesson.span[1] - length + 1, max(1, length // 2))
    ends = starts + length
    meets = ((starts[:, None] < lesson.starts + lesson.lengths) & (ends[:, None] > lesson.starts)).any(axis=1)
    free = starts[~meets & ~lesson.is_unsure(starts, ends)]
    return windows.rows(free, np.full(len(free), length))


def _without_unmarked(events: Frames, weights: Numbers, others: Frames, stretches: Integers) -> Frames:
    """Other windows without those that a judge of the other half of the stretches takes for events."""
    kept = np.ones(len(others), bool)
    for half in (0, 1):
        asked = (stretches >= 0) & (stretches % 2 == half)
        if asked.any() and not asked.all():
            kept[asked] = Judge.fit(events, others[~asked], weights, LEVEL_WIDTH).log_odds(others[asked]) < 0.0
    return others[kept] if kept.any() else others
