"""Keeps a decision up to date with the enrolled clips: chooses, fits and calibrates when it has to."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from fewshot_audio.recognition.decision.choose import Head, HeadChoice, PrototypeAnswers, choose_head
from fewshot_audio.recognition.decision.decision import Decision, DecisionCalibration
from fewshot_audio.recognition.decision.examples import Examples

REPLACED = 1.0
"""A head is chosen anew if clips have come or gone that are this share of those it was chosen on, so if they double."""

DRIFT = 0.1
"""A decision is calibrated anew if clips have come or gone that are this share; else it is only refitted."""


class Changed(NamedTuple):
    """How many clips have come or gone since the head was chosen, and since the decision was calibrated."""

    since_choice: int = 0
    since_calibration: int = 0


@dataclass(frozen=True)
class DecisionState:
    """What a bundle keeps of a recognizer's decision.

    Args:
        fixed: the head that the user wants; None chooses one.
        choice: the head that was chosen last, and on what grounds; None if none was.
        decision: fitted and calibrated; None if prototypes decide.
    """

    fixed: Head | None = None
    choice: HeadChoice | None = None
    decision: Decision | None = None

    @property
    def head(self) -> Head:
        """What decides."""
        return self.decision.head if self.decision else "prototypes"

    @property
    def calibration(self) -> DecisionCalibration | None:
        """Of the decision, on the enrolled clips; None if prototypes decide."""
        return self.decision.calibration if self.decision else None


class DecisionMaker:
    """Makes decisions from enrolled clips.

    Args:
        prototype_answers: judges clips by prototypes, the candidate that needs no fit.
        false_alarm: share of clips of enrolled classes that may be called unknown.
    """

    def __init__(self, prototype_answers: PrototypeAnswers, false_alarm: float) -> None:
        self.prototype_answers = prototype_answers
        self.false_alarm = false_alarm

    def update(self, state: DecisionState, examples: Examples | None, changed: Changed = Changed()) -> DecisionState:
        """The state for other clips.

        Args:
            state: the former one.
            examples: the clips; None stands for clips that only prototypes can tell apart.
            changed: as far as known; the number of clips tells the least.
        """
        head = state.fixed or (state.choice.head if state.choice else None)
        if examples is None:
            return replace(state, decision=None)
        count = len(examples.labels)
        if not state.fixed and (state.choice is None or self._is_outdated(state.choice, count, changed)):
            return self.choose(state.fixed, examples)
        if head is None or head == "prototypes":
            return replace(state, decision=None)
        former = state.decision
        drift = max(abs(count - former.calibration.clips), changed.since_calibration) if former else 0
        if former is None or former.head != head or drift > DRIFT * count:
            return replace(state, decision=Decision.fit(examples, head, self.false_alarm))
        return replace(state, decision=former.refit(examples))

    def _is_outdated(self, choice: HeadChoice, count: int, changed: Changed) -> bool:
        return max(count - choice.clips, changed.since_choice) >= REPLACED * choice.clips

    def choose(self, fixed: Head | None, examples: Examples) -> DecisionState:
        """Measure all heads, take the best one or the fixed one, fit and calibrate it."""
        choice = choose_head(examples, self.prototype_answers, fixed)
        fitted = None if choice.head == "prototypes" else Decision.fit(examples, choice.head, self.false_alarm)
        return DecisionState(fixed, choice, fitted)
