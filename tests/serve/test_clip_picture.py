"""The map's projection and a picture's columns, against plain algebra."""

import itertools

import numpy as np
import pytest

from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.serve.clip_picture import MAX_COLUMNS, reduce_columns


@pytest.mark.parametrize(("count", "width"), [(12, 5), (3, 8), (2, 4)])
def test_principal_axes_are_eigenvectors_of_the_covariance(count: int, width: int) -> None:
    values = np.random.default_rng(count).normal(size=(count, width)) * np.arange(1, width + 1)
    components = PrincipalComponents.fit(values)
    sizes, vectors = np.linalg.eigh(np.cov(values.T))
    for axis in range(min(2, count - 1)):
        expected = vectors[:, -1 - axis]
        expected *= np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(components.axes[axis], expected, atol=1e-9)
        assert components.explained[axis] == pytest.approx(sizes[-1 - axis] / sizes.sum())
    np.testing.assert_allclose(components.project(values), (values - values.mean(0)) @ components.axes.T)
    np.testing.assert_allclose(components.project(values[0]), components.project(values)[0])


@pytest.mark.parametrize("values", [np.ones((1, 4)), np.ones((5, 4)), np.zeros((3, 4)), np.ones((2, 1))])
def test_clips_that_are_all_alike_lie_in_the_middle(values: np.ndarray) -> None:
    components = PrincipalComponents.fit(values)
    np.testing.assert_array_equal(components.project(values), 0)
    assert components.explained == (0.0, 0.0)


def test_two_clips_span_one_axis() -> None:
    components = PrincipalComponents.fit(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(
        components.project(np.array([[0.0, 0.0], [3.0, 4.0]])), [[-2.5, 0], [2.5, 0]], atol=1e-12
    )
    assert components.explained == (1.0, 0.0)


@pytest.mark.parametrize("length", [1, MAX_COLUMNS - 1, MAX_COLUMNS, MAX_COLUMNS + 1, 3 * MAX_COLUMNS + 7])
def test_columns_keep_every_extreme(length: int) -> None:
    rows = np.random.default_rng(length).normal(size=(2, length))
    reduced = reduce_columns(rows, np.maximum)
    assert reduced.shape == (2, min(length, MAX_COLUMNS))
    edges = [k * length // reduced.shape[1] for k in range(reduced.shape[1] + 1)]
    expected = [[max(row[a:b]) for a, b in itertools.pairwise(edges)] for row in rows]
    np.testing.assert_array_equal(reduced, expected)
