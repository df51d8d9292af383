"""Blocks of features on one scale, by the mean and deviation of the enrolled clips."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.examples import Block, Examples, Features, Floats

LENGTHS: dict[Block, float] = {"embedding": 5.0, "timbre": 7.0}
ENCODER_LENGTH = 8.0
"""Root mean square length of a block's rows, however wide: by it, logistic regression weighs them."""

FARTHEST = 5.0
"""Deviations from the mean at which a number is cut off, so that one odd number does not decide."""

_LEAST_DEVIATION = 1e-6  # in deviations of the block's numbers on average; below it, a number says nothing


@dataclass(frozen=True)
class Standardizer:
    """What brings a block's rows to mean 0 and root mean square length 1.

    Args:
        mean: of each number, (width,).
        scale: factor of each number, (width,); 0 for a number that never varies.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, rows: Floats, weights: Floats) -> "Standardizer":
        """Fit to rows (rows, width) with weights (rows,)."""
        share = weights / weights.sum()
        mean = share @ rows
        deviation = np.sqrt(share @ np.square(rows - mean))
        varies = deviation > _LEAST_DEVIATION * deviation.mean()
        scale = np.where(varies, 1.0, 0.0) / np.where(varies, deviation, 1.0)
        return cls(mean, scale)

    def __call__(self, rows: Floats) -> Floats:
        """Shape: (rows, width) -> (rows, width)."""
        standard: Floats = np.clip((rows - self.mean) * self.scale, -FARTHEST, FARTHEST) / np.sqrt(len(self.mean))
        return standard


Standardizers = Mapping[Block, Standardizer]


def fit_standardizers(examples: Examples, blocks: tuple[Block, ...]) -> dict[Block, Standardizer]:
    """A standardizer for each block that is named."""
    weights = examples.weights
    return {block: Standardizer.fit(examples.features[block], weights) for block in blocks}


def length(block: Block) -> float:
    """Length of a block's rows; those of all frozen encoders are scaled alike."""
    return LENGTHS.get(block, ENCODER_LENGTH)


def join(standardizers: Standardizers, features: Features) -> Floats:
    """The standardized blocks side by side, each of its length. Shape: (rows, width of all blocks)."""
    parts = [length(block) * standardizer(features[block]) for block, standardizer in standardizers.items()]
    return np.concatenate(parts, axis=1)
