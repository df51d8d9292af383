"""The decision that fits the enrolled classes of the moment; it is made when it is first needed."""

from collections.abc import Mapping

from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.choose import Head, HeadChoice
from fewshot_audio.recognition.decision.maker import Changed, DecisionMaker, DecisionState
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import Enrolled, EnrolledClass, EnrolledSounds
from fewshot_audio.recognition.features import decision_examples, prototype_answers

FALSE_ALARM = 0.05
"""Share of clips of enrolled classes that may be called unknown, of a recognizer that is not calibrated."""

Classes = Mapping[str, EnrolledClass]


class CurrentDecision:
    """A recognizer's decision, and what clips are compared with. For several threads, one of which changes classes.

    Args:
        embedder: judges clips by prototypes.
        calibration: of the recognizer, on other classes.
        classes: the enrolled classes.
        state: what was decided for them; None if nothing was.
    """

    def __init__(
        self, embedder: Embedder, calibration: Calibration | None, classes: Classes, state: DecisionState | None
    ) -> None:
        self._maker = DecisionMaker(
            prototype_answers(embedder), calibration.false_alarm if calibration else FALSE_ALARM
        )
        self._scatter = calibration.scatter if calibration else None
        self._made: tuple[Classes | None, DecisionState] = (classes if state else None, state or DecisionState())
        self._enrolled: Enrolled | None = None
        # For which classes the head was chosen, and the decision calibrated; of a bundle, those that it holds.
        self._chosen_for = self._calibrated_for = classes

    def of(self, classes: Classes) -> DecisionState:
        """The decision for classes; these are not changed but replaced, so that the same ones need no new decision."""
        made_for, state = self._made
        if made_for is not classes:
            changed = Changed(_changed(self._chosen_for, classes), _changed(self._calibrated_for, classes))
            former, state = state, self._maker.update(state, decision_examples(classes.values()), changed)
            self._remember(former, state, classes)
            self._made = (classes, state)
        return state

    def _remember(self, former: DecisionState, state: DecisionState, classes: Classes) -> None:
        if state.choice is not former.choice:
            self._chosen_for = classes
        if state.calibration is not None and state.calibration is not former.calibration:
            self._calibrated_for = classes

    def choose(self, classes: Classes, head: Head | None) -> HeadChoice | None:
        """Measure all heads, and decide by the best or the given one; None if only prototypes can decide."""
        examples = decision_examples(classes.values())
        state = self._maker.choose(head, examples) if examples else DecisionState(head)
        self._chosen_for = self._calibrated_for = classes
        self._made = (classes, state)
        return state.choice

    def enrolled(self, sounds: EnrolledSounds) -> Enrolled:
        """What clips are compared with. Raises DataError if there is no class, or all are ignored."""
        decision, enrolled = self.of(sounds.classes).decision, self._enrolled
        if enrolled is None or enrolled.sounds is not sounds or enrolled.decision is not decision:
            self._enrolled = enrolled = Enrolled.of(sounds, self._scatter, decision)
        return enrolled


def _changed(before: Classes, after: Classes) -> int:
    """How many clips have come or gone; those that stay are the same objects."""
    first, second = ({id(clip) for own in classes.values() for clip in own.clips} for classes in (before, after))
    return len(first ^ second)
