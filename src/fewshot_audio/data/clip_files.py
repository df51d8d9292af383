"""The clip arrays of a dataset folder: list them, read their shapes without their data, and read them.

Other tools keep waveforms whole, (samples,); ``cut`` says how they become segments.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.npy_file import NpyFile
from fewshot_audio.errors import DataError

MAX_CLIP = 2 << 30  # bytes: more than nine hours of samples at 16 kHz; a clip is read as a whole
SEGMENT_AXES = {"features": ("mels", "frames"), "waveforms": ("samples",)}


@dataclass(frozen=True)
class ClipFile:
    """A clip's array on disk, ``<class>/<clip>.npy``."""

    path: Path
    class_name: str
    name: str


def is_clip(entry: "os.DirEntry[str]") -> bool:
    """Whether a class folder's entry is a clip's array."""
    return entry.name.endswith(".npy") and not entry.name.startswith(".")


def list_clips(root: Path) -> Iterator[ClipFile]:
    """Yield the clips, sorted by class and file name."""
    folders = sorted((entry for entry in os.scandir(root) if entry.is_dir()), key=lambda entry: entry.name)
    for folder in folders:
        with os.scandir(folder.path) as entries:
            names = sorted(entry.name for entry in entries if is_clip(entry))
        for name in names:
            yield ClipFile(Path(folder.path, name), folder.name, name[:-4])


def is_whole(clip: ClipFile) -> bool:
    """Whether a clip's array is a recording that is not cut into segments, (samples,)."""
    return len(_read_axes(clip)) == 1


def lengths_differ(clips: Iterable[ClipFile]) -> bool:
    """Whether arrays have different shapes, those aside that cannot be read."""
    return len({_read_axes(clip) for clip in clips} - {()}) > 1


def _read_axes(clip: ClipFile) -> tuple[int, ...]:
    try:
        return NpyFile(clip.path).shape
    except DataError:  # is reported when the clip is read
        return ()


def read_shape(
    path: Path,
    axes: tuple[str, ...],
    first: tuple[Path, tuple[int, ...]] | None = None,
    cut: Preprocessing | None = None,
) -> tuple[int, ...]:
    """Read the shape (segments, *axes) of a clip's array without its data, whose length is checked.

    Args:
        path: the clip's file.
        axes: names of a segment's axes.
        first: path and shape of another clip; segments must have the same shape.
        cut: how a whole clip is cut; None: it is one segment.

    Raises:
        DataError: the file is not a float array of such segments; names it.
    """
    with _naming(path, axes):
        shape = _shape(NpyFile(path), axes, cut)
    if first and shape[1:] != first[1][1:]:
        raise DataError(f"{path}: segments are {shape[1:]}, but those of {first[0]} are {first[1][1:]}")
    return shape


def read_clip(
    path: Path, axes: tuple[str, ...], dtype: np.dtype[Any], cut: Preprocessing | None = None
) -> NDArray[Any]:
    """Read a clip's array.

    Shape:
        (segments, *axes) in ``dtype``, in the order of C.

    Raises:
        DataError: as ``read_shape``; or values are not finite in ``dtype``.
    """
    with _naming(path, axes):
        file = NpyFile(path)
        shape = _shape(file, axes, cut)
        with np.errstate(over="ignore", invalid="ignore"):  # values that ``dtype`` cannot hold are refused below
            array = file.read_array(MAX_CLIP).astype(dtype, order="C")
        array = (cut.segments(array) if cut and array.ndim == 1 else array).reshape(shape)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: holds values that are not finite (in {dtype.name})")
    return array


def _shape(file: NpyFile, axes: tuple[str, ...], cut: Preprocessing | None) -> tuple[int, ...]:
    """Return the shape (segments, *axes) of a float array whose data is as long as it should be."""
    shape = file.shape
    if file.dtype is None or file.dtype.kind != "f" or len(shape) - len(axes) not in (0, 1) or 0 in shape:
        raise DataError(f"found {file.dtype or file.descr} {shape}")
    file.check_size(MAX_CLIP)
    if len(shape) > len(axes):
        return shape
    return (cut.segment_count(shape[0]), cut.segment_samples) if cut else (1, *shape)


@contextmanager
def _naming(path: Path, axes: tuple[str, ...]) -> Iterator[None]:
    """Name the file, and what was expected there, in the errors of its reading."""
    try:
        yield
    except DataError as error:
        one = ", ".join(axes)
        raise DataError(
            f"{path}: not a readable .npy array: expected a float array (segments, {one}) or ({one}), {error}"
        ) from error
