"""Multinomial logistic regression: fitted by scikit-learn, answered by numpy."""

import warnings
from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.examples import Counts, Floats


@dataclass(frozen=True)
class Logistic:
    """Logits are ``rows @ weights.T + bias``: weights (classes, width), bias (classes,)."""

    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, rows: Floats, labels: Counts, weights: Floats, emphasis: Floats) -> "Logistic":
        """Fit to rows of two or more classes.

        Each number is multiplied by its emphasis to be fitted: scikit-learn's default penalty spares large numbers.

        Args:
            rows: (rows, width).
            labels: their classes, (rows,).
            weights: how much each row counts, (rows,).
            emphasis: how much each number counts, (width,).
        """
        from sklearn.linear_model import LogisticRegression  # takes a second to import; answers do without

        with warnings.catch_warnings():  # two clips of each class are few, not a regression problem
            warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
            model = LogisticRegression(max_iter=500).fit(rows * emphasis, labels, sample_weight=weights)
        if len(model.coef_) == 1:  # of two classes, the second's logit; the first's is 0
            return cls(np.concatenate([0 * model.coef_, model.coef_]) * emphasis, np.append(0.0, model.intercept_))
        # In the order in which a bundle keeps them, so that products are the same bits after loading.
        return cls(np.ascontiguousarray(model.coef_ * emphasis), model.intercept_)

    def logits(self, rows: Floats) -> Floats:
        """Shape: (rows, width) -> (rows, classes)."""
        logits: Floats = rows @ self.weights.T + self.bias
        return logits


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
