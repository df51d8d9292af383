"""Untrusted npy files: a header of one strict form, and the size of the data checked before any of it is read.

numpy evaluates the header as a Python literal, which a few kilobytes can make overflow the stack, and reads as many
bytes of header as the file asks for; here the header matches a pattern or the file is refused.
"""

import math
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError

MAX_HEADER = 10_000  # bytes; numpy's limit too
MAX_AXES = 32
MAX_DESCR = 80  # characters; those of records may be long, and are only shown
_KEYS = {"descr", "fortran_order", "shape"}
# Python 2 wrote long integers ("3L"); a list describes records, which no caller can use: it is kept for the message.
_ENTRY = re.compile(  # no two parts of it can match the same text: it takes linear time
    r"""\s*(?:'(\w{1,20})'|"(\w{1,20})")\s*:\s*"""
    r"""(?:'([^']{0,100})'|"([^"]{0,100})"|(True|False)|(\[.*\])"""
    r"""|\((\s*|(?:\s*\d{1,19}L?\s*,)+(?:\s*\d{1,19}L?)?\s*)\))\s*(?:,|(?=\}))""",
    re.ASCII | re.DOTALL,
)
_TYPE = re.compile(r"[<>|=]?[biufcmMSUO]\d{0,6}")


class NpyFile:
    """The header of an npy file, and its data when asked for.

    Args:
        path: a regular file.

    Raises:
        DataError: the file cannot be read, or does not begin with the header of an npy file.

    Attributes:
        shape: of the array; no axis is negative.
        fortran_order: whether the first axis is the fastest in the file.
        descr: the type of its elements as the header writes it.
        dtype: that type; None if it is not one of numpy's plain types.
        data_bytes: what the file holds behind the header.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a named pipe would wait for its writer
                raise DataError("not a regular file")
            with path.open("rb") as stream:
                start = stream.read(12 + MAX_HEADER)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
        text, self._offset = _header_text(start)
        self.descr, self.fortran_order, self.shape = _parse(text)
        self.dtype = _dtype(self.descr)
        self.data_bytes = max(status.st_size - self._offset, 0)

    def check_size(self, limit: int) -> None:
        """Refuse an array whose data is shorter or longer than its header says, or has more than ``limit`` bytes.

        Raises:
            DataError: says how many bytes there are, and how many were expected.
        """
        if self.dtype is None or self.dtype.hasobject or not self.dtype.itemsize:
            raise DataError(f"elements of type {self.descr}, expected numbers or strings")
        expected = math.prod(self.shape) * self.dtype.itemsize
        if self.data_bytes != expected:
            raise DataError(f"{self.data_bytes} bytes of data, expected {expected} for {self.dtype} {self.shape}")
        self._check_limit(limit)

    def read_bytes(self, limit: int) -> bytes:
        """Read the data as it is in the file.

        Raises:
            DataError: it has more than ``limit`` bytes, or cannot be read.
        """
        self._check_limit(limit)
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read(self.data_bytes)
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error
        if len(data) != self.data_bytes:
            raise DataError(f"{len(data)} bytes of data, expected {self.data_bytes}: the file is changing")
        return data

    def read_array(self, limit: int) -> NDArray[Any]:
        """Read the data as an array of ``shape``, which is not writable.

        Raises:
            DataError: as ``check_size`` and ``read_bytes``.
        """
        self.check_size(limit)
        data = np.frombuffer(self.read_bytes(limit), self.dtype) if self.data_bytes else np.empty(0, self.dtype)
        return data.reshape(self.shape, order="F" if self.fortran_order else "C")

    def _check_limit(self, limit: int) -> None:
        if self.data_bytes > limit:
            raise DataError(f"{self.data_bytes} bytes of data, expected at most {limit}: refused unread")


def decode_strings(data: bytes, dtype: np.dtype[Any]) -> list[str]:
    """Decode strings of fixed width; numpy's own decoder fails on characters beyond Unicode.

    Raises:
        DataError: the bytes are not Unicode.
    """
    encoding = "utf-8" if dtype.kind == "S" else "utf-32-be" if dtype.str[0] == ">" else "utf-32-le"
    width = dtype.itemsize
    try:
        return [data[i : i + width].decode(encoding).rstrip("\0") for i in range(0, len(data), width)]
    except UnicodeDecodeError as error:
        raise DataError(f"names that are not Unicode: {error}") from error


def _header_text(start: bytes) -> tuple[str, int]:
    """Return the header in the first bytes of a file, and the position of the data behind it."""
    if not start:
        raise DataError("an empty file, expected an npy file")
    if not start.startswith(b"\x93NUMPY") or len(start) < 12:
        raise DataError(f"the file starts with {start[:8]!r}, expected an npy file")
    version, begin = start[6], 10 if start[6] == 1 else 12
    if version not in (1, 2, 3):
        raise DataError(f"an npy file of version {version}, expected 1 to 3")
    length = int.from_bytes(start[8:begin], "little")
    if length > MAX_HEADER:
        raise DataError(f"a header of {length} bytes, expected at most {MAX_HEADER}")
    header = start[begin : begin + length]
    if len(header) < length:
        raise DataError(f"the header ends after {len(header)} of {length} bytes")
    return header.decode("utf-8" if version == 3 else "latin-1", "replace"), begin + length


def _parse(header: str) -> tuple[str, bool, tuple[int, ...]]:
    """Return descr, fortran_order and shape of a header: a dictionary of these three, in any order."""
    text = header.strip()
    values: dict[str, Any] = {}
    position = 1
    while text.startswith("{") and (match := _ENTRY.match(text, position)):
        single, double, quoted, double_quoted, truth, records, axes = match.groups()
        key = single or double
        if key in values:
            break
        if truth is not None:
            values[key] = truth == "True"
        elif axes is not None:
            values[key] = tuple(int(axis) for axis in re.findall(r"\d+", axes))
        else:
            values[key] = next(value for value in (quoted, double_quoted, records) if value is not None)
        position = match.end()
    types = [type(values.get(key)) for key in ("descr", "fortran_order", "shape")]
    complete = text[position:].strip() == "}" and types == [str, bool, tuple]
    if not complete or values.keys() != _KEYS or not values["descr"].isprintable():
        raise DataError(f"the header reads {text[:80]!r}, expected one with descr, fortran_order and shape")
    if len(values["shape"]) > MAX_AXES:
        raise DataError(f"an array of {len(values['shape'])} axes, expected at most {MAX_AXES}")
    return values["descr"][:MAX_DESCR], values["fortran_order"], values["shape"]


def _dtype(descr: str) -> np.dtype[Any] | None:
    if not _TYPE.fullmatch(descr):
        return None
    try:
        return np.dtype(descr)
    except (TypeError, ValueError):  # such as f3
        return None
