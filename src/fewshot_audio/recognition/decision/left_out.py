"""The enrolled clips, each judged by a decision that was fitted without it: what all calibration learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        """Judge the clips of each fold by the clips of the others; every class has two clips or more."""
        logits = np.empty((len(examples.clip_of), examples.n_classes))
        distances = np.empty((len(choices), len(examples.labels), examples.n_classes))
        for fold in examples.folds(FOLDS):
            train, test = examples.part(~fold), examples.part(fold)
            model = DecisionModel.fit(train, blocks, choices[0])
            rows = model.rows(test.features)
            logits[fold[examples.clip_of]] = model.logistic.logits(rows)
            for number, shares in enumerate(choices):
                model = model.with_shares(train, shares) if number else model
                distances[number, fold] = model.distances(test.clip_means(rows))
        return cls(examples, logits, distances)

    def probabilities(self, temperature: float) -> Floats:
        """Of the clips, the mean over their rows, (clips, classes)."""
        return self.examples.clip_means(softmax(self.logits / temperature))

    def answers(self, temperature: float) -> Counts:
        """The most probable class of each clip, (clips,)."""
        answers: Counts = self.probabilities(temperature).argmax(axis=1)
        return answers
