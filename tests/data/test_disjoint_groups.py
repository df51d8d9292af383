"""Episodes whose support and query share no source recording."""

import itertools
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.disjoint_groups import check_groups, smallest_subset
from fewshot_audio.data.episodes import Episode, Episodes
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from tests.tiny import CLIPS, NAME, tiny_configs, write_tiny_groups


def index_of(classes: list[list[int]]) -> ClipIndex:
    """Classes c0, c1, ... of clips with the given groups, one segment a clip."""
    groups = [group for clips in classes for group in clips]
    bounds = np.cumsum([0, *(len(clips) for clips in classes)])
    by_class = {f"c{c}": np.arange(bounds[c], bounds[c + 1]) for c in range(len(classes))}
    return ClipIndex(np.arange(len(groups) + 1), by_class, np.array(groups))


def sampler(index: ClipIndex, way: int, shot: int, query: int, **options: Any) -> Episodes:
    how = {"seed": 0, "phase": "train", "disjoint_groups": True, **options}
    return Episodes(index, list(index.by_class), way, shot, query, **how)


def plain(episode: Episode) -> list[Any]:
    return [value.tolist() for value in vars(episode).values()]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 6), max_size=7), st.integers(0, 20))
def test_the_fewest_that_are_enough(sizes: list[int], needed: int) -> None:
    sums = [sum(part) for n in range(len(sizes) + 1) for part in itertools.combinations(sizes, n)]
    enough = [total for total in sums if total >= needed]
    chosen = smallest_subset(sizes, needed)
    assert (chosen is None) == (not enough)
    if chosen is not None:
        assert len(set(chosen)) == len(chosen)
        assert sum(sizes[i] for i in chosen) == min(enough)


def possible(groups: list[int], shot: int, query: int) -> bool:
    """By trying every choice of groups for the support."""
    sizes = Counter(groups)
    parts = [part for n in range(len(sizes) + 1) for part in itertools.combinations(sizes, n)]
    totals = [sum(sizes[group] for group in part) for part in parts]
    return any(total >= shot and len(groups) - total >= query for total in totals)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_support_and_query_share_no_group_wherever_that_is_possible(data: st.DataObject) -> None:
    shot, query = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    clips = st.lists(st.integers(0, 4), min_size=shot + query, max_size=10)
    classes = [[10 * c + group for group in data.draw(clips)] for c in range(2)]
    index = index_of(classes)
    assert index.groups is not None
    if all(possible(groups, shot, query) for groups in classes):
        check_groups(index.groups, index.by_class, shot, query, "train")
        episode = sampler(index, 2, shot, query).episode(0, data.draw(st.integers(0, 100)))
        support, query_clips = episode.support, episode.query_clips
        assert not set(index.groups[support].ravel()) & set(index.groups[query_clips].ravel())
        for row, name in enumerate(index.by_class):
            drawn = [*support[row], *query_clips[row]]
            assert len(set(drawn)) == shot + query
            assert set(drawn) <= set(index.by_class[name])
    else:
        with pytest.raises(DataError, match="cannot offer"):
            check_groups(index.groups, index.by_class, shot, query, "train")


def test_groups_that_only_one_choice_keeps_apart() -> None:
    index = index_of([[0] * 5 + [1] * 5, [2] * 5 + [3] * 5])
    sides = {tuple(sampler(index, 2, 5, 5).episode(0, task).support[0] // 5) for task in range(20)}
    assert sides == {(0,) * 5, (1,) * 5}


def test_a_recording_of_several_classes_stays_on_one_side() -> None:
    index = index_of([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7]])
    assert index.groups is not None
    for task in range(50):
        episode = sampler(index, 2, 2, 2).episode(0, task)
        assert not set(index.groups[episode.support].ravel()) & set(index.groups[episode.query_clips].ravel())
    crossed = index_of([[0, 1], [0, 1], [0, 1]])
    assert {tuple(sampler(crossed, 3, 1, 1).episode(0, t).support.ravel() % 2) for t in range(9)} == {
        (0,) * 3,
        (1,) * 3,
    }
    shared = index_of([[0, 0, 1], [0, 1, 1], [2, 0, 1]])
    with pytest.raises(DataError, match="class 'c1' shares so many"):
        [sampler(shared, 2, 2, 1).episode(0, task) for task in range(20)]


def test_episodes_are_a_pure_function_and_those_without_groups_are_what_they_were() -> None:
    index = index_of([[10 * c + i // 2 for i in range(12)] for c in range(6)])
    one, other = sampler(index, 3, 2, 2), sampler(index, 3, 2, 2)
    drawn = [plain(one.episode(epoch, task)) for epoch in range(2) for task in range(5)]
    assert drawn == [plain(other.episode(epoch, task)) for epoch in range(2) for task in range(5)]
    assert drawn != [plain(sampler(index, 3, 2, 2, seed=1).episode(e, t)) for e in range(2) for t in range(5)]
    unknown = ClipIndex(index.offsets, index.by_class)
    off = [plain(sampler(index, 3, 2, 2, disjoint_groups=False).episode(0, task)) for task in range(5)]
    assert off == [plain(sampler(unknown, 3, 2, 2).episode(0, task)) for task in range(5)]


def test_every_clip_has_its_chance() -> None:
    index = index_of([[10 * c + i // 3 for i in range(12)] for c in range(3)])
    counts = Counter(sampler(index, 3, 1, 1).episode(0, task).support.ravel().tolist()[0] for task in range(1200))
    assert set(counts) == set(range(12))
    assert max(counts.values()) < 2 * min(counts.values())


# In an experiment


@pytest.fixture
def root(tiny_dataset: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_dataset / NAME, tmp_path / NAME)
    return tmp_path


def test_an_experiment_keeps_recordings_apart(root: Path, tmp_path: Path) -> None:
    write_tiny_groups(DatasetFolder(root / NAME), per_group=4)
    experiment, model = tiny_configs({"disjoint_groups": True, "num_epochs": 1})
    run_experiment(experiment, model, root, tmp_path / "out")
    run = Run.read(tmp_path / "out" / "tiny" / "run-1")
    assert run.experiment.disjoint_groups
    together = experiment.model_copy(update={"disjoint_groups": False})
    assert evaluate_run(run, root, together).tasks == 10
    dataset = open_dataset(root, experiment)
    groups = dataset.data.store.index.groups
    assert groups is not None
    assert len(set(groups.tolist())) == len(groups) // 4


def test_too_few_recordings_are_refused_before_any_work(root: Path, tmp_path: Path) -> None:
    write_tiny_groups(DatasetFolder(root / NAME), per_group=CLIPS)
    experiment, model = tiny_configs({"disjoint_groups": True})
    with pytest.raises(DataError, match=r"10 classes of the train split.*'class-00' \(12 clips of 1 recording\)"):
        run_experiment(experiment, model, root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_knows_no_recordings(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset(root, tiny_configs({"disjoint_groups": True})[0])
    assert "it has no effect" in caplog.text
    groups = dataset.data.store.index.groups
    assert groups is not None
    assert len(set(groups.tolist())) == len(groups)


def test_a_damaged_clips_csv_is_named(root: Path) -> None:
    folder = DatasetFolder(root / NAME)
    folder.clips.write_text("class,clip\n")
    with pytest.raises(DataError, match=r"clips\.csv: column 'group' is missing"):
        SegmentStore.open(folder).read_groups(folder.clips)
