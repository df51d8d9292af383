"""Clips' arrays: what numpy would read is read in the order of C, and everything else is refused by name."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.data.clip_files import MAX_CLIP, SEGMENT_AXES, read_clip, read_shape
from fewshot_audio.errors import DataError

AXES = SEGMENT_AXES["features"]
VALUES = np.random.default_rng(0).normal(size=(4, 3, 5))
FLOAT = np.dtype(np.float32)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", np.longdouble])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("values", [VALUES, VALUES[0]], ids=["segments", "one segment"])
def test_every_kind_of_float_is_read(tmp_path: Path, dtype: Any, order: Any, values: np.ndarray) -> None:
    array = np.array(values.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    assert read_shape(tmp_path / "a.npy", AXES) == array.reshape(-1, 3, 5).shape
    clip = read_clip(tmp_path / "a.npy", AXES, FLOAT)
    assert clip.flags.c_contiguous
    assert clip.dtype == FLOAT
    np.testing.assert_array_equal(clip, array.astype(FLOAT).reshape(-1, 3, 5))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (VALUES.astype(object), "object"),
        (np.zeros((4, 3, 5), [("x", "f4")]), "'x'"),
        (np.zeros((4, 3, 5), "V4"), r"\|V4"),
        (VALUES.astype("U3"), "<U3"),
        (VALUES.astype("M8[s]"), r"<M8\[s\]"),
        (VALUES.astype(np.int16), "int16"),
        (VALUES.astype(np.complex64), "complex64"),
        (VALUES[:0], r"\(0, 3, 5\)"),
        (VALUES[:, :, :0], r"\(4, 3, 0\)"),
        (VALUES[0, 0], r"\(5,\)"),
        (VALUES[None], r"\(1, 4, 3, 5\)"),
        (np.float32(1.0), r"\(\)"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: Any, words: str) -> None:
    np.save(tmp_path / "a.npy", array)
    for read in (lambda path: read_shape(path, AXES), lambda path: read_clip(path, AXES, FLOAT)):
        with pytest.raises(DataError, match=rf"a\.npy.*expected a float array \(segments, mels, frames\).*{words}"):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize("change", [-1, 1, -60])
def test_data_of_another_length_is_refused(tmp_path: Path, change: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, VALUES)
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(DataError, match=rf"a\.npy.* {480 + change} bytes of data, expected 480"):
        read_shape(path, AXES)


def test_a_clip_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path, segments = tmp_path / "a.npy", MAX_CLIP // 60 + 1
    header = {"descr": "<f4", "fortran_order": False, "shape": (segments, 3, 5)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + segments * 60)  # of which nothing is on the disk
    with pytest.raises(DataError, match="refused unread"):
        read_clip(path, AXES, FLOAT)
    with pytest.raises(DataError, match="refused unread"):
        read_shape(path, AXES)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    values = VALUES.copy()
    values[1, 2, 3] = value
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=r"a\.npy.*not finite \(in float32\)"):
        read_clip(tmp_path / "a.npy", AXES, FLOAT)
    if np.isfinite(value):
        assert read_clip(tmp_path / "a.npy", AXES, np.dtype(np.float64))[1, 2, 3] == value
