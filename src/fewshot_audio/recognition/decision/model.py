"""What is fitted to enrolled clips: which class a clip is of, and how far it is from all of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from fewshot_audio.recognition.decision.distances import ClassDistances
from fewshot_audio.recognition.decision.examples import Block, Examples, Features, Floats
from fewshot_audio.recognition.decision.logistic import Logistic
from fewshot_audio.recognition.decision.standardize import Standardizer, Standardizers, fit_standardizers, join

Shares = Mapping[Block, float]
"""Of each block in squared distances; they sum to 1."""


@dataclass(frozen=True)
class DecisionModel:
    """Logistic regression and distances on standardized blocks; the blocks are those that have a standardizer."""

    standardizers: Standardizers
    logistic: Logistic
    distances: ClassDistances

    @classmethod
    def fit(cls, examples: Examples, blocks: tuple[Block, ...], shares: Shares) -> "DecisionModel":
        """Fit to clips of two or more classes."""
        standardizers = fit_standardizers(examples, blocks)
        rows = join(standardizers, examples.features)
        logistic = Logistic.fit(rows, examples.labels[examples.clip_of], examples.weights)
        return cls(standardizers, logistic, _fit_distances(standardizers, examples, rows, shares))

    def with_shares(self, examples: Examples, shares: Shares) -> "DecisionModel":
        """The same model with other shares of the blocks in distances."""
        rows = join(self.standardizers, examples.features)
        distances = _fit_distances(self.standardizers, examples, rows, shares)
        return DecisionModel(self.standardizers, self.logistic, distances)

    def rows(self, features: Features) -> Floats:
        """The blocks that count, standardized and side by side. Shape: (segments, width)."""
        return join(self.standardizers, features)


def _fit_distances(
    standardizers: Mapping[Block, Standardizer], examples: Examples, rows: Floats, shares: Shares
) -> ClassDistances:
    blocks = [(len(standardizer.mean), shares[block]) for block, standardizer in standardizers.items()]
    return ClassDistances.fit(examples.clip_means(rows), examples.labels, blocks)
