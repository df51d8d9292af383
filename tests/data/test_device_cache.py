"""Where segments come from: the memory map read ahead, half precision, or a copy of the whole store on a device."""

import dataclasses
import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio.audio.augment.spectrogram import time_warp
from fewshot_audio.data import device_cache
from fewshot_audio.data.device_cache import DeviceCache
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import PackedStore, write_index
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.stored_rows import READ_AHEAD, StoredRows
from fewshot_audio.errors import DataError
from fewshot_audio.runtime.tensors import send

CPU = torch.device("cpu")


def write(folder: DatasetFolder, array: np.ndarray[Any, Any], name: str = "one") -> DatasetFolder:
    (folder.features / "cat").mkdir(parents=True, exist_ok=True)
    np.save(folder.features / "cat" / f"{name}.npy", array)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    generator = np.random.default_rng(0)
    return write(DatasetFolder(tmp_path / "Own"), generator.normal(-40, 15, (9, 64, 150)).astype(np.float32))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("free", [0, 10**12], ids=["in host memory", "placed"])
def test_fetched_segments_are_the_files(
    folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch, precision: Any, free: int
) -> None:
    monkeypatch.setattr(device_cache, "CHUNK", 2 * 64 * 150 * 4)  # placed in several pieces
    store = SegmentStore.open(folder, precision=precision)
    source = DeviceCache(store, CPU, free)
    assert (source._copy is not None) == bool(free)
    indices = np.array([3, 8, 0, 3])
    fetched = source.fetch(indices)
    expected = np.load(folder.features / "cat" / "one.npy")[indices]
    assert fetched.dtype == torch.float32
    assert np.allclose(fetched.numpy(), expected, atol=0 if precision == "float32" else 0.06)
    assert np.array_equal(DeviceCache(store, CPU).fetch(indices).numpy(), fetched.numpy())
    out = np.empty((4, 64, 150), np.float32)
    assert store.read(indices, out) is out
    assert np.array_equal(out, fetched.numpy())


def test_half_of_the_free_memory_is_for_the_store(folder: DatasetFolder) -> None:
    store = SegmentStore.open(folder)
    size = store.segments.nbytes
    assert [DeviceCache(store, CPU, free)._copy is not None for free in (2 * size - 1, 2 * size)] == [False, True]


def test_a_float16_store_is_half_as_large_and_lies_beside_the_other(folder: DatasetFolder) -> None:
    full, half = SegmentStore.open(folder), SegmentStore.open(folder, precision="float16")
    assert half.segments.nbytes * 2 == full.segments.nbytes
    packed = [path.parent.parent.name for path in (folder.path / ".store").glob("*/*/segments.npy")]
    assert sorted(packed) == ["features", "features-float16"]
    assert np.array_equal(SegmentStore.open(folder).segments[:], full.segments[:])


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    folder = write(DatasetFolder(tmp_path / "Loud"), np.full((1, 4, 4), 7e4, np.float32))
    SegmentStore.open(folder)
    with pytest.raises(DataError, match=r"one\.npy: holds values that are not finite \(in float16\)"):
        SegmentStore.open(folder, precision="float16")


class Advice:
    """Stands for the memory map, and keeps what it was advised."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ranges: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.size

    def madvise(self, option: int, start: int, length: int) -> None:
        assert option == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        assert 0 < length <= READ_AHEAD
        assert start + length <= self.size
        self.ranges.append((start, start + length))


def test_all_bytes_are_read_ahead_in_the_order_of_the_disk(tmp_path: Path) -> None:
    """Segments larger than a kernel reads ahead at a time are asked for in pieces."""
    folder = write(DatasetFolder(tmp_path / "Long"), np.zeros((5, 128, 500), np.float32))
    rows = SegmentStore.open(folder).segments
    assert isinstance(rows, StoredRows)
    segments = rows.store.segments
    size, header = segments[0].nbytes, segments.offset
    assert size > READ_AHEAD

    class Mapped(np.ndarray[Any, Any]):
        base: Any = Advice(header + segments.nbytes)

    mapped: Any = np.zeros(segments.shape, segments.dtype).view(Mapped)
    StoredRows(dataclasses.replace(rows.store, segments=mapped), never).read_ahead(np.array([[4, 1], [4, 0]]))
    ranges = Mapped.base.ranges
    assert ranges == sorted(ranges)
    covered = {byte for start, end in ranges for byte in range(start, end, 512)}
    for index in (0, 1, 4):
        begin = header + index * size
        assert {byte - byte % 512 for byte in range(begin, begin + size, 512)} <= covered
        for byte in (begin, begin + size - 1):
            assert any(start <= byte < end for start, end in ranges)
    assert not covered & set(range(header + 2 * size + mmap.PAGESIZE, header + 4 * size - mmap.PAGESIZE))


def never(store: PackedStore, damaged: Any) -> PackedStore:
    """Stands for packing a damaged store anew, which must not happen."""
    raise AssertionError(f"{store.path}: {damaged}")


def test_a_sparse_store_of_300_000_segments_costs_no_memory(tmp_path: Path) -> None:
    """Its index is arrays; its segments stay in the file."""
    n = 300_000
    segments: Any = np.lib.format.open_memmap(tmp_path / "segments.npy", "w+", np.dtype("<f4"), (n, 128, 157))
    segments[[7, n - 1]] = 3.5
    segments.flush()
    checksums = np.full(n, zlib.crc32(segments[0]), np.uint32)
    checksums[[7, n - 1]] = zlib.crc32(segments[7])
    write_index(
        tmp_path,
        classes=[f"class{number:04}" for number in range(n // 100)],
        clips=[f"{clip}" for clip in range(n)],
        class_of=np.arange(n // 100).repeat(100),
        counts=np.ones(n, np.int64),
        dtype=segments.dtype,
        shape=segments.shape,
        checksums=checksums,
    )

    def anonymous() -> int:
        status = Path("/proc/self/status")
        if not status.exists():
            pytest.skip("this system does not say how much memory is anonymous")
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("RssAnon"))

    before = anonymous()
    store = SegmentStore.of(PackedStore.read(tmp_path), never)
    assert len(store.index.by_class) == n // 100
    fetched = DeviceCache(store, CPU).fetch(np.array([n - 1, 0, 7]))
    assert fetched[:, 0, 0].tolist() == [3.5, 0, 3.5]
    assert anonymous() - before < 300_000  # kB
    (tmp_path / "segments.npy").unlink()


def test_sending_keeps_values_and_expands_nothing() -> None:
    values = torch.arange(6).view(2, 3)
    assert torch.equal(send(values, CPU), values)
    x = torch.randn(2, 4, 9)
    assert torch.equal(time_warp(x, torch.tensor([3, 5]), torch.tensor([0, 0])), x)
