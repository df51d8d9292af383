"""A judge of windows, fitted to few examples: logistic regression and randomized trees, the mean of their log-odds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewshot_audio.events.detection.frames import Frames
from fewshot_audio.events.detection.windows import Numbers

REGULARIZATION = 0.02
TREES, LEAST_LEAF = 150, 2
LEAST_SHARE = 0.01
"""Added to the shares of trees before their log-odds, so that these are finite."""
TOTAL_WEIGHT = 1000.0


@dataclass(frozen=True)
class Judge:
    """Log-odds that a window is an event of the label.

    Args:
        mean: of the features in training.
        deviation: of the features in training.
        weights: of the standardized features.
        offset: added to their sum.
        tree_shares: the share of trees that take a window for an event.
    """

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    offset: float
    tree_shares: Callable[[Frames], Numbers]

    @classmethod
    def fit(cls, events: Frames, others: Frames, event_weights: Numbers) -> "Judge":
        """Fit features of events (n, width), of these weights, against those of other windows (m, width)."""
        from sklearn.ensemble import ExtraTreesClassifier
        from sklearn.linear_model import LogisticRegression

        features = np.concatenate([events, others])
        is_event = np.arange(len(features)) < len(events)
        weights = np.concatenate([event_weights / event_weights.sum(), np.full(len(others), 1.0 / len(others))])
        weights *= TOTAL_WEIGHT
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64) + 1e-3
        linear: Any = LogisticRegression(C=REGULARIZATION, max_iter=200)
        linear.fit((features - mean) / deviation, is_event, sample_weight=weights)
        trees: Any = ExtraTreesClassifier(TREES, min_samples_leaf=LEAST_LEAF, max_features="sqrt", random_state=0)
        trees.fit(features, is_event, sample_weight=weights)

        def tree_shares(rows: Frames) -> Numbers:
            shares: Numbers = trees.predict_proba(rows)[:, 1]
            return shares

        return cls(mean, deviation, linear.coef_[0], float(linear.intercept_[0]), tree_shares)

    def log_odds(self, rows: Frames) -> Numbers:
        """Shape: (n, width) -> (n,)."""
        if not len(rows):
            return np.empty(0)
        shares = self.tree_shares(rows)
        of_trees = np.log((shares + LEAST_SHARE) / (1.0 + LEAST_SHARE - shares))
        linear = (rows - self.mean) / self.deviation @ self.weights + self.offset
        both: Numbers = (linear + of_trees) / 2.0
        return both
