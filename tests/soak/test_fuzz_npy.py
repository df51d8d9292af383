"""Damaged ``splits.npy``, normalization numbers and clips' arrays: read or refused, in bounded time and memory."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.data.clip_files import SEGMENT_AXES, read_clip, read_shape
from fewshot_audio.data.norm import read_norm
from fewshot_audio.data.splits import read_splits
from fewshot_audio.data.string_pickle import load_pickled_strings
from tests.data.hostile_pickles import HOSTILE
from tests.soak.fuzzing import FuzzCounts, fuzz, read_all
from tests.soak.reliability import record

INPUTS = 10_000
AXES = SEGMENT_AXES["features"]

pytestmark = pytest.mark.soak


def check(fault: str, counts: FuzzCounts) -> None:
    """Every file was read or refused, and some were read: the damage is not so great that nothing is tested."""
    assert counts.read + counts.refused == INPUTS
    assert counts.read > 20
    record(fault, trials=INPUTS, lost=0, wrong=0)


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def pickled(parts: Any, protocol: int) -> bytes:
    """An npy file of objects with a pickle of protocol 2 or 3, as older versions of numpy wrote them."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    return stream.getvalue() + pickle.dumps(parts, protocol).replace(b"numpy._core", b"numpy.core")


def parts(*kinds: Any) -> Any:
    """An object array of three lists, each made by its kind."""
    array = np.empty(3, dtype=object)
    for number, kind in enumerate(kinds):
        array[number] = kind([f"class {number}-{i}" for i in range(4 + number)])
    return array


def scalars(names: list[str]) -> list[np.str_]:
    return [np.str_(name) for name in names]


def byte_strings(names: list[str]) -> Any:
    return np.array(names, dtype="S12")


TABLE = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
SPLITS = [
    saved(parts(list, list, list)),
    saved(parts(tuple, list, np.array)),
    saved(parts(np.array, np.array, np.array)),
    saved(parts(scalars, byte_strings, lambda names: [name.encode() for name in names])),
    saved(parts(lambda names: np.array(names, ">U12"), lambda names: np.array(names, object), list)),
    saved(TABLE),
    saved(np.asfortranarray(TABLE)),
    saved(TABLE.astype("S3")),
    saved(TABLE.astype(">U2")),
    saved(TABLE.astype(object)),
    pickled(parts(list, np.array, scalars), 3),
    pickled([["a", "b"], ("c",), ["d"]], 2),
]


def test_splits() -> None:
    check("damaged splits.npy read", fuzz(SPLITS, read_splits, inputs=INPUTS))


def test_pickles_behind_the_header() -> None:
    """Where most damage of a whole file would be refused at its header."""
    pickles = [data[data.index(b"\n") + 1 :] for data in SPLITS if b"'|O'" in data]
    assert len(pickles) == 8
    counts = fuzz(pickles, lambda path: load_pickled_strings(path.read_bytes()), inputs=INPUTS)
    check("damaged pickle of splits.npy read", counts)


def test_pickles_that_are_made_to_hurt() -> None:
    pickles = [pickled for pickled, _ in HOSTILE.values()]
    header = saved(parts(list, list, list)).partition(b"\n")[0] + b"\n"
    counts = read_all(lambda number: header + pickles[number], len(pickles), read_splits, memory=64 << 20)
    assert (counts.read, counts.refused) == (0, len(pickles))


CLIP = np.random.default_rng(0).normal(size=(2, 8, 5))
CLIPS = [
    saved(CLIP.astype(np.float32)),
    saved(CLIP.astype(np.float16)),
    saved(CLIP),
    saved(CLIP.astype(np.longdouble)),
    saved(CLIP.astype(">f4")),
    saved(np.asfortranarray(CLIP.astype(np.float32))),
    saved(CLIP[0].astype(np.float32)),
]


def read_features(path: Path) -> None:
    shape = read_shape(path, AXES)
    array = read_clip(path, AXES, np.dtype(np.float32))
    assert array.shape == shape
    assert np.isfinite(array).all()


def test_clips() -> None:
    check("damaged array of a clip read", fuzz(CLIPS, read_features, inputs=INPUTS))


def test_normalization_numbers() -> None:
    numbers = np.array([-7.5, 18.25]).reshape(2, 1, 1)
    valid = [saved(numbers.astype(kind)) for kind in ("f8", "f4", ">f8", "f2", "f16", "i4")]
    check("damaged glob_norm.npy read", fuzz(valid, read_norm, inputs=INPUTS))
