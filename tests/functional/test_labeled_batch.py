"""A labeled batch is divided as a loop over its rows divides it, and what is no episode is refused by name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.functional.labeled_batch import split_batch
from tests.numerics import generator, normal
from tests.oracles import episode as oracle


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    n_shot=st.integers(1, 3),
    first=st.integers(-(2**40), 2**40),
    seed=st.integers(0, 2**31),
)
def test_as_a_loop_divides_it(counts: list[int], n_shot: int, first: int, seed: int) -> None:
    """Any integers as labels, in any order, with other numbers of queries in each class."""
    rows = [first + 7 * number for number, count in enumerate(counts) for _ in range(n_shot + count)]
    labels = torch.tensor(rows)[torch.randperm(len(rows), generator=generator(seed))]
    embeddings = normal(len(rows), 3, seed=seed)
    prototypes, queries, numbers = oracle.split(embeddings.tolist(), labels.tolist(), n_shot)
    split = split_batch(embeddings, labels, n_shot)
    assert split.support.shape == (len(counts), n_shot, 3)
    assert split.support.mean(1).tolist() == [pytest.approx(row) for row in prototypes]
    assert split.queries.tolist() == queries
    assert split.labels.tolist() == numbers


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_labels_of_any_integer_dtype(dtype: torch.dtype) -> None:
    split = split_batch(torch.eye(4), torch.tensor([5, 3, 3, 5], dtype=dtype), 1)
    assert split.labels.tolist() == [0, 1]
    assert split.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("labels", "n_shot", "message"),
    [
        ([0, 0, 0, 1], 1, r"need 2 rows of each class; found class 1 \(1 row\)"),
        ([7, 7, 9, 9, 4, 4, 4], 2, r"need 3 rows of each class; found class 7 \(2 rows\), class 9 \(2 rows\)$"),
        ([3, 3, 3], 1, r"rows of class 3 \(3 rows\); an episode has at least 2 classes"),
        ([], 1, "rows of no class"),
    ],
)
def test_what_is_no_episode_is_refused_with_its_classes(labels: list[int], n_shot: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_batch(torch.zeros(len(labels), 2), torch.tensor(labels, dtype=torch.int64), n_shot)


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(4), torch.tensor([0, 0, 1, 1]), r"embeddings are \(4,\) of torch.float32"),
        (torch.zeros(4, 2, dtype=torch.int64), torch.tensor([0, 0, 1, 1]), "of torch.int64, expected"),
        (torch.zeros(4, 2), torch.tensor([0, 0, 1]), r"labels are \(3,\), expected one for each of 4 embeddings"),
        (torch.zeros(4, 2), torch.tensor([[0, 0, 1, 1]]), r"labels are \(1, 4\)"),
        (torch.zeros(4, 2), torch.tensor([0.0, 0, 1, 1]), "labels are torch.float32, expected integers"),
        (torch.zeros(4, 2), torch.tensor([False, False, True, True]), "labels are torch.bool, expected integers"),
    ],
)
def test_other_shapes_and_dtypes_are_refused(embeddings: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_batch(embeddings, labels, 1)
