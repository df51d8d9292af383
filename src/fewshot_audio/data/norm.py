"""The two global numbers that normalize features: mean and standard deviation over the training classes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.audio.samples import Samples
from fewshot_audio.data.norm_text import numbers_in_text
from fewshot_audio.data.npy_file import NpyFile
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_atomic

MAX_BYTES = 32  # two numbers of the widest type
MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sum of squared deviations of values; the moments of parts add up to those of the whole."""

    count: int
    mean: float
    squares: float

    @classmethod
    def of(cls, values: Samples) -> "Moments":
        """Moments of an array of any shape, in float64."""
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        return cls(values.size, mean, float(np.square(exact - mean).sum()))

    @classmethod
    def total(cls, parts: Iterable["Moments"]) -> "Moments":
        """Return the moments of the union; the exactly rounded sums do not depend on the order of the parts."""
        parts = list(parts)
        count = sum(part.count for part in parts)
        if not count:
            return cls(0, 0.0, 0.0)
        mean = math.fsum(part.count * part.mean for part in parts) / count
        between = (part.count * (part.mean - mean) ** 2 for part in parts)
        return cls(count, mean, math.fsum([*(part.squares for part in parts), *between]))

    @property
    def std(self) -> float:
        """Standard deviation (of the values, not of a sample)."""
        return math.sqrt(self.squares / self.count)


def write_norm(path: Path, mean: float, std: float) -> None:
    """Write ``glob_norm.npy``: (2, 1, 1) float64, mean and standard deviation."""
    numbers = np.array([mean, std], dtype=np.float64).reshape(2, 1, 1)
    write_atomic(path, lambda stream: np.save(stream, numbers, allow_pickle=False))


def find_norm(path: Path) -> Path | None:
    """Return the file of the normalization numbers: ``path``, ``glob_norm.npy``, or else the same name with .py.

    Their authors describe the folders that way; such a file holds the two numbers as text, or is an npy file.
    """
    return next((file for file in (path, path.with_suffix(".py")) if file.is_file()), None)


def read_norm(path: Path) -> tuple[float, float]:
    """Read mean and standard deviation.

    Args:
        path: ``glob_norm.npy``; if it is missing, ``glob_norm.py`` beside it is read, but never executed.

    Raises:
        DataError: neither file is there; the file cannot be read, or does not contain two finite numbers, the second
            positive.
    """
    file = find_norm(path) or path
    mean, std = _read_text(file, path) if file.suffix == ".py" and not _is_npy(file) else _read_npy(file)
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise DataError(
            f"{file}: mean {mean} and standard deviation {std}, expected finite numbers, the second above 0"
        )
    return mean, std


def _is_npy(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise DataError(f"{path}: normalization numbers cannot be read: {error.strerror}") from error


def _read_text(path: Path, usual: Path) -> tuple[float, float]:
    try:
        return numbers_in_text(path)
    except DataError as error:
        raise DataError(
            f"{path}: normalization numbers cannot be read: {error}; expected two numbers, mean and standard "
            f"deviation, or one array literal of them; or {usual.name} beside it"
        ) from error


def _read_npy(path: Path) -> tuple[float, float]:
    try:
        file = NpyFile(path)
        if math.prod(file.shape) != 2 or file.dtype is None or file.dtype.kind not in "fiu":
            raise DataError(f"expected two numbers, shape (2, 1, 1); found {file.descr} {file.shape}")
        numbers = file.read_array(MAX_BYTES)
    except DataError as error:
        beside = "" if path.exists() else f", and there is no {path.stem}.py of numbers beside it"
        raise DataError(f"{path}: normalization numbers cannot be read: {error}{beside}") from error
    mean, std = (float(number) for number in numbers.ravel())
    return mean, std
