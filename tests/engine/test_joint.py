"""Joint training: several dataset folders as one dataset, and which classes meet in an episode."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.config import PHASES
from fewshot_audio.data.device_cache import DeviceCache
from fewshot_audio.data.episodes import Episodes
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.selection import select_classes
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine import fit
from fewshot_audio.errors import ConfigError, DataError, Interrupted
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.studies.holdout import open_development
from tests.tiny import CLASSES, MEAN, NAME, STD, tiny_configs, write_tiny_dataset, write_tiny_groups

JOINT = f"{NAME}+Other"
OTHER_MEAN, OTHER_STD = -20.0, 5.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets whose classes have the same names and, in the second, other normalization numbers."""
    root = tmp_path_factory.mktemp("joint")
    write_tiny_dataset(root)
    other = write_tiny_dataset(root, "Other", seed=1)
    write_norm(other.norm_stats, OTHER_MEAN, OTHER_STD)
    return root


def joint(changes: dict[str, Any] | None = None) -> tuple[Any, Any]:
    return tiny_configs({"dataset_name": JOINT} | (changes or {}))


def test_the_union_holds_every_clip_of_every_dataset_under_its_datasets_name(root: Path) -> None:
    folders = DatasetFolders.find(root, JOINT)
    store = folders.open_store()
    single = {name: SegmentStore.open(DatasetFolder(root / name)) for name in (NAME, "Other")}
    assert set(store.classes) == {f"{dataset}/{name}" for dataset, of in single.items() for name in of.classes}
    for dataset, of in single.items():
        for name in of.classes:
            joined, alone = store.index.by_class[f"{dataset}/{name}"], of.index.by_class[name]
            assert [store.clips[clip] for clip in joined] == [of.clips[clip] for clip in alone]
            for clip, same in zip(joined, alone, strict=True):
                segments, expected = store.index.segments(clip), of.index.segments(same)
                assert np.array_equal(store.read(np.array(segments)), of.read(np.array(expected)))


def test_rows_of_the_union_are_reached_as_an_arrays_are(root: Path) -> None:
    store = DatasetFolders.find(root, JOINT).open_store(precision="float16")
    parts = [SegmentStore.open(DatasetFolder(root / name), precision="float16").segments for name in (NAME, "Other")]
    whole = np.concatenate([np.asarray(part[:]) for part in parts])
    rows, border = store.segments, len(parts[0])
    assert (rows.shape, rows.nbytes, len(rows)) == (whole.shape, whole.nbytes, len(whole))
    for indices in (
        0,
        border,
        -1,
        slice(border - 2, border + 3),
        slice(0, 0),
        np.array([[border, 0], [3, border + 1]]),
    ):
        assert rows[indices].dtype == whole.dtype
        assert np.array_equal(rows[indices], whole[indices])
    with pytest.raises(IndexError):
        rows[len(whole)]
    assert torch.equal(
        DeviceCache(store, torch.device("cpu")).fetch(np.array([border, 1])),
        torch.from_numpy(whole[[border, 1]]).float(),
    )


def test_splits_are_the_unions_and_no_test_class_is_trained_on(root: Path) -> None:
    splits = DatasetFolders.find(root, JOINT).read_splits()
    assert [len(splits[phase]) for phase in PHASES] == [20, 14, 14]
    assert splits.train[:1] + splits.train[10:11] == (f"{NAME}/class-00", "Other/class-00")
    assert len(set(splits.classes)) == 2 * CLASSES


def test_normalization_pools_the_datasets_each_counting_the_same(root: Path) -> None:
    random = np.random.default_rng(0)
    values = [random.normal(size=100_000) for _ in range(2)]
    values = [(value - value.mean()) / value.std() for value in values]
    mixture = np.concatenate([MEAN + STD * values[0], OTHER_MEAN + OTHER_STD * values[1]])
    assert DatasetFolders.find(root, JOINT).read_norm() == pytest.approx((mixture.mean(), mixture.std()))


def test_one_folder_is_what_it_was(root: Path) -> None:
    folders = DatasetFolders.find(root, NAME.lower())
    assert folders.name == NAME
    assert folders.read_norm() == (MEAN, STD)
    assert "class-00" in folders.read_splits().train
    assert folders.open_store().index.datasets is None


@pytest.mark.parametrize("sampling", ["within", "free"])
def test_an_episode_has_one_dataset_or_any(root: Path, sampling: Any) -> None:
    data = open_dataset(root, joint()[0]).data
    names = data.splits.train
    sampler = Episodes(data.store.index, names, 3, 2, 2, seed=0, phase="train", joint_sampling=sampling)
    drawn = [frozenset(names[c].split("/")[0] for c in sampler.episode(0, task).classes) for task in range(400)]
    count = Counter(drawn)
    if sampling == "within":
        assert set(count) == {frozenset({NAME}), frozenset({"Other"})}
        assert abs(count[frozenset({NAME})] - 200) < 60  # six deviations
    else:  # three of twenty classes are of one dataset with probability 4/19
        assert abs(count[frozenset({NAME, "Other"})] - 400 * 15 / 19) < 50
    again = Episodes(data.store.index, names, 3, 2, 2, seed=0, phase="train", joint_sampling=sampling)
    for task in (7, 3):
        one, other = vars(sampler.episode(2, task)), vars(again.episode(2, task))
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_datasets_are_as_likely_as_each_other_whatever_their_size(root: Path, tmp_path: Path) -> None:
    data = open_dataset(root, joint()[0]).data
    names = [*data.splits.train[:3], *data.splits.train[10:]]  # 3 classes of one, 10 of the other
    sampler = Episodes(data.store.index, names, 3, 2, 2, seed=1, phase="train")
    small = sum(int(sampler.episode(0, task).classes.max()) < 3 for task in range(400))
    assert abs(small - 200) < 60


def test_one_dataset_draws_the_episodes_that_it_always_drew(root: Path) -> None:
    data = open_dataset(root, tiny_configs()[0]).data
    sampler = Episodes(data.store.index, data.splits.train, 3, 2, 2, seed=0, phase="train")
    assert [sampler.episode(0, task).classes.tolist() for task in range(3)] == [[0, 6, 8], [4, 5, 9], [2, 7, 8]]
    assert sampler.episode(0, 0).support.tolist() == [[12, 21], [153, 162], [212, 210]]


def test_classes_that_are_left_out_leave_the_datasets_of_the_others(root: Path) -> None:
    development = open_development(root, joint()[0])
    index = development.data.store.index
    assert index.datasets is not None
    assert set(index.datasets) == set(index.by_class) == set(development.data.splits.classes)
    one = select_classes(development.data.store, [f"Other/class-{number:02}" for number in range(3)])
    assert one.index.datasets == {f"Other/class-{number:02}": "Other" for number in range(3)}


def test_source_recordings_of_two_datasets_are_never_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for seed, name in enumerate((NAME, "Other")):
        write_tiny_groups(write_tiny_dataset(tmp_path, name, seed=seed), per_group=4)
    folders = DatasetFolders.find(tmp_path, JOINT)
    store = folders.open_store(groups=True)
    groups = store.index.groups
    assert groups is not None
    alone = []
    for member in folders.members:
        of = SegmentStore.open(member)
        of.read_groups(member.clips)
        assert of.index.groups is not None
        alone.append(of.index.groups)
    border = len(alone[0])
    for part, expected in ((groups[:border], alone[0]), (groups[border:], alone[1])):
        assert np.array_equal(part[:, None] == part, expected[:, None] == expected)
    assert not set(groups[:border]) & set(groups[border:])
    folders.members[1].clips.unlink()
    with caplog.at_level(logging.WARNING):
        kept = folders.open_store(groups=True).index.groups
    assert kept is not None
    assert len(set(kept[border:])) == len(kept) - border, "a clip of unknown origin is a group itself"
    assert f"{folders.members[1].clips} names no source recordings" in caplog.text
    assert str(folders.members[0].clips) not in caplog.text


def test_a_jointly_trained_network_keeps_its_normalization_whatever_it_is_tested_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for seed, name in enumerate((NAME, "Other", "Third")):
        write_tiny_dataset(data, name, seed=seed)
    write_norm(DatasetFolder(data / "Other").norm_stats, OTHER_MEAN, OTHER_STD)
    experiment, model = joint({"num_epochs": 1})
    results = run_experiment(experiment, model, data, tmp_path)
    assert results.dataset == JOINT
    run = Run.read(tmp_path / experiment.experiment_folder / "run-1")
    network = run.trained_network()
    actual = network.norm_mean.item(), network.norm_std.item()
    assert actual == pytest.approx(DatasetFolders.find(data, JOINT).read_norm(), rel=1e-6)

    def test() -> dict[str, float]:
        configs = {name: experiment.model_copy(update={"dataset_name": name}) for name in (NAME, "Other", "Third")}
        return {name: evaluate_run(run, data, config).accuracy for name, config in configs.items()}

    before = test()
    for name in before:
        write_norm(DatasetFolder(data / name).norm_stats, 0, 1)
    assert test() == before
    assert evaluate_run(run, data, experiment).accuracy == results.accuracy


def test_an_interrupted_joint_training_goes_on_to_the_same_bits(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, model = joint({"num_epochs": 3, "joint_sampling": "free"})
    run_experiment(experiment, model, root, tmp_path / "whole")
    real = fit.train_run

    def stop(*args: Any, **options: Any) -> Any:
        def after(epoch: Any, *_: Any) -> None:
            raise Interrupted("interrupted")

        return real(*args, **options, after_epoch=after)

    monkeypatch.setattr(fit, "train_run", stop)
    with pytest.raises(Interrupted):
        run_experiment(experiment, model, root, tmp_path / "broken")
    monkeypatch.undo()
    run_experiment(experiment, model, root, tmp_path / "broken", resume=True)
    one, two = (
        Run.read(tmp_path / name / experiment.experiment_folder / "run-1").trained_network().state_dict()
        for name in ("whole", "broken")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_change_of_any_dataset_changes_the_fingerprint(tmp_path: Path) -> None:
    for seed, name in enumerate((NAME, "Other")):
        write_tiny_dataset(tmp_path, name, seed=seed)
    experiment, _ = joint()
    before = open_dataset(tmp_path, experiment).fingerprint
    write_norm(DatasetFolder(tmp_path / "Other").norm_stats, MEAN, STD + 1)
    assert open_dataset(tmp_path, experiment).fingerprint != before


# What does not fit


def other_shape(root: Path) -> None:
    folder = DatasetFolder(root / "Other")
    for path in folder.features.rglob("*.npy"):
        np.save(path, np.load(path)[..., :24])


def other_preprocessing(root: Path) -> None:
    for name, rate in ((NAME, 16_000), ("Other", 8_000)):
        DatasetFolder(root / name).preprocessing.write_text(Preprocessing(sample_rate=rate).to_json())


def few_classes(root: Path) -> None:
    folder = DatasetFolder(root / "Other")
    names = [f"class-{number:02}" for number in range(CLASSES)]
    write_splits(folder.splits, Splits(tuple(names[:10]), tuple(names[10:17]), tuple(names[17:19])))


@pytest.mark.parametrize(
    ("spoil", "sampling", "error", "parts"),
    [
        (other_shape, "within", DataError, ["(16, 24)", "(16, 32)", "Other", NAME, "--segment-seconds"]),
        (other_preprocessing, "within", DataError, ["Other", "sample_rate=8000", "sample_rate=16000"]),
        (few_classes, "within", ConfigError, ["n_way_test is 3", "test split of Other has 2 classes"]),
    ],
    ids=["shape", "preprocessing", "classes"],
)
def test_datasets_that_do_not_fit_together_are_refused_with_the_reason(
    tmp_path: Path, spoil: Any, sampling: str, error: type[Exception], parts: list[str]
) -> None:
    for seed, name in enumerate((NAME, "Other")):
        write_tiny_dataset(tmp_path, name, seed=seed)
    spoil(tmp_path)
    with pytest.raises(error) as caught:
        open_dataset(tmp_path, joint({"joint_sampling": sampling})[0])
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_free_sampling_needs_the_classes_of_all_datasets_together(tmp_path: Path) -> None:
    for seed, name in enumerate((NAME, "Other")):
        write_tiny_dataset(tmp_path, name, seed=seed)
    few_classes(tmp_path)
    assert len(open_dataset(tmp_path, joint({"joint_sampling": "free"})[0]).data.splits.test) == 9


@pytest.mark.parametrize(
    ("name", "message"),
    [(f"{NAME}+tiny", "twice"), (f"{NAME}+", "missing"), (f"{NAME}+Oter", "nearest: 'Other'")],
    ids=["twice", "missing", "unknown"],
)
def test_names_that_stand_for_no_folders_are_refused(root: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        DatasetFolders.find(root, name)


def test_a_folder_may_have_a_plus_in_its_name(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path, JOINT)
    assert [member.name for member in DatasetFolders.find(tmp_path, JOINT).members] == [JOINT]


def test_preprocessing_and_statistics_are_known_where_all_folders_know_them(tmp_path: Path) -> None:
    members = tuple(write_tiny_dataset(tmp_path, name) for name in (NAME, "Other"))
    folders = DatasetFolders(members)
    assert folders.read_preprocessing() is None
    assert folders.read_wave_stats() is None
    members[0].preprocessing.write_text(Preprocessing().to_json())
    write_wave_stats(members[0].wave_stats, WaveStats(2000.0, 1000.0, 0.2))
    assert folders.read_preprocessing() is None
    assert folders.read_wave_stats() is None
    members[1].preprocessing.write_text(Preprocessing().to_json())
    write_wave_stats(members[1].wave_stats, WaveStats(4000.0, 2000.0, 0.4))
    assert folders.read_preprocessing() == Preprocessing()
    assert folders.read_wave_stats() == WaveStats(3000.0, 1500.0, pytest.approx(0.3))
