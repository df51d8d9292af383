"""Baselines against scikit-learn and hand-computed numbers."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fewshot_audio.engine.baselines import linear_probe_scores, log_mel_statistics


@pytest.mark.parametrize(("way", "rows", "width"), [(2, 1, 3), (5, 5, 16), (3, 20, 8)])
def test_the_linear_probe_is_scikit_learns_logistic_regression(way: int, rows: int, width: int) -> None:
    random = torch.Generator().manual_seed(way)
    support = torch.randn(2, way, rows, width, generator=random) + 2 * torch.randn(2, way, 1, width, generator=random)
    queries = torch.randn(2, 7, width, generator=random)
    scores = linear_probe_scores(support.double(), queries.double())
    for task in range(2):
        x, q = (torch.nn.functional.normalize(t[task].double(), dim=-1).numpy() for t in (support, queries))
        # Two classes have one column in scikit-learn, v = 2 w, and with it a penalty twice as strong.
        fitted = LogisticRegression(C=1.0 if way > 2 else 2.0, tol=1e-10, max_iter=10_000)
        fitted.fit(x.reshape(-1, width), np.repeat(np.arange(way), rows))
        np.testing.assert_allclose(scores[task].exp().numpy(), fitted.predict_proba(q), atol=2e-5)


def test_tasks_do_not_influence_each_other() -> None:
    random = torch.Generator().manual_seed(0)
    support, queries = torch.randn(4, 3, 2, 6, generator=random), torch.randn(4, 5, 6, generator=random)
    together = linear_probe_scores(support, queries)
    for task in range(4):
        alone = linear_probe_scores(support[task : task + 1], queries[task : task + 1])
        torch.testing.assert_close(together[task : task + 1], alone, atol=1e-5, rtol=1e-5)


def test_statistics_are_mean_and_deviation_over_time() -> None:
    features = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[2.0, 6.0], [4.0, 4.0]]])
    torch.testing.assert_close(log_mel_statistics(features), torch.tensor([[2.0, 0.0, 1.0, 0.0], [4.0, 4.0, 2.0, 0.0]]))
