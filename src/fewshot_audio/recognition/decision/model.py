"""What is fitted to enrolled clips: which class a clip is of, and how far it is from all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.distances import ClassDistances
from fewshot_audio.recognition.decision.examples import Block, Counts, Examples, Features, Floats
from fewshot_audio.recognition.decision.logistic import Logistic
from fewshot_audio.recognition.decision.standardize import Standardizer, Standardizers, fit_standardizers, join
from fewshot_audio.recognition.decision.variances import by_block, class_means, varying, within_classes

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
        widths = [len(standardizer.mean) for standardizer in standardizers.values()]
        emphasis = fit_emphasis(examples.clip_means(rows), examples.labels, widths)
        logistic = Logistic.fit(rows, examples.labels[examples.clip_of], examples.weights, emphasis)
        return cls(standardizers, logistic, _fit_distances(standardizers, examples, rows, shares))

    def with_shares(self, examples: Examples, shares: Shares) -> "DecisionModel":
        """The same model with other shares of the blocks in distances."""
        rows = join(self.standardizers, examples.features)
        distances = _fit_distances(self.standardizers, examples, rows, shares)
        return DecisionModel(self.standardizers, self.logistic, distances)

    @property
    def arrays(self) -> dict[str, Floats]:
        """All its numbers by name, as bundles and graphs hold them."""
        arrays = {
            "weights": self.logistic.weights,
            "bias": self.logistic.bias,
            "distance_scale": self.distances.scale,
            "means": self.distances.means,
            "expected": self.distances.expected,
        }
        for block, standardizer in self.standardizers.items():
            arrays |= {f"{block}_mean": standardizer.mean, f"{block}_scale": standardizer.scale}
        return arrays

    def rows(self, features: Features) -> Floats:
        """The blocks that count, standardized and side by side. Shape: (segments, width)."""
        return join(self.standardizers, features)


def fit_emphasis(clips: Floats, labels: Counts, widths: Sequence[int]) -> Floats:
    """How much each number counts: the inverse square of its variance within classes, which are alike in all else.

    Standardized numbers have one variance in all, so that what varies less within classes varies more between them.
    The mean square within a block stays 1, over the numbers that vary at all; for others it is 0.

    Shape:
        clips (clips, width), standardized; labels (clips,); widths of the blocks -> (width,).
    """
    varies, counts = varying(clips, widths)
    if not varies.all():
        emphasis = np.zeros(len(varies))
        if varies.any():
            emphasis[varies] = fit_emphasis(np.ascontiguousarray(clips[:, varies]), labels, counts)
        return emphasis
    variances = within_classes(clips - class_means(clips, labels)[labels], labels, widths)
    inverse = np.ones(len(variances))
    np.divide(by_block(variances, widths), variances, out=inverse, where=variances > 0)
    own: Floats = inverse**2 / np.sqrt(by_block(inverse**4, widths))
    return own


def _fit_distances(
    standardizers: Mapping[Block, Standardizer], examples: Examples, rows: Floats, shares: Shares
) -> ClassDistances:
    blocks = [(len(standardizer.mean), shares[block]) for block, standardizer in standardizers.items()]
    return ClassDistances.fit(examples.clip_means(rows), examples.labels, blocks)
