"""The files of a packed store, and their checksums."""

import errno
import io
import json
import math
import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.data.clip_index import Indices
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_atomic, write_json, write_text

FORMAT = 2
INDEX, SEGMENTS, CLIPS = "index.json", "segments.npy", "clips.npy"
LIMITS = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)  # of the process or the machine: the files may be intact
SEGMENT_CHECKSUMS, CHECKSUMS = "segment_checksums.npy", "checksums.json"  # of each segment, and of the other files


class DamagedStore(DataError):
    """A packed store is incomplete, or its files are not as they were written."""


@dataclass(frozen=True)
class PackedStore:
    """A packed store, whose index has been verified; its segments have not.

    Attributes:
        path: its folder.
        classes: names of the classes.
        clips: names of the clips.
        class_of: the class of each clip, as a position in ``classes``. Shape: (clips,).
        counts: number of segments of each clip. Shape: (clips,).
        segments: the segments, memory-mapped. Shape: (segments, ...).
        checksums: CRC-32 of each segment. Shape: (segments,).
    """

    path: Path
    classes: tuple[str, ...]
    clips: tuple[str, ...]
    class_of: Indices
    counts: Indices
    segments: "np.memmap[Any, Any]"
    checksums: NDArray[np.uint32]

    @classmethod
    def read(cls, path: Path) -> "PackedStore":
        """Read the index and map the segments.

        Raises:
            DamagedStore: a file is missing or is not as it was written; names it.
        """
        try:
            checksums = json.loads((path / CHECKSUMS).read_bytes())
            content = {name: (path / name).read_bytes() for name in (INDEX, CLIPS, SEGMENT_CHECKSUMS)}
            for name, data in content.items():
                if zlib.crc32(data) != checksums[name]:
                    raise DamagedStore(f"{path / name}: damaged (its checksum does not match)")
            index = json.loads(content[INDEX])
            class_of, counts = _array(content[CLIPS])
            return cls(
                path,
                tuple(index["classes"]),
                tuple(index["clips"]),
                class_of,
                counts,
                _map(path / SEGMENTS, tuple(index["shape"]), np.dtype(index["dtype"])),
                _array(content[SEGMENT_CHECKSUMS]),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, OSError) and error.errno in LIMITS:
                raise
            raise DamagedStore(f"{path}: incomplete or damaged ({error})") from error

    def is_truncated(self) -> bool:
        """Whether the file of segments has become shorter, so that reading would kill the process."""
        memory: Any = self.segments.base
        return bool(memory.size() < len(memory))

    def damaged(self, rows: Indices) -> list[int]:
        """Return those of some segments that differ from their checksums."""
        if self.is_truncated():
            return [int(row) for row in rows]
        segments, checksums = self.segments.view(np.ndarray), self.checksums
        return [row for row in rows.tolist() if zlib.crc32(segments[row]) != checksums[row]]


def write_index(
    path: Path,
    *,
    classes: list[str],
    clips: list[str],
    class_of: Indices,
    counts: Indices,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    checksums: NDArray[np.uint32],
) -> None:
    """Write what ``PackedStore.read`` reads beside the segments.

    Raises:
        WriteError: the disk is full.
    """
    index = {"classes": classes, "clips": clips, "shape": shape, "dtype": dtype.str}
    write_text(path / INDEX, json.dumps(index))  # ASCII with escapes, because file names may be any bytes
    write_atomic(path / CLIPS, lambda stream: np.save(stream, np.stack([class_of, counts])))
    write_atomic(path / SEGMENT_CHECKSUMS, lambda stream: np.save(stream, checksums))
    files = {name: zlib.crc32((path / name).read_bytes()) for name in (INDEX, CLIPS, SEGMENT_CHECKSUMS)}
    write_json(path / CHECKSUMS, files)


def _array(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


def _map(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "np.memmap[Any, Any]":
    """Map the array at the end of a file; what is before it is a header for other readers."""
    size = math.prod(shape) * dtype.itemsize
    header = path.stat().st_size - size
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        if stream.tell() != header:
            raise DamagedStore(f"{path}: {header + size} bytes, expected {stream.tell() + size}")
    segments = np.memmap(path, dtype, "r", header, shape)
    memory: Any = segments.base
    if hasattr(memory, "madvise"):
        memory.madvise(mmap.MADV_RANDOM)  # ``StoredRows.read_ahead`` asks for exactly what is needed
    return segments
