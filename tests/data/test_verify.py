"""``info --verify``: every clip and every packed segment is compared with its checksum."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import read_norm, write_norm
from fewshot_audio.data.packed_store import SEGMENTS
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.verify import verify_dataset
from tests.data.recordings import SMALL, class_folders
from tests.data.test_info import foreign
from tests.data.test_store import packed
from tests.data.test_store_damage import flip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify")
    folder = DatasetFolder(root / "Mine")
    prepare(ClassFolders(class_folders(root / "source", classes=15, clips=2)), folder, SMALL, waveforms=True, workers=1)
    SegmentStore.open(folder)
    SegmentStore.open(folder, precision="float16")
    return folder.path


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> DatasetFolder:
    return DatasetFolder(Path(shutil.copytree(prepared, tmp_path / "Mine")))  # with the times of the files


def test_an_intact_folder(folder: DatasetFolder) -> None:
    before = len(SegmentStore.open(folder).segments)
    verification = verify_dataset(folder)
    assert (verification.clips, verification.unknown, verification.damaged) == (60, 0, ())
    assert verification.segments == 2 * before
    assert verification.norm_differs is False


def test_a_folder_of_another_tool(tmp_path: Path) -> None:
    verification = verify_dataset(foreign(tmp_path))
    assert (verification.clips, verification.unknown, verification.segments) == (0, 3, 0)
    assert verification.norm_differs is None


@pytest.mark.parametrize("kind", ["features", "waveforms"])
@pytest.mark.parametrize("gone", [False, True])
def test_damaged_and_missing_clips_are_named(folder: DatasetFolder, kind: str, gone: bool) -> None:
    path = sorted(getattr(folder, kind).rglob("*.npy"))[7]
    path.unlink() if gone else flip(path, -1)
    assert verify_dataset(folder).damaged == (path,)


def test_a_damaged_store_is_packed_anew(folder: DatasetFolder, caplog: pytest.LogCaptureFixture) -> None:
    store = SegmentStore.open(folder, precision="float16")
    expected = store.segments[:].copy()
    flip(packed(store).path / SEGMENTS, -1)
    verify_dataset(folder)
    assert "packed anew" in caplog.text
    assert np.array_equal(SegmentStore.open(folder, precision="float16").segments[:], expected)


def test_other_normalization_numbers_are_told(folder: DatasetFolder) -> None:
    mean, std = read_norm(folder.norm_stats)
    write_norm(folder.norm_stats, mean + 1e-3, std)
    assert verify_dataset(folder).norm_differs
