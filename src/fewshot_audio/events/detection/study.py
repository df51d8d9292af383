"""What lessons tell: features of examples and of other windows, and which of the others may be unmarked events."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.events.detection.augment import copy_rows
from fewshot_audio.events.detection.candidates import Proposer, best_apart, overlap
from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import Frames, Integers, Numbers
from fewshot_audio.events.detection.judge import Judge
from fewshot_audio.events.detection.lesson import HeardLesson, Lesson
from fewshot_audio.events.detection.windows import LEVEL_WIDTH, SHORTEST, WindowFeatures

NOTHING_ELSE = "there is nothing beside the examples to compare them with: add recordings without them (background)"
SPY_QUANTILE = 0.2
"""Of the scores of examples that a judge has not learned from: what scores higher may be one that nobody marked."""
SPY_TREES = 50
"""Of a judge that only finds these: a third of the usual ones."""
WIDE_GAP, REACH = 1.0, 2.5
"""Log-odds between the scores of sounds that show where events end, and how far below the spies that is looked for."""
MOST_PROPOSED = 5000
"""Windows beside examples and counterexamples that a judge learns from; eight minutes may have six times as many."""
ROUNDS = 2
"""The second time, what the first has found no longer teaches the judge that such a sound is none."""

_EVENT_OVERLAP, _OTHER_OVERLAP = 0.6, 0.3
_EXAMPLE_WEIGHT, _COPY_WEIGHT, _PROPOSAL_WEIGHTS = 3.0, 0.5, 15.0
_STRETCH = 5
"""Longest examples in a stretch of time that is left out as a whole while unmarked events are looked for."""


@dataclass(frozen=True)
class EventRows:
    """Windows that are examples, copies of examples, or proposed around them.

    Args:
        features: (n, width).
        weights: (n,).
        examples: the number of the example of each (n,).
        is_copy: which are copies (n,).
    """

    features: Frames
    weights: Numbers
    examples: Integers
    is_copy: NDArray[np.bool_]

    @classmethod
    def alike(cls, features: Frames, weight: float, examples: Integers, is_copy: bool = False) -> Self:
        """Rows of one weight."""
        count = len(features)
        return cls(features, np.full(count, weight), examples, np.full(count, is_copy))

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class OtherRows:
    """Windows that are no examples.

    Args:
        features: (m, width).
        places: the number of the lesson, first frame and length (m, 3); -1, 0, 0 of what was not proposed.
        stretches: the stretch of time of each, -1 of what was not proposed (m,).
    """

    features: Frames
    places: Integers
    stretches: Integers

    @classmethod
    def unplaced(cls, features: Frames) -> Self:
        """Rows that were not proposed."""
        places = np.full((len(features), 3), (-1, 0, 0))
        return cls(features, places, places[:, 0])

    def __len__(self) -> int:
        return len(self.features)


Rows = TypeVar("Rows", EventRows, OtherRows)


def _joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several lessons, one after another."""
    columns = ([getattr(part, field.name) for part in parts] for field in fields(parts[0]))
    return type(parts[0])(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Study:
    """Features of windows of lessons.

    Args:
        frames: the model of frames.
        proposer: of windows.
        events: examples, their copies and what is proposed around them.
        others: of the same lessons.
    """

    frames: FrameModel
    proposer: Proposer
    events: EventRows
    others: OtherRows

    @classmethod
    def of(cls, heard: Sequence[HeardLesson]) -> Self:
        """Learn what a frame of an example is, and describe the windows; at least one lesson has an example.

        Raises:
            DataError: there is nothing but examples.
        """
        frames = _fit_frames(heard)
        windows = [WindowFeatures(own.frames, frames) for own in heard]
        lengths = np.concatenate([own.lesson.lengths for own in heard])
        proposer = Proposer.fit(lengths, [own.curves for own in windows])
        stretch = _STRETCH * int(lengths.max())
        events: list[EventRows] = []
        near: list[EventRows] = []
        others: list[OtherRows] = []
        count = 0
        for number, (lesson, own) in enumerate(zip((own.lesson for own in heard), windows, strict=True)):
            starts, window_lengths = proposer.propose(own.curves)
            inside = (starts >= lesson.span[0]) & (starts + window_lengths <= lesson.span[1])
            starts, window_lengths = starts[inside], window_lengths[inside]
            share = np.zeros(len(starts))
            if len(lesson.starts):
                shares = overlap(starts, starts + window_lengths, lesson.starts, lesson.starts + lesson.lengths)
                share, nearest = shares.max(axis=1, initial=0.0), shares.argmax(axis=1)
                copies = heard[number].copies
                here, originals = np.arange(len(lesson.starts)), np.array([copy.example for copy in copies])
                events.append(EventRows.alike(own.rows(lesson.starts, lesson.lengths), _EXAMPLE_WEIGHT, count + here))
                events.append(EventRows.alike(copy_rows(copies, frames), _COPY_WEIGHT, count + originals, True))
                chosen = share > _EVENT_OVERLAP
                rows = own.rows(starts[chosen], window_lengths[chosen])
                near.append(EventRows.alike(rows, 1.0, count + nearest[chosen]))
                count += len(here)
            far = (share < _OTHER_OVERLAP) & ~lesson.is_unsure(starts, starts + window_lengths)
            starts, window_lengths = starts[far], window_lengths[far]
            places = np.stack([np.full(len(starts), number), starts, window_lengths], axis=1)
            others.append(OtherRows(own.rows(starts, window_lengths), places, starts // stretch + 2 * number))
            others.append(OtherRows.unplaced(own.rows(*lesson.counterexamples)))
        if not any(map(len, others)):  # silence between the examples, where nothing is proposed
            pairs = zip(heard, windows, strict=True)
            others = [OtherRows.unplaced(_between(own.lesson, features)) for own, features in pairs]
        if not any(map(len, others)):
            raise DataError(NOTHING_ELSE)
        proposed = _joined(near)
        weight = min(1.0, _PROPOSAL_WEIGHTS / max(1, len(proposed)))
        events.append(replace(proposed, weights=np.full(len(proposed), weight)))
        return cls(frames, proposer, _joined(events), _joined(others))

    def judge(self) -> Judge:
        """What tells events from others."""
        others = self._thinned(np.ones(len(self.others), bool))
        return Judge.fit(self.events.features, others, self.events.weights, LEVEL_WIDTH)

    def _thinned(self, chosen: NDArray[np.bool_]) -> Frames:
        """These of the others; of what is only proposed, at most ``MOST_PROPOSED``, evenly over time."""
        numbers, is_proposed = np.flatnonzero(chosen), self.others.stretches[chosen] >= 0
        proposed = numbers[is_proposed]
        if len(proposed) > MOST_PROPOSED:
            proposed = proposed[np.linspace(0, len(proposed) - 1, MOST_PROPOSED).astype(np.int64)]
        rows: Frames = self.others.features[np.concatenate([proposed, numbers[~is_proposed]])]
        return rows

    def unmarked(self) -> Integers:
        """Where those of the others are that may be events that nobody marked.

        Examples are the spies among them (Liu et al. 2002, "Partially supervised classification of text documents"):
        each half of the examples and of the stretches of time is judged by what the other half has taught. What scores
        as high as most examples do, each by the best window around it, may be an event, however many such there are.

        Returns:
            Their places (n, 3).
        """
        events, others = self.events, self.others
        spies, scores = np.full(len(events), np.nan), np.full(len(others), -np.inf)
        for half in (0, 1):
            own, asked = events.examples % 2 == half, (others.stretches >= 0) & (others.stretches % 2 == half)
            if own.all() or not own.any() or not asked.any() or asked.all():
                continue
            weights = events.weights[~own]
            judge = Judge.fit(events.features[~own], self._thinned(~asked), weights, LEVEL_WIDTH, SPY_TREES)
            chosen = own & ~events.is_copy
            spies[chosen] = judge.log_odds(events.features[chosen])
            scores[asked] = judge.log_odds(others.features[asked])
        is_spy = np.isfinite(spies)
        if not is_spy.any():
            return others.places[:0]
        known = [spies[is_spy & (events.examples == number)].max() for number in np.unique(events.examples[is_spy])]
        limit = min(0.0, float(np.quantile(known, SPY_QUANTILE)))
        return others.places[scores > self._lowered(limit, scores)]

    def _lowered(self, limit: float, scores: Numbers) -> float:
        """The limit, or the middle of the first wide gap below it: few spies may all score higher than most events."""
        floor = limit - REACH - WIDE_GAP
        chosen = np.flatnonzero(scores > floor)
        if not len(chosen):
            return limit
        numbers, starts, lengths = self.others.places[chosen].T
        begin = starts + numbers * int((starts + lengths).max())  # windows of two lessons do not meet
        peaks = scores[chosen][best_apart(begin, begin + lengths, scores[chosen])]
        peaks = np.concatenate([[limit], peaks[peaks < limit], [floor]])
        wide = np.flatnonzero((peaks[:-1] - peaks[1:] >= WIDE_GAP) & (peaks[:-1] >= limit - REACH))
        return float(peaks[wide[0] : wide[0] + 2].mean()) if len(wide) else limit


def without_unmarked(heard: Sequence[HeardLesson]) -> list[HeardLesson]:
    """Lessons that leave out what may be events that nobody marked."""
    changed = list(heard)
    for _ in range(ROUNDS):
        places = Study.of(changed).unmarked()
        if not len(places):
            break
        for number, own in enumerate(changed):
            _, starts, lengths = places[places[:, 0] == number].T
            former_starts, former_lengths = own.lesson.unsure
            unsure = np.concatenate([former_starts, starts]), np.concatenate([former_lengths, lengths])
            changed[number] = replace(own, lesson=replace(own.lesson, unsure=unsure))
    return changed


def _fit_frames(heard: Sequence[HeardLesson]) -> FrameModel:
    """A model that tells frames of examples from all others of the known parts."""
    labels, learned = [], []
    for own in heard:
        lesson = own.lesson
        is_event = np.zeros(len(own.frames.levels), bool)
        for start, length in zip(lesson.starts, lesson.lengths, strict=True):
            is_event[start : start + length] = True
        used = is_event.copy()
        used[slice(*lesson.span)] = True
        places = np.arange(len(is_event))
        learned.append(used & (is_event | ~lesson.is_unsure(places, places + 1)))
        labels.append(is_event)
    if all(is_event[used].all() for is_event, used in zip(labels, learned, strict=True)):
        raise DataError(NOTHING_ELSE)
    return FrameModel.fit([own.frames for own in heard], labels, learned)


def _between(lesson: Lesson, windows: WindowFeatures) -> Frames:
    """Windows as long as the examples on average, at even distances, that meet no event."""
    length = int(lesson.lengths.mean()) if len(lesson.lengths) else SHORTEST
    starts = np.arange(lesson.span[0], lesson.span[1] - length + 1, max(1, length // 2))
    ends = starts + length
    meets = ((starts[:, None] < lesson.starts + lesson.lengths) & (ends[:, None] > lesson.starts)).any(axis=1)
    free = starts[~meets & ~lesson.is_unsure(starts, ends)]
    return windows.rows(free, np.full(len(free), length))
