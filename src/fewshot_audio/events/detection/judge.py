"""A judge of windows, fitted to few examples: the mean log-odds of logistic regression and two sets of trees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.events.detection.frames import Frames, Numbers

REGULARIZATION = 0.005
TREES, LEAST_LEAF = 150, 2
LEAST_SHARE = 0.01
"""Added to the shares of trees before their log-odds, so that these are finite."""
TOTAL_WEIGHT = 1000.0
_CHUNK = 4096
"""Windows that are standardized at once, in double precision."""


@dataclass(frozen=True)
class Judge:
    """Log-odds that a window is an event of the label.

    Args:
        mean: of the features in training.
        deviation: of the features in training.
        weights: of the standardized features.
        offset: added to their sum.
        tree_shares: the share of trees that take a window for an event: of those that know all of its features, and of
            those that know nothing of its levels.
    """

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    offset: float
    tree_shares: tuple[Callable[[Frames], Numbers], ...]

    @classmethod
    def fit(cls, events: Frames, others: Frames, event_weights: Numbers, levels: int, trees: int = TREES) -> "Judge":
        """Fit features of events (n, width), of these weights, against those of other windows (m, width).

        Args:
            events: features.
            others: features.
            event_weights: (n,).
            levels: features at the beginning that some trees do not know.
            trees: how many, of each kind.
        """
        from sklearn.linear_model import LogisticRegression

        features = np.concatenate([events, others])
        is_event = np.arange(len(features)) < len(events)
        weights = np.concatenate([event_weights / event_weights.sum(), np.full(len(others), 1.0 / len(others))])
        weights *= TOTAL_WEIGHT
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64) + 1e-3
        linear: Any = LogisticRegression(C=REGULARIZATION, max_iter=200)
        linear.fit((features - mean) / deviation, is_event, sample_weight=weights)
        shares = tuple(_fit_trees(features[:, first:], is_event, weights, first, trees) for first in (0, levels))
        return cls(mean, deviation, linear.coef_[0], float(linear.intercept_[0]), shares)

    def log_odds(self, rows: Frames) -> Numbers:
        """Shape: (n, width) -> (n,)."""
        if not len(rows):
            return np.empty(0)
        chunks = (rows[first : first + _CHUNK] for first in range(0, len(rows), _CHUNK))
        linear = [(chunk - self.mean) / self.deviation @ self.weights + self.offset for chunk in chunks]
        parts = [np.concatenate(linear)]
        for tree_shares in self.tree_shares:
            shares = tree_shares(rows)
            parts.append(np.log((shares + LEAST_SHARE) / (1.0 + LEAST_SHARE - shares)))
        mean: Numbers = np.mean(parts, axis=0)
        return mean


def _fit_trees(
    features: Frames, is_event: NDArray[np.bool_], weights: Numbers, first: int, count: int
) -> Callable[[Frames], Numbers]:
    """Trees of the features from ``first`` on."""
    from sklearn.ensemble import ExtraTreesClassifier

    trees: Any = ExtraTreesClassifier(count, min_samples_leaf=LEAST_LEAF, max_features="sqrt", random_state=0)
    trees.fit(features, is_event, sample_weight=weights)

    def tree_shares(rows: Frames) -> Numbers:
        shares: Numbers = trees.predict_proba(rows[:, first:])[:, 1]
        return shares

    return tree_shares
