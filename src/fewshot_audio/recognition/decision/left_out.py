"""The enrolled clips, each judged by a decision that was fitted without it: what all calibration learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.recognition.decision.examples import Block, Counts, Examples, Floats
from fewshot_audio.recognition.decision.logistic import softmax
from fewshot_audio.recognition.decision.model import DecisionModel, Shares

FOLDS = 5


@dataclass(frozen=True)
class LeftOut:
    """Enrolled clips, judged by the others.

    Args:
        examples: the clips.
        logits: of their rows, (rows, classes).
        distances: of the clips to the classes, for each choice of shares, (choices, clips, classes).
    """

    examples: Examples
    logits: Floats
    distances: Floats

    @classmethod
    def of(cls, examples: Examples, blocks: tuple[Block, ...], choices: Sequence[Shares]) -> "LeftOut":
        """Judge the clips of each fold by the clips of the others; every class has two clips or more.

        If all classes have two clips, a fold would leave one of each, and nothing would show how much clips vary within
        classes: distances then come from folds that hold clips of some classes only. For logits they would not do, as
        the classes of one clip are at a disadvantage there.
        """
        logits = np.empty((len(examples.clip_of), examples.n_classes))
        distances = np.empty((len(choices), len(examples.labels), examples.n_classes))

        def fit(fold: NDArray[np.bool_]) -> DecisionModel:
            return DecisionModel.fit(examples.part(~fold), blocks, choices[0])

        def measure(fold: NDArray[np.bool_], model: DecisionModel) -> None:
            train, test = examples.part(~fold), examples.part(fold)
            clips = test.clip_means(model.rows(test.features))
            for number, shares in enumerate(choices):
                distances[number, fold] = (model.with_shares(train, shares) if number else model).distances(clips)

        folds = examples.folds(FOLDS)
        shows_variance = all(np.count_nonzero(~fold) > examples.n_classes for fold in folds)
        for fold in folds:
            model = fit(fold)
            rows_of_fold = fold[examples.clip_of]
            logits[rows_of_fold] = model.logistic.logits(model.rows(examples.part(fold).features))
            if shows_variance:
                measure(fold, model)
        if not shows_variance:
            for fold in examples.folds(FOLDS, in_turn=True):
                measure(fold, fit(fold))
        return cls(examples, logits, distances)

    def probabilities(self, temperature: float) -> Floats:
        """Of the clips, the mean over their rows, (clips, classes)."""
        return self.examples.clip_means(softmax(self.logits / temperature))

    def answers(self, temperature: float) -> Counts:
        """The most probable class of each clip, (clips,)."""
        answers: Counts = self.probabilities(temperature).argmax(axis=1)
        return answers
