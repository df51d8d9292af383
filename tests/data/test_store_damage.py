"""A damaged store is packed anew from the clips, without a word lost; damaged clips are refused by name."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot_audio.data.device_cache import DeviceCache
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import CHECKSUMS, CLIPS, INDEX, SEGMENT_CHECKSUMS, SEGMENTS
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.selection import select_classes
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.stored_rows import StoredRows
from fewshot_audio.errors import DataError
from tests.data.recordings import SMALL, class_folders
from tests.data.test_store import CLIPS as ARRAYS
from tests.data.test_store import check, packed, write

FILES = (INDEX, CLIPS, SEGMENTS, SEGMENT_CHECKSUMS, CHECKSUMS)


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Flip a bit of a file, whose time stays as it was."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return write(DatasetFolder(tmp_path / "Own"), ARRAYS)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [Path.unlink, truncate, empty, lambda path: flip(path, -2)])
def test_a_damaged_file_of_a_store_is_replaced(
    folder: DatasetFolder, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    damage(packed(SegmentStore.open(folder)).path / name)
    check(SegmentStore.open(folder), ARRAYS)
    assert "packed anew" in caplog.text
    caplog.clear()
    check(SegmentStore.open(folder), ARRAYS)
    assert not caplog.text


def test_any_flipped_bit_is_noticed_or_harmless(folder: DatasetFolder, tmp_path: Path) -> None:
    path = packed(SegmentStore.open(folder)).path
    good = shutil.copytree(path, tmp_path / "good")
    chance = np.random.default_rng(0)
    for name in FILES:
        size = (good / name).stat().st_size
        for position in chance.choice(size, min(size, 60), replace=False).tolist():
            flip(path / name, position, int(chance.integers(8)))
            check(SegmentStore.open(folder), ARRAYS)
            shutil.rmtree(path)
            shutil.copytree(good, path)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_damage_under_an_open_store_is_replaced_while_it_is_read(
    folder: DatasetFolder, caplog: pytest.LogCaptureFixture, precision: str
) -> None:
    """All who read its segments: the cache of a device, joined datasets, selected classes."""
    expected = SegmentStore.open(folder, precision=precision).segments[:].copy()  # type: ignore[arg-type]
    readers: list[Callable[[SegmentStore], object]] = [
        lambda store: store.read(np.arange(8)),
        lambda store: DeviceCache(store, torch.device("cpu")).fetch(np.arange(8)).numpy(),
        lambda store: DeviceCache(store, torch.device("cpu"), free=1 << 30).fetch(np.arange(8)).numpy(),
        lambda store: select_classes(store, store.classes).read(np.arange(8)),
        lambda store: np.stack([store.segments[number] for number in range(8)]),
    ]
    for read in readers:
        caplog.clear()
        store = SegmentStore.open(folder, precision=precision)  # type: ignore[arg-type]
        flip(packed(store).path / SEGMENTS, -40)
        assert np.array_equal(np.asarray(read(store)), expected)
        assert "damaged in 1 segments; packed anew" in caplog.text


def test_damage_in_one_of_two_joined_datasets(folder: DatasetFolder, tmp_path: Path) -> None:
    other = write(DatasetFolder(tmp_path / "Other"), ARRAYS)
    joined = DatasetFolders((folder, other)).open_store()
    flip(packed(SegmentStore.open(other)).path / SEGMENTS, -1)
    expected = SegmentStore.open(folder).segments[:].copy()
    assert np.array_equal(joined.read(np.arange(16)), np.concatenate([expected, expected]))


def test_a_store_that_was_read_and_is_cut_off_then_is_replaced(folder: DatasetFolder) -> None:
    """Reading the mapped file past its end would kill the process."""
    store = SegmentStore.open(folder)
    expected = store.read(np.arange(8))
    with (packed(store).path / SEGMENTS).open("r+b") as stream:
        stream.truncate(200)
    assert np.array_equal(store.read(np.arange(8)), expected)


def test_a_store_that_another_process_has_replaced_is_taken_from_it(
    folder: DatasetFolder, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = SegmentStore.open(folder), SegmentStore.open(folder)
    flip(packed(one).path / SEGMENTS, -1)
    expected = one.read(np.arange(8))
    with caplog.at_level(logging.WARNING):
        times = (packed(one).path / SEGMENTS).stat().st_mtime_ns
        assert np.array_equal(other.read(np.arange(8)), expected)
        assert (packed(other).path / SEGMENTS).stat().st_mtime_ns == times


def test_clips_that_have_changed_cannot_stand_in_for_a_damaged_store(folder: DatasetFolder) -> None:
    store = SegmentStore.open(folder)
    flip(packed(store).path / SEGMENTS, -1)
    path = folder.features / "cat" / "one.npy"
    np.save(path, np.load(path) + 1)
    with pytest.raises(DataError, match="has changed since it was packed: start again"):
        store.read(np.arange(8))


def test_equal_times_do_not_hide_that_clips_have_changed(folder: DatasetFolder) -> None:
    store = SegmentStore.open(folder)
    flip(packed(store).path / SEGMENTS, -1)
    flip(folder.features / "cat" / "one.npy", -1)
    with pytest.raises(DataError, match="its clips are not what they were"):
        store.read(np.arange(8))


def test_a_read_only_store_that_is_damaged_is_packed_into_the_users_cache(
    folder: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SegmentStore.open(folder)
    inside = packed(store).path
    access = os.access
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        os, "access", lambda path, *rest, **how: path != inside.parents[1] and access(path, *rest, **how)
    )
    flip(inside / SEGMENTS, -1)
    check(store, ARRAYS)
    assert tmp_path / "cache" in packed(store).path.parents
    (inside / INDEX).unlink()
    check(SegmentStore.open(folder), ARRAYS)


def test_segments_are_verified_once(folder: DatasetFolder) -> None:
    """Damage after that is not of the file but of the memory, or of the file behind the memory."""
    store = SegmentStore.open(folder)
    assert isinstance(store.segments, StoredRows)
    store.read(np.array([0, 3]))
    assert store.segments._verified.nonzero()[0].tolist() == [0, 3]
    store.segments.verify()
    assert store.segments._verified.all()


# -- prepared clips ----------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path) -> DatasetFolder:
    source = class_folders(tmp_path / "source", classes=15, clips=2)
    folder = DatasetFolder(tmp_path / "Mine")
    prepare(ClassFolders(source), folder, SMALL, waveforms=True, workers=1)
    return folder


@pytest.mark.parametrize("kind", ["features", "waveforms"])
@pytest.mark.parametrize("position", [10, 70, -1])  # in the header, in its shape, in the numbers
def test_a_damaged_clip_is_refused_and_made_anew_by_prepare(
    prepared: DatasetFolder, tmp_path: Path, kind: str, position: int
) -> None:
    root = getattr(prepared, kind)
    path = sorted(root.rglob("*.npy"))[3]
    expected = SegmentStore.open(prepared, kind).segments[:].copy()  # type: ignore[arg-type]
    flip(path, position, 6)
    shutil.rmtree(prepared.path / ".store")
    with pytest.raises(
        DataError, match=r"damaged.*Run `prepare` again.*on purpose, delete .*\.prepare\.jsonl"
    ) as error:
        SegmentStore.open(prepared, kind)  # type: ignore[arg-type]
    assert str(path) in str(error.value)
    report = prepare(ClassFolders(tmp_path / "source"), prepared, SMALL, waveforms=True, workers=1)
    assert report.prepared - report.reused == 1
    assert np.array_equal(SegmentStore.open(prepared, kind).segments[:], expected)  # type: ignore[arg-type]


def test_a_clip_that_was_replaced_on_purpose_is_read_without_the_journal(prepared: DatasetFolder) -> None:
    path = sorted(prepared.features.rglob("*.npy"))[0]
    np.save(path, np.load(path) + 1)
    with pytest.raises(DataError, match="on purpose"):
        SegmentStore.open(prepared)
    (prepared.path / ".prepare.jsonl").unlink()
    assert np.array_equal(SegmentStore.open(prepared).segments[:1], np.load(path)[:1])


def test_a_damaged_line_of_the_journal_costs_its_clip_only(prepared: DatasetFolder, tmp_path: Path) -> None:
    journal = prepared.path / ".prepare.jsonl"
    before = journal.read_bytes()
    mean = before.index(b'"mean": ', 5000) + 12
    flip(journal, mean)
    report = prepare(ClassFolders(tmp_path / "source"), prepared, SMALL, waveforms=True, workers=1)
    assert report.prepared - report.reused == 1
    assert journal.read_bytes() == before


def test_clocks_that_were_set_do_not_matter(prepared: DatasetFolder, tmp_path: Path) -> None:
    """Clips of the future and of the distant past: the store follows their changes, and no clip is made again."""
    for seconds in (4e9, 1.0):
        for path in prepared.features.rglob("*.npy"):
            os.utime(path, (seconds, seconds))
        store = SegmentStore.open(prepared)
        assert len(store.clips) == 30
        report = prepare(ClassFolders(tmp_path / "source"), prepared, SMALL, waveforms=True, workers=1)
        assert report.reused == report.prepared
