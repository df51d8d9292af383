"""What choices are based on has no test classes; folds are equal parts of the rest."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.layout import find_dataset
from fewshot_audio.data.selection import select_classes
from fewshot_audio.data.splits import Splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.studies.holdout import check_training, hold_out, make_folds, open_development
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_groups


@pytest.fixture(scope="module")
def store(tiny_dataset: Path) -> SegmentStore:
    return SegmentStore.open(find_dataset(tiny_dataset, "Tiny"))


@settings(deadline=None, max_examples=20)
@given(st.sets(st.integers(0, 23), min_size=1))
def test_a_selection_holds_the_chosen_classes_and_nothing_else(store: SegmentStore, chosen: set[int]) -> None:
    names = [store.classes[number] for number in sorted(chosen)]
    selected = select_classes(store, names)
    assert selected.classes == tuple(names)
    assert selected.shape == store.shape
    expected = []
    for name in names:
        clips, originals = selected.index.by_class[name], store.index.by_class[name]
        assert [selected.clips[clip] for clip in clips] == [store.clips[clip] for clip in originals]
        for clip, original in zip(clips.tolist(), originals.tolist(), strict=True):
            own, others = selected.index.segments(clip), store.index.segments(original)
            np.testing.assert_array_equal(selected.read(np.array(own)), store.read(np.array(others)))
            expected += list(others)
    total = selected.segments.shape[0]
    assert total == len(expected) == selected.index.offsets[-1]
    everything = np.sort(selected.read(np.arange(-total, total)).sum((1, 2)))  # negative indices wrap around inside
    np.testing.assert_array_equal(everything, np.sort(np.tile(store.read(np.array(expected)).sum((1, 2)), 2)))
    for outside in (total, -total - 1):
        with pytest.raises(IndexError):
            selected.read(np.array([outside]))


def test_a_selection_knows_the_source_recordings(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path)
    write_tiny_groups(folder, 3)
    whole = SegmentStore.open(folder)
    whole.read_groups(folder.clips)
    selected = select_classes(whole, ["class-03", "class-20"])
    groups, originals = selected.index.groups, whole.index.groups
    assert groups is not None
    assert originals is not None
    for name in selected.classes:
        assert groups[selected.index.by_class[name]].tolist() == originals[whole.index.by_class[name]].tolist()


def test_an_opened_development_set_has_no_test_classes(tiny_dataset: Path, splits: Splits) -> None:
    dataset = open_development(tiny_dataset, tiny_configs()[0])
    assert dataset.data.splits == Splits(splits.train, splits.validation, ())
    store = dataset.data.store
    assert set(store.index.by_class) == set(store.classes) == set(splits.train + splits.validation)
    counts = np.diff(store.index.offsets)
    assert store.segments.shape[0] == counts.sum() == 17 * 24  # 12 clips of 1, 2 and 3 segments a class


def test_its_fingerprint_ignores_what_happens_to_test_classes(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path)
    experiment, _ = tiny_configs()
    before = open_development(tmp_path, experiment).fingerprint
    (folder.features / "class-23" / "clip-00.npy").unlink()
    assert open_development(tmp_path, experiment).fingerprint == before
    (folder.features / "class-00" / "clip-00.npy").unlink()
    assert open_development(tmp_path, experiment).fingerprint != before


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.data())
def test_folds_are_equal_parts_that_depend_on_the_set_and_the_seed(classes: int, data: st.DataObject) -> None:
    names = [f"class {number}" for number in range(classes)]
    count, seed = data.draw(st.integers(2, classes)), data.draw(st.integers(0, 99))
    folds = make_folds(names, count, seed)
    assert len(folds) == count
    assert sorted(name for fold in folds for name in fold) == sorted(names)
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert folds == make_folds(names[::-1], count, seed)
    assert all(list(fold) == sorted(fold) for fold in folds)


def test_another_seed_deals_other_folds() -> None:
    names = [f"class {number}" for number in range(40)]
    assert [len(fold) for fold in make_folds(names, 5, 0)] == [8] * 5
    assert make_folds(names, 5, 0) != make_folds(names, 5, 1)
    with pytest.raises(ConfigError, match="41 folds of 40 classes"):
        make_folds(names, 41, 0)


def test_a_fold_trains_on_the_rest_and_validates_on_nothing(tiny_dataset: Path, splits: Splits) -> None:
    dataset = open_development(tiny_dataset, tiny_configs()[0])
    fold = hold_out(dataset, ("class-02", "class-12"))
    development = splits.train + splits.validation
    assert fold.data.splits.test == ("class-02", "class-12")
    assert fold.data.splits.train == tuple(name for name in development if name not in ("class-02", "class-12"))
    assert fold.data.splits.validation == ()


def test_what_a_fold_cannot_offer_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path)
    write_tiny_groups(folder, 6)  # two recordings a class: 2 shots and 2 queries fit, 7 shots do not
    experiment, model = tiny_configs({"disjoint_groups": True})
    fold = hold_out(open_development(tmp_path, experiment), ("class-00", "class-01", "class-02"))
    check_training(fold, experiment, model, ("train", "test"))
    with pytest.raises(DataError, match="3 classes of the test split cannot offer 7 support"):
        check_training(fold, experiment.model_copy(update={"n_shot_test": 7}), model, ("test",))
    with pytest.raises(ConfigError, match="n_way_test is 3, but the test split has 2 classes"):
        check_training(hold_out(fold, ("class-00", "class-01")), experiment, model, ("test",))
