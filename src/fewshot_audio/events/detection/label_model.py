"""The detector of one label: what its examples and their surroundings teach, and the candidates that it accepts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.events.detection.candidates import Proposer, agreement
from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import FRAMES_PER_SECOND, Excerpt, Integers, Numbers
from fewshot_audio.events.detection.hearing import Ear
from fewshot_audio.events.detection.judge import Judge
from fewshot_audio.events.detection.lesson import HeardLesson
from fewshot_audio.events.detection.study import Study
from fewshot_audio.events.detection.windows import WindowFeatures

SHORT_EVENTS = 0.25
"""Mean duration of the examples, in seconds, below which frames are 5 ms apart, not 10."""
CANDIDATE_ODDS = float(np.log(0.03 / 0.97))
"""Log-odds from which a window is a candidate."""


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
        ear: by which they are heard.
        frames: the model of frames.
        proposer: of windows.
        judge: of windows.
    """

    step: int
    ear: Ear
    frames: FrameModel
    proposer: Proposer
    judge: Judge

    @classmethod
    def fit(cls, lessons: Sequence[HeardLesson], step: int, ear: Ear) -> "LabelModel":
        """Learn from excerpts; at least one has an example.

        Args:
            lessons: the excerpts.
            step: of their frames.
            ear: by which they were heard.

        Raises:
            DataError: there is nothing but examples.
        """
        study = Study.of(lessons)
        return cls(step, ear, study.frames, study.proposer, study.judge())

    def candidates(self, excerpt: Excerpt) -> Candidates:
        """The windows whose middle lies in the core of an excerpt and that may be events; times in the recording."""
        windows = WindowFeatures(self.ear.hear(excerpt), self.frames)
        starts, lengths = self.proposer.propose(windows.curves)
        middle = excerpt.first + starts + lengths // 2
        inside = (middle >= excerpt.core[0]) & (middle < excerpt.core[1])
        starts, lengths = starts[inside], lengths[inside]
        log_odds = self.judge.log_odds(windows.rows(starts, lengths))
        likely = log_odds > CANDIDATE_ODDS
        rate = FRAMES_PER_SECOND / self.step
        first = excerpt.first + starts[likely]
        return Candidates(first / rate, (first + lengths[likely]) / rate, log_odds[likely])
