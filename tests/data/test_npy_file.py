"""Headers of npy files: every one that numpy writes is read as numpy reads it, and no other."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.npy_file import MAX_HEADER, NpyFile, decode_strings
from fewshot_audio.errors import DataError

TYPES = ("<f4", ">f4", "<f2", ">f8", "<f8", np.longdouble, "<i2", ">u8", "|b1", "<c8", "<U3", ">U3", "|S4")
GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
DATA = bytes(24)


def npy(header: str | bytes, data: bytes = DATA, version: int = 1) -> bytes:
    """A file with any header."""
    encoded = header.encode("latin-1") if isinstance(header, str) else header
    return (
        b"\x93NUMPY" + bytes([version, 0]) + len(encoded).to_bytes(2 if version == 1 else 4, "little") + encoded + data
    )


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.npy"
    path.write_bytes(content)
    return path


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(TYPES), st.lists(st.integers(0, 4), max_size=4), st.booleans(), st.integers(1, 3))
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    tmp_path_factory: pytest.TempPathFactory, dtype: Any, shape: list[int], fortran: bool, version: int
) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asfortranarray(array) if fortran else array, version=(version, 0))
    file = NpyFile(write(tmp_path_factory.getbasetemp(), stream.getvalue()))
    actual = file.read_array(10_000)
    stream.seek(0)
    expected = np.load(stream)
    assert (file.shape, file.dtype) == (expected.shape, expected.dtype)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        '{"shape": (2, 3), "fortran_order": False, "descr": "<f4"}',
        "{'descr':'<f4','fortran_order':False,'shape':(2,3,),}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }          \n",
        "  { 'shape' : ( 2 , 3 ) , 'fortran_order' : False , 'descr' : '<f4' , } ",
    ],
)
def test_headers_of_other_writers(tmp_path: Path, header: str) -> None:
    file = NpyFile(write(tmp_path, npy(header)))
    assert file.read_array(100).shape == (2, 3)
    assert file.dtype == np.float32


HEADERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty file"),
    "another file": (b"RIFF\0\0\0\0WAVEfmt ", "RIFF"),
    "magic only": (b"\x93NUMPY", "starts with"),
    "version 4": (npy(GOOD, version=4), "version 4"),
    "four gigabytes of header": (b"\x93NUMPY\2\0\xff\xff\xff\xff" + GOOD.encode(), "header of 4294967295 bytes"),
    "more than the limit": (npy(GOOD + " " * MAX_HEADER), "header of 10059 bytes"),
    "header cut off": (npy(GOOD)[:40], "the header ends"),
    "deep parentheses": (npy("{'descr': " + "(" * 9000), "the header reads"),
    "deep signs": (npy(GOOD.replace("(2, 3)", "-" * 9000 + "1")), "the header reads"),
    "spaces": (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + " " * 9000), "the header reads"),
    "code": (npy(GOOD.replace("False", "print('ran')")), "the header reads"),
    "product": (npy(GOOD.replace("(2, 3)", "(2, 3) * 10")), "the header reads"),
    "negative axis": (npy(GOOD.replace("2", "-2")), "the header reads"),
    "long axis": (npy(GOOD.replace("2", "9" * 20)), "the header reads"),
    "an axis alone": (npy(GOOD.replace("(2, 3)", "(6)")), "the header reads"),
    "many axes": (npy(GOOD.replace("(2, 3)", "(" + "1, " * 3000 + ")")), "3000 axes"),
    "shape twice": (npy(GOOD.replace("}", "'shape': (6,), }")), "the header reads"),
    "another key": (npy(GOOD.replace("}", "'more': 'x', }")), "the header reads"),
    "a missing key": (npy("{'descr': '<f4', 'shape': (2, 3), }"), "the header reads"),
    "order as text": (npy(GOOD.replace("False", "'False'")), "the header reads"),
    "type as order": (npy(GOOD.replace("'<f4'", "True")), "the header reads"),
    "a list": (npy("[1, 2]"), "the header reads"),
    "terminal's escape": (npy(GOOD.replace("<f4", "\x1b[2J")), "the header reads"),
    "something behind": (npy(GOOD + " x"), "the header reads"),
}


@pytest.mark.parametrize(("content", "words"), HEADERS.values(), ids=list(HEADERS))
def test_headers_that_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        NpyFile(write(tmp_path, content))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


ARRAYS: dict[str, tuple[bytes, str]] = {
    "too short": (npy(GOOD)[:-1], "23 bytes of data, expected 24"),
    "too long": (npy(GOOD) + b"\0", "25 bytes of data, expected 24"),
    "overflowing": (npy(GOOD.replace("(2, 3)", f"({2**62}, {2**62}, 4)")), "24 bytes of data"),
    "objects": (npy(GOOD.replace("<f4", "|O")), "type |O"),
    "records": (npy(GOOD.replace("'<f4'", "[('x', '<f4')]")), r"[('x', '<f4')]"),
    "raw bytes": (npy(GOOD.replace("<f4", "|V4")), "type |V4"),
    "dates": (npy(GOOD.replace("<f4", "<M8[D]")), "type <M8[D]"),
    "a type in other letters": (npy(GOOD.encode().replace(b"<f4", b"\xff\xfe"), version=3), "type \ufffd"),
    "no such type": (npy(GOOD.replace("<f4", "<f3")), "type <f3"),
    "no width": (npy(GOOD.replace("<f4", "<U0"), b""), "type <U0"),
    "wide": (npy(GOOD.replace("<f4", "<U999999")), "24 bytes of data"),
    "above the limit": (
        npy(GOOD.replace("(2, 3)", "(1000,)"), bytes(4000)),
        "4000 bytes of data, expected at most 100",
    ),
}


@pytest.mark.parametrize(("content", "words"), ARRAYS.values(), ids=list(ARRAYS))
def test_arrays_that_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = NpyFile(write(tmp_path, content))
    with pytest.raises(DataError) as caught:
        file.read_array(100)
    assert words in str(caught.value)


def test_ten_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path, npy(GOOD.replace("(2, 3)", f"({10 << 28},)"), b""))
    os.truncate(path, path.stat().st_size + (10 << 30))  # of which nothing is on the disk
    file = NpyFile(path)
    file.check_size(10 << 30)
    with pytest.raises(DataError, match="refused unread"):
        file.read_array(1 << 20)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")  # opening it would wait
    for name, words in (("pipe.npy", "not a regular file"), (".", "not a regular file"), ("no.npy", "No such file")):
        with pytest.raises(DataError, match=words):
            NpyFile(tmp_path / name)


@pytest.mark.parametrize("dtype", ["<U4", ">U4", "S8"])
def test_strings_are_decoded_as_numpy_does(dtype: str) -> None:
    names = ["", "a", "abcd", "é鳥"]
    array = np.array([name.encode() for name in names] if dtype == "S8" else names, dtype=dtype)
    assert decode_strings(array.tobytes(), array.dtype) == names


@pytest.mark.parametrize(("data", "dtype"), [(b"\xff\xff\xff\xff", "<U1"), (b"\0\xd8\0\0", "<U1"), (b"\xff", "S1")])
def test_bytes_that_are_no_strings(data: bytes, dtype: str) -> None:
    with pytest.raises(DataError, match="not Unicode"):
        decode_strings(data, np.dtype(dtype))
