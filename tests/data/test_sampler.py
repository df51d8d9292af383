"""Episodes of any labels as batches of indices: well-formed, reproducible, with workers, and refused by name."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.data.sampler import EpisodeSampler
from fewshot_audio.errors import DataError
from fewshot_audio.functional.labeled_batch import split_batch
from tests.numerics import global_generator_untouched

LABELS = [number % 6 for number in range(60)]


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(3, 6), min_size=2, max_size=6),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 1000),
    data=st.data(),
)
def test_batches_are_episodes_that_the_losses_take(
    counts: list[int], seed: int, epoch: int, data: st.DataObject
) -> None:
    n_way, n_shot = data.draw(st.integers(2, len(counts))), data.draw(st.integers(1, 2))
    labels = torch.tensor([5 - 3 * c for c, count in enumerate(counts) for _ in range(count)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    sampler = EpisodeSampler(labels, n_way, n_shot, 3 - n_shot, episodes=4, seed=seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 4
    for batch in batches:
        assert all(type(index) is int for index in batch)
        assert len(set(batch)) == len(batch) == 3 * n_way
        own = labels[batch]
        rows = split_batch(torch.tensor(batch, dtype=torch.float64).unsqueeze(1), own, n_shot)
        assert rows.support.shape == (n_way, n_shot, 1)
        assert rows.labels.tolist() == [c for c in range(n_way) for _ in range(3 - n_shot)]
        # Class by class, support before queries.
        assert [own[i].item() for i in range(0, len(batch), 3)] == sorted(set(own.tolist()))
        in_order = torch.tensor(batch).view(n_way, 3)
        assert rows.support.flatten().tolist() == in_order[:, :n_shot].flatten().tolist()


def test_they_are_the_episodes_of_the_package() -> None:
    index = ClipIndex(np.arange(61), {str(c): np.arange(c, 60, 6) for c in range(6)})
    episodes = Episodes(index, list(index.by_class), 3, 2, 4, seed=7, phase="train")
    sampler = EpisodeSampler(LABELS, 3, 2, 4, episodes=5, seed=7)
    sampler.set_epoch(2)
    for task, batch in enumerate(sampler):
        episode = episodes.episode(2, task)
        assert batch == np.concatenate([episode.support, episode.query], axis=1).flatten().tolist()


@pytest.mark.parametrize(
    "labels",
    [
        [f"class-{label}" for label in LABELS],
        tuple(LABELS),
        np.array(LABELS, np.int16),
        np.array([f"class-{label}" for label in LABELS], object),
        torch.tensor(LABELS),
    ],
)
def test_the_kind_of_labels_does_not_matter(labels: Any) -> None:
    assert list(EpisodeSampler(labels, 3, 2, 2, 5, 1)) == list(EpisodeSampler(LABELS, 3, 2, 2, 5, 1))


def test_seed_and_epoch_decide_the_episodes() -> None:
    with global_generator_untouched():
        sampler, again, other = (EpisodeSampler(LABELS, 3, 2, 2, 10, seed) for seed in (1, 1, 2))
        epochs = []
        for epoch in range(4):
            sampler.set_epoch(epoch)
            epochs.append(list(sampler))
            assert list(sampler) == epochs[-1]  # an epoch is drawn again as it was
    assert list(again) == epochs[0] != list(other)
    again.set_epoch(3)
    assert list(again) == epochs[3]
    batches = [tuple(batch) for epoch in epochs for batch in epoch]
    assert len(set(batches)) == len(batches)


def test_every_item_has_its_turn() -> None:
    drawn = Counter(index for batch in EpisodeSampler(LABELS, 3, 2, 2, episodes=500) for index in batch)
    assert set(drawn) == set(range(60))
    assert min(drawn.values()) > 50  # 100 expected


class Items(Dataset[tuple[torch.Tensor, int]]):
    """Item i is the number i, of class i % 6."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(index)]), index % 6


def test_a_loader_gives_the_batches_of_the_sampler() -> None:
    """Without workers: the loader asks its batch sampler in this process anyway, and forks of a test process die."""
    sampler = EpisodeSampler(LABELS, 3, 2, 2, episodes=6, seed=3)
    loader = DataLoader(Items(), batch_sampler=sampler)
    assert len(loader) == 6
    for epoch in range(2):
        sampler.set_epoch(epoch)
        expected = EpisodeSampler(LABELS, 3, 2, 2, episodes=6, seed=3)
        expected.set_epoch(epoch)
        batches = list(loader)
        assert [items.flatten().int().tolist() for items, _ in batches] == list(expected)
        for items, labels in batches:
            assert labels.tolist() == (items.flatten().int() % 6).tolist()


@pytest.mark.parametrize(
    ("labels", "sizes", "message"),
    [
        (["cat"] * 9 + ["dog"] * 8, (5, 1, 1), r"n_way is 5, but the labels have 2 classes: 'cat' \(9\), 'dog' \(8\)"),
        ([], (2, 1, 1), "n_way is 2, but the labels have 0 classes: none"),
        (
            ["cat"] * 9 + ["dog"] * 3 + ["owl"] * 2,
            (2, 3, 1),
            r"n_shot \+ n_query is 4 items of each class, but there are smaller classes: 'dog' \(3\), 'owl' \(2\)$",
        ),
        ([4] * 9 + [-1] * 3, (2, 3, 1), r"smaller classes: '-1' \(3\)$"),
    ],
)
def test_too_few_classes_or_items_are_named(labels: list[Any], sizes: tuple[int, int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EpisodeSampler(labels, *sizes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_way": 1}, "n_way is 1, expected 2 or more"),
        ({"n_shot": 0}, "n_shot is 0"),
        ({"n_query": 0}, "n_query is 0"),
        ({"episodes": 0}, "episodes is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(LABELS, **values)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0, 1], [0, 1]], torch.ones(4), [True, False], [None, "a"]])
def test_what_is_no_list_of_labels_is_refused(labels: Sequence[Any]) -> None:
    with pytest.raises(ValueError, match="expected one integer or name for each item"):
        EpisodeSampler(labels)


def test_negative_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="epoch is -1"):
        EpisodeSampler(LABELS).set_epoch(-1)
