"""Multinomial logistic regression: fitted by scikit-learn, answered by numpy."""

from dataclasses import dataclass

import numpy as np

from fewshot_audio.recognition.decision.examples import Counts, Floats


@dataclass(frozen=True)
class Logistic:
    """Logits are ``rows @ weights.T + bias``: weights (classes, width), bias (classes,)."""

    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, rows: Floats, labels: Counts, weights: Floats) -> "Logistic":
        """Fit to rows (rows, width) of the classes ``labels``, each of two or more classes at least once.

        The penalty on the weights is scikit-learn's default, so the scale of the rows matters.
        """
        from sklearn.linear_model import LogisticRegression  # takes a second to import; answers do without

        model = LogisticRegression(max_iter=500).fit(rows, labels, sample_weight=weights)
        if len(model.coef_) == 1:  # of two classes, the second's logit; the first's is 0
            return cls(np.concatenate([0 * model.coef_, model.coef_]), np.append(0.0, model.intercept_))
        # In the order in which a bundle keeps them, so that products are the same bits after loading.
        return cls(np.ascontiguousarray(model.coef_), model.intercept_)

    def logits(self, rows: Floats) -> Floats:
        """Shape: (rows, width) -> (rows, classes)."""
        logits: Floats = rows @ self.weights.T + self.bias
        return logits


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
