"""The clip arrays of a dataset folder: list them, and read their shapes without their data."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.data.safe_npy import NPY_ERRORS
from fewshot_audio.errors import DataError

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


def read_shape(path: Path, axes: tuple[str, ...], first: tuple[Path, tuple[int, ...]] | None = None) -> tuple[int, ...]:
    """Read the shape (segments, *axes) of a clip's array without its data.

    Args:
        path: the clip's file.
        axes: names of a segment's axes.
        first: path and shape of another clip; segments must have the same shape.

    Raises:
        DataError: the file is not a float array of such segments; names it.
    """
    try:
        with np.errstate(over="raise"):  # a damaged header may ask for more bytes than an integer can count
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ArithmeticError, *NPY_ERRORS) as error:
        raise DataError(f"{path}: not a readable .npy array ({error})") from error
    is_array = isinstance(array, np.ndarray)
    if not is_array or array.ndim - len(axes) not in (0, 1) or array.dtype.kind != "f" or not array.size:
        content = f"{array.dtype} {array.shape}" if is_array else type(array).__name__
        one = ", ".join(axes)
        raise DataError(f"{path}: expected a float array (segments, {one}) or ({one}), found {content}")
    shape: tuple[int, ...] = array.shape if array.ndim > len(axes) else (1, *array.shape)
    if first and shape[1:] != first[1][1:]:
        raise DataError(f"{path}: segments are {shape[1:]}, but those of {first[0]} are {first[1][1:]}")
    return shape
