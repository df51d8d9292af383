"""The packed store: a dataset folder's segments in one memory-mapped array, with an index of clips and classes."""

import dataclasses
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.data.device_cache import Placement, free_memory
from fewshot_audio.data.episodes import ClipIndex, Indices
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.manifest import read_rows
from fewshot_audio.data.safe_npy import NPY_ERRORS
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text
from fewshot_audio.progress import Progress, silent

Segments: TypeAlias = NDArray[np.float32]

FORMAT = 1
STORE = ".store"  # in the dataset folder
LOOKING_THREADS = 4
READ_AHEAD = 128 * 1024  # bytes that every kernel reads ahead when asked
AXES = {"features": ("mels", "frames"), "waveforms": ("samples",)}  # of one segment


@dataclass(frozen=True)
class StoredClip:
    """A clip's array on disk."""

    path: Path
    class_name: str
    name: str


class SegmentRows(Protocol):
    """What a store needs of its segments: a memory map, or some of its rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (segments, ...)."""

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""

    def __len__(self) -> int:
        """Number of segments."""

    def __getitem__(self, indices: Any) -> Any:
        """Read segments."""


class SegmentStore:
    """All segments of a dataset folder, read by index.

    ``segments`` is read-only (segments, ...), memory-mapped; ``index`` says which clip and class each belongs to.
    """

    def __init__(
        self, segments: SegmentRows, classes: Sequence[str], clips: Sequence[str], class_of: Indices, offsets: Indices
    ):
        self.segments = segments
        self.classes = tuple(classes)
        self.clips = tuple(clips)
        self.class_of = class_of
        order = np.argsort(class_of, kind="stable")
        bounds = np.searchsorted(class_of[order], np.arange(len(classes) + 1))
        by_class = {name: order[bounds[c] : bounds[c + 1]] for c, name in enumerate(classes)}
        self.index = ClipIndex(offsets, by_class)
        self._placements: dict[torch.device, Placement] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one segment: (mels, frames), or (samples,)."""
        return self.segments.shape[1:]

    def gather(self, indices: Indices, out: Segments | None = None) -> Segments:
        """Copy segments, into ``out`` where it is given. Shape: indices (...) -> (..., *shape), float32."""
        self.read_ahead(indices)
        if out is None:
            return np.asarray(self.segments[indices], dtype=np.float32)
        out[...] = self.segments[indices]
        return out

    def fetch(self, indices: Indices, device: torch.device) -> Tensor:
        """Segments on a device, where the whole store lies if it fits. Shape: indices (n,) -> (n, *shape)."""
        if device not in self._placements:
            self._placements[device] = Placement(self, device, free_memory(device))
        return self._placements[device].fetch(indices)

    def read_ahead(self, indices: Indices) -> None:
        """Have the kernel read what is not in memory yet, all at once and in the order of the disk."""
        memory: Any = getattr(self.segments, "base", None)
        if not hasattr(memory, "madvise"):
            return
        size, header = self.segments[0].nbytes, len(memory) - self.segments.nbytes
        for index in np.unique(indices).tolist():
            begin, end = header + index * size, header + (index + 1) * size
            for piece in range(begin - begin % mmap.PAGESIZE, end, READ_AHEAD):
                memory.madvise(mmap.MADV_WILLNEED, piece, min(READ_AHEAD, end - piece))

    def read_groups(self, path: Path) -> int:
        """Number the clips' source recordings in ``index.groups`` as ``clips.csv`` names them.

        A clip without one is a group itself. Returns how many clips have one; 0 where there is no such file. Raises
        DataError for a file that is none.
        """
        known: dict[tuple[str, str], str] = {}
        if path.is_file():
            rows = read_rows(path, ("class", "clip", "group"))
            known = {(row["class"], row["clip"]): row["group"] for row in rows if row["group"]}
        names: list[tuple[str, ...]] = []
        for clip, class_name in zip(self.clips, self.class_of.tolist(), strict=True):
            key = (self.classes[class_name], clip)
            names.append((known[key],) if key in known else key)
        numbers: dict[tuple[str, ...], int] = {}
        groups = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
        self.use_groups(groups)
        return sum(len(name) == 1 for name in names)

    def use_groups(self, groups: Indices) -> None:
        """Number the source recording of every clip. Shape: (clips,)."""
        self.index = dataclasses.replace(self.index, groups=groups)

    @classmethod
    def open(
        cls,
        folder: DatasetFolder,
        kind: Literal["features", "waveforms"] = "features",
        progress: Progress = silent,
        precision: Literal["float32", "float16"] = "float32",
    ) -> "SegmentStore":
        """Open the store of ``folder``'s features or waveforms; packed first where it is missing or the folder changed.

        The packed files lie in the dataset folder's ``.store``, or in the user's cache where they are missing there and
        it cannot be written.
        Two processes may start at once: one packs, the other waits. Raises DataError for a folder without features
        and for arrays that do not fit together, naming the file.
        """
        source = folder.features if kind == "features" else folder.waveforms
        if not source.is_dir():
            how = "`prepare` makes it" if kind == "features" else "`prepare --waveforms` makes it"
            raise DataError(f"{source}: no such folder; a dataset folder keeps its {kind} there ({how})")
        place = Path(kind if precision == "float32" else f"{kind}-{precision}") / fingerprint(source)[:20]
        packed = folder.path / STORE / place
        if packed.is_dir():  # whether the dataset can be written or not
            return cls.read(packed)
        packed = _home(folder.path) / place
        packed.parent.mkdir(exist_ok=True)
        if not packed.is_dir():
            with FileLock(packed.parent / "lock"):
                if not packed.is_dir():
                    _pack(list(list_clips(source)), packed, AXES[kind], np.dtype(precision), progress)
        return cls.read(packed)

    @classmethod
    def read(cls, packed: Path) -> "SegmentStore":
        """Read a packed store's index and map its segments."""
        with (packed / "index.json").open(encoding="utf-8") as file:
            index = json.load(file)
        segments = np.load(packed / "segments.npy", mmap_mode="r")
        if hasattr(segments.base, "madvise"):
            segments.base.madvise(mmap.MADV_RANDOM)  # what is needed is read ahead by its number, nothing beside it
        arrays = np.load(packed / "clips.npy")
        return cls(segments, index["classes"], index["clips"], arrays[0], np.concatenate([[0], np.cumsum(arrays[1])]))


def _home(folder: Path) -> Path:
    inside = folder / STORE
    try:
        inside.mkdir(exist_ok=True)
        if os.access(inside, os.W_OK):
            return inside
    except OSError:
        pass  # a read-only dataset: the user's cache holds its store instead
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:20]
    home = Path(platformdirs.user_cache_dir("fewshot-audio")) / "stores" / key
    home.mkdir(parents=True, exist_ok=True)
    return home


def fingerprint(features: Path) -> str:
    """Digest of all clips' names, sizes and times, which changes when any file does.

    Hundreds of thousands of files are looked at, by a few threads: on a network each look is a wait. Raises DataError
    for a folder without clips.
    """

    def look(name: str) -> str:
        try:
            with os.scandir(features / name) as entries:
                found = sorted(
                    (entry.name, (stat := entry.stat()).st_size, stat.st_mtime_ns)
                    for entry in entries
                    if _is_clip(entry)
                )
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
        return "".join(f"{name}\0{file[:-4]}\0{size}\0{modified}\n" for file, size, modified in found)

    names = sorted(entry.name for entry in os.scandir(features) if entry.is_dir())
    digest, empty = hashlib.sha256(f"{FORMAT}\n".encode()), True
    with ThreadPoolExecutor(LOOKING_THREADS) as threads:
        for clips in threads.map(look, names):
            digest.update(clips.encode("utf-8", "surrogateescape"))
            empty &= not clips
    if empty:
        raise DataError(f"{features}: no <class>/<clip>.npy files in it")
    return digest.hexdigest()


def _is_clip(entry: "os.DirEntry[str]") -> bool:
    return entry.name.endswith(".npy") and not entry.name.startswith(".")


def list_clips(features: Path) -> Iterator[StoredClip]:
    """Clips in the order of class and file name, whatever order the file system lists them in."""
    classes = sorted((entry for entry in os.scandir(features) if entry.is_dir()), key=lambda entry: entry.name)
    for directory in classes:
        with os.scandir(directory.path) as entries:
            files = sorted(entry.name for entry in entries if _is_clip(entry))
        for name in files:
            yield StoredClip(Path(directory.path, name), directory.name, name[:-4])


def read_shape(path: Path, axes: tuple[str, ...], first: tuple[Path, tuple[int, ...]] | None) -> tuple[int, ...]:
    """Read the shape (segments, *axes) of a clip's array without its data."""
    try:
        with np.errstate(over="raise"):  # the header of a damaged file may ask for more bytes than can be counted
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ArithmeticError, *NPY_ERRORS) as error:
        raise DataError(f"{path}: not a readable .npy array ({error})") from error
    if (
        not isinstance(array, np.ndarray)
        or array.ndim - len(axes) not in (0, 1)
        or array.dtype.kind != "f"
        or not array.size
    ):
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        one = ", ".join(axes)
        raise DataError(f"{path}: expected a float array (segments, {one}) or ({one}), found {found}")
    shape: tuple[int, ...] = array.shape if array.ndim > len(axes) else (1, *array.shape)
    if first and shape[1:] != first[1][1:]:
        raise DataError(f"{path}: segments are {shape[1:]}, but those of {first[0]} are {first[1][1:]}")
    return shape


def _pack(
    clips: Sequence[StoredClip], packed: Path, axes: tuple[str, ...], dtype: np.dtype[Any], progress: Progress
) -> None:
    """Write the store beside its final place, then rename it there; called under the lock."""
    for leftover in packed.parent.glob("*.partial"):  # of a process that was killed: nobody else holds the lock
        shutil.rmtree(leftover)
    partial = packed.with_suffix(".partial")
    partial.mkdir()
    try:
        _fill(partial, clips, axes, dtype, progress)
    except OSError as error:
        shutil.rmtree(partial)
        raise DataError(
            f"{error.filename or packed}: {error.strerror or error}; the segments cannot be packed"
        ) from error
    except BaseException:
        shutil.rmtree(partial)
        raise
    outdated = [path for path in packed.parent.iterdir() if path.is_dir() and path != partial]
    partial.rename(packed)
    for path in outdated:  # the folder has changed since; open memory maps of it stay valid
        shutil.rmtree(path, ignore_errors=True)


def _fill(
    partial: Path, clips: Sequence[StoredClip], axes: tuple[str, ...], dtype: np.dtype[Any], progress: Progress
) -> None:
    shapes: list[tuple[int, ...]] = []
    for clip in clips:
        shapes.append(read_shape(clip.path, axes, (clips[0].path, shapes[0]) if shapes else None))
    counts = np.array([shape[0] for shape in shapes], dtype=np.int64)
    shape = (int(counts.sum()), *shapes[0][1:])
    dtype = dtype.newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with (partial / "segments.npy").open("wb") as stream:  # no memory map: on a full disk that ends the process
        np.lib.format.write_array_header_1_0(stream, header)
        for done, (clip, count) in enumerate(zip(clips, counts.tolist(), strict=True), start=1):
            with np.errstate(over="ignore", invalid="ignore"):  # what the store cannot hold is found below
                array = np.load(clip.path, allow_pickle=False).astype(dtype).reshape(count, *shape[1:])
            if not np.isfinite(array).all():
                raise DataError(f"{clip.path}: holds values that are not finite (in {dtype.name})")
            stream.write(np.ascontiguousarray(array).data)
            if done % 256 == 0 or done == len(clips):
                progress("packing", done, len(clips))
    classes = sorted({clip.class_name for clip in clips})
    code = {name: number for number, name in enumerate(classes)}
    np.save(partial / "clips.npy", np.stack([np.array([code[clip.class_name] for clip in clips]), counts]))
    index = {"classes": classes, "clips": [clip.name for clip in clips]}
    write_text(partial / "index.json", json.dumps(index))  # escaped, because file names may be any bytes
