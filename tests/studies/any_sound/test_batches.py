"""The pool of segments and the batches drawn from it."""

from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import DataError
from fewshot_audio.studies.any_sound.batches import LENGTHS, draw_batch
from fewshot_audio.studies.any_sound.pool import SILENT, TrainingPool, audible_lengths, read_pool
from tests.tiny import CLASSES, CLIPS, FRAMES, MELS, write_tiny_dataset


def make_pool() -> TrainingPool:
    """Three classes of two collections; every number of a segment is the segment's number, silence follows."""
    lengths = np.array([20, 60, 400, 40, 60])
    features = np.full((5, 4, 400), -156, dtype=np.float16)
    for number, length in enumerate(lengths):
        features[number, :, :length] = number
    segments = (np.array([0, 1]), np.array([2]), np.array([3, 4]))
    return TrainingPool(features, lengths, ("a/x", "a/y", "b/z"), segments, np.array([0, 0, 1]), ("a", "b"))


def test_a_pool_has_all_classes_but_the_excluded_ones(tmp_path: Path) -> None:
    for name in ("A", "B"):
        write_tiny_dataset(tmp_path, name, seed=ord(name))
    folders = DatasetFolders.find(tmp_path, "A+B")
    pool = read_pool(folders, ["A/class-00", "B/class-23"])
    names = [f"{part}/class-{number:02}" for part in "AB" for number in range(CLASSES)]
    assert list(pool.classes) == [name for name in names if name not in ("A/class-00", "B/class-23")]
    assert pool.collections == ("A", "B")
    assert pool.collection_of.tolist() == [0] * 23 + [1] * 23
    assert [len(segments) for segments in pool.segments_of] == [CLIPS * 2] * 46  # of 1 to 3 segments each
    label = pool.classes.index("B/class-05")
    store = folders.open_store()
    first = store.index.segments(int(store.index.by_class["B/class-05"][1]))
    np.testing.assert_array_equal(pool.features[first[0]], store.read(np.array(first[:1]))[0].astype(np.float16))
    assert first[0] in pool.segments_of[label]
    with pytest.raises(DataError, match="there is no class 'A/class-99' to leave out"):
        read_pool(folders, ["A/class-99"])


def test_lengths_end_with_the_last_frame_that_is_not_silent() -> None:
    features = np.full((4, MELS, FRAMES), SILENT - 1, dtype=np.float32)
    features[0, 3, 10] = SILENT + 1
    features[1, 0, FRAMES - 1] = features[1, 0, 0] = -20
    features[2, 0, 0] = -20
    assert audible_lengths(features).tolist() == [11, FRAMES, 1, 1]


def test_collections_are_drawn_by_the_root_of_their_size() -> None:
    np.testing.assert_allclose(make_pool().shares({}), np.sqrt([3, 2]) / np.sqrt([3, 2]).sum())
    np.testing.assert_allclose(make_pool().shares({"b": 4}), np.sqrt([3, 32]) / np.sqrt([3, 32]).sum())


def test_parts_are_of_their_class_and_lie_in_silence_if_they_are_short() -> None:
    pool, random = make_pool(), np.random.default_rng(0)
    segments_seen, starts, lengths = set(), set(), set()
    for _ in range(20):
        features, labels = draw_batch(pool, pool.shares({}), random)
        assert features.shape[2] in LENGTHS
        lengths.add(features.shape[2])
        for part, label in zip(features.numpy(), labels.tolist(), strict=True):
            (segment,) = set(np.unique(part)) - {SILENT}
            segments_seen.add((int(segment), label))
            sound = np.flatnonzero((part != SILENT).all(axis=0))
            assert len(sound) == min(pool.lengths[int(segment)], features.shape[2])
            assert np.all(np.diff(sound) == 1)
            starts.add((features.shape[2], int(segment), sound[0]))
    assert segments_seen == {(0, 0), (1, 0), (2, 1), (3, 2), (4, 2)}
    assert len(lengths) > 3
    assert len({start for length, segment, start in starts if (length, segment) == (64, 0)}) > 5


def test_silent_parts_are_drawn_once_more() -> None:
    """Three quarters of the segment are 60 dB down: of parts drawn once, as many would be."""
    features = np.full((1, 4, 400), -60, dtype=np.float16)
    features[0, :, :68] = 0
    pool = TrainingPool(features, np.array([400]), ("a/x",), (np.array([0]),), np.array([0]), ("a",))
    random = np.random.default_rng(0)
    silent = [
        bool(part.max() < -50)
        for _ in range(60)
        for batch in [draw_batch(pool, pool.shares({}), random)]
        if batch.features.shape[2] <= 64
        for part in batch.features
    ]
    assert len(silent) > 500
    assert 0.4 < np.mean(silent) < 0.72


def test_the_same_seed_draws_the_same_batch() -> None:
    pool = make_pool()
    first, again, other = (draw_batch(pool, pool.shares({}), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.features.equal(again.features)
    assert first.labels.equal(again.labels)
    assert first.features.shape != other.features.shape or not first.features.equal(other.features)
