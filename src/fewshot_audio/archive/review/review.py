"""A review: windows of an index are listened to in rounds, and a recognizer learns from what people say of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.halves import Singles
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.neighbors import Neighbors
from fewshot_audio.archive.review.choices import COLUMNS, Choice, choice_of, current_choices
from fewshot_audio.archive.review.journal import ChoiceJournal
from fewshot_audio.archive.review.ranking import DRAWN, likelihoods
from fewshot_audio.archive.review.teaching import WindowNumbers, lesson
from fewshot_audio.archive.search import NEAR_DUPLICATE, unit_rows
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.scoring import Counts

Order: TypeAlias = Literal["score", "margin", "search"]

MOST_JUDGED = 10_000
"""Windows that a round is drawn from; of more, those nearest to the clips of the class, and some at random."""
MOST_QUERIES = 50
"""Clips that windows are searched for by; the latest ones."""
MOST_REVIEWERS = 100


@dataclass(frozen=True)
class Candidate:
    """A window to be listened to.

    Args:
        window: its number in the index.
        file: its recording.
        start: in seconds from the start of the recording.
        end: likewise.
        score: what it was drawn by: how likely it holds the class, from 0 to 1; or, by search, the largest cosine with
            a clip of it, from -1 to 1.
    """

    window: int
    file: str
    start: float
    end: float
    score: float


class Review:
    """Draws rounds of windows, records choices, and teaches a recognizer. Used by one thread at a time.

    Args:
        index: the index; it is read once to begin with.
        recognizer: its network made the embeddings.
        journal: the choices.
        seed: of the windows that are drawn at random.

    Raises:
        DataError: another network made the embeddings, or the index lacks an encoder of the recognizer.

    Example:
        >>> review = Review(Index("my_index"), recognizer, ChoiceJournal(None))  # doctest: +SKIP
        >>> for candidate in review.next_round("owl", "score", 12):  # doctest: +SKIP
        ...     review.choose([review.choice(candidate.window, "owl", "yes", reviewer="me")])
        >>> review.teach()  # doctest: +SKIP
        True
    """

    def __init__(self, index: Index, recognizer: Recognizer, journal: ChoiceJournal, seed: int = 0) -> None:
        self.index = index
        self.recognizer = recognizer
        self._check_recognizer()
        self.journal = journal
        self._numbers = WindowNumbers(index)
        self._neighbors = Neighbors(index)
        self._is_heard = ~self._neighbors.is_silent
        self._random = np.random.default_rng(seed)
        self._handed_out: dict[str, Counts] = {}  # windows of each reviewer's round

    def _check_recognizer(self) -> None:
        self.index.description.check_recognizer(self.recognizer, self.index.folder, self.recognizer.encoders.digests)

    def choice(self, window: int, asked: str, answer: str, *, reviewer: str, other: str = "") -> Choice:
        """What a reviewer says about a window now.

        Raises:
            DataError: there is no such window, or a value is none that a choice has.
        """
        if not 0 <= window < len(self.index):
            raise DataError(f"{self.index.folder}: there is no window {window}, of {len(self.index)}")
        recording, start, end = self.index.times(window)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        values = (recording.file, start, end, asked, answer, other, reviewer, time)
        return choice_of(dict(zip(COLUMNS, values, strict=True)))

    def choose(self, choices: Sequence[Choice]) -> None:
        """Record choices. Raises as ``ChoiceJournal.add`` does."""
        self.journal.add(choices)

    def window_of(self, choice: Choice) -> int | None:
        """The number of a choice's window; None if the index does not have it any more."""
        return self._numbers(choice)

    def current(self, asked: str) -> list[Choice]:
        """The choices that count for a class, in the order in which they were made."""
        return list(current_choices(self.journal.choices, asked).values())

    def teach(self) -> bool:
        """Let the recognizer learn all choices that count; whether that changes anything.

        The windows are clips named by file and time: clips of such a name whose choice was taken back go. Nothing is
        embedded, and no recording is read.

        Raises:
            DataError: the recognizer has another network by now.
        """
        self._check_recognizer()
        return self.recognizer.learn(lesson(self.index, self.journal.choices))

    def next_round(self, asked: str, order: Order, count: int, reviewer: str = "") -> list[Candidate]:
        """Windows to be listened to next; none about which somebody has decided, or that another reviewer has.

        Args:
            asked: the class.
            order: "score": those that most likely hold it; "margin": those of which it is least sure; "search": those
                that sound most like one of its clips.
            count: how many.
            reviewer: who listens to them; "" if there is only one.

        Raises:
            DataError: there is no such class.
        """
        sounds = self.recognizer.sounds
        if asked not in sounds.classes:
            known = ", ".join(sounds.classes) or "none"
            raise DataError(f"no class {on_one_line(asked)!r} is enrolled (enrolled: {on_one_line(known)})")
        is_open = self._open_windows(asked, reviewer)
        queries = self._queries(asked)
        if order == "search":
            windows, keys = self._neighbors.nearest(queries, max(50, 5 * count), is_open)
            scores = keys.astype(np.float64)
        else:
            windows = self._judged(queries, is_open)
            if not len(windows):
                return []
            scores = likelihoods(self.index, sounds, asked, windows, self._drawn(windows))
            ranked = np.lexsort((windows, -scores if order == "score" else np.abs(scores - 0.5)))
            windows, scores = windows[ranked], scores[ranked]
        places = self._different(windows[: 20 * count], count)
        self._hand_out(reviewer, windows[places])
        return [self._candidate(int(windows[place]), float(scores[place])) for place in places]

    def _candidate(self, window: int, score: float) -> Candidate:
        recording, start, end = self.index.times(window)
        return Candidate(window, recording.file, start, end, score)

    def _open_windows(self, asked: str, reviewer: str) -> NDArray[np.bool_]:
        is_open = self._is_heard.copy()
        numbers = [self._numbers(choice) for choice in self.current(asked)]
        is_open[[number for number in numbers if number is not None]] = False
        for other, windows in self._handed_out.items():
            if other != reviewer:
                is_open[windows] = False
        return is_open

    def _queries(self, asked: str) -> Singles:
        clips = self.recognizer.sounds.classes[asked].clips[-MOST_QUERIES:]
        width = self.index.description.blocks["embedding"]
        rows: Singles = np.concatenate([clip.rows.reshape(-1, width) for clip in clips])[-MOST_QUERIES:]
        return rows

    def _judged(self, queries: Singles, is_open: NDArray[np.bool_]) -> Counts:
        windows = np.flatnonzero(is_open)
        if len(windows) <= MOST_JUDGED:
            return windows
        near, _ = self._neighbors.nearest(queries, MOST_JUDGED * 9 // 10, is_open)
        return np.union1d(near, self._random.choice(windows, MOST_JUDGED // 10, replace=False))

    def _drawn(self, windows: Counts) -> Counts:
        """Some of the windows about which nobody has decided: of few, a tenth, lest many of them hold the class."""
        count = min(DRAWN, max(1, len(windows) // 10))
        drawn: Counts = np.sort(self._random.choice(windows, count, replace=False))
        return drawn

    def _different(self, windows: Counts, count: int) -> list[int]:
        """Places of the first windows; those that are nearly the same as one before come last."""
        rows = unit_rows(self.index.rows("embedding", windows))
        places: list[int] = []
        copies: list[int] = []
        for place in range(len(windows)):
            if len(places) == count:
                break
            is_new = not places or (rows[places] @ rows[place]).max() < NEAR_DUPLICATE
            (places if is_new else copies).append(place)
        return (places + copies)[:count]

    def _hand_out(self, reviewer: str, windows: Counts) -> None:
        self._handed_out.pop(reviewer, None)
        self._handed_out[reviewer] = windows
        while len(self._handed_out) > MOST_REVIEWERS:
            del self._handed_out[next(iter(self._handed_out))]
