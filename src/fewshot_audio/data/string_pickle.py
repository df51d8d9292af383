"""Read pickled lists and arrays of strings; what they unfold to is bounded by the bytes of the pickle."""

import math
import re
from collections.abc import Sequence

import numpy as np

from fewshot_audio.data.npy_file import decode_strings
from fewshot_audio.data.pickle_interpreter import InertArray, interpret, kind_of
from fewshot_audio.errors import DataError

MAX_REPETITION = 8
_STRING_TYPE = re.compile(r"[US][1-9]\d{0,5}")


def load_pickled_strings(data: bytes) -> list[list[str]]:
    """Read a pickled array or list of lists, tuples or arrays of strings, or an object array of two dimensions.

    Args:
        data: a pickle of protocol 2 or later, as ``numpy.save`` writes it behind the header.

    Raises:
        DataError: the pickle is damaged, has anything else in it, or unfolds to more names than it has bytes.
    """
    value = interpret(data)
    parts = value.data if isinstance(value, InertArray) else value
    if not isinstance(parts, list):
        raise DataError(f"a pickled {kind_of(value)}, expected lists of class names")
    if isinstance(value, InertArray) and len(value.shape) == 2:
        columns = max(value.shape[1], 1)
        parts = [parts[start : start + columns] for start in range(0, len(parts), columns)]
    unfolding = _Unfolding(len(data))
    return [unfolding.names(part) for part in parts]


class _Unfolding:
    """Turns what was read into lists of strings.

    In an honest file every name has bytes of its own; a crafted one refers to the same ones many times. Therefore the
    number of names is bounded by the bytes of the file, and their text by some times as many: names that are in two
    lists have a message of their own.
    """

    def __init__(self, size: int) -> None:
        self._names_left, self._text_left = size, MAX_REPETITION * size

    def names(self, part: object) -> list[str]:
        """Return the names in a list, tuple or array."""
        items: Sequence[object]
        if isinstance(part, InertArray) and len(part.shape) == 1:
            items = part.data if isinstance(part.data, list) else self._decode(part)
        elif isinstance(part, list | tuple):
            items = part
        else:
            raise DataError(f"found a {kind_of(part)}, expected a list of class names")
        self._names_left -= len(items)
        if self._names_left < 0:
            raise DataError("a pickle that unfolds to more names than it has bytes")
        return [self._name(item) for item in items]

    def _name(self, item: object) -> str:
        if isinstance(item, InertArray) and isinstance(item.data, bytes) and item.shape == ():
            (item,) = self._decode(item)
        if not isinstance(item, str | bytes):
            raise DataError(f"found a {kind_of(item)}, expected a class name")
        self._spend(len(item))
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else item

    def _decode(self, array: InertArray) -> list[str]:
        """Return the strings in an array's bytes."""
        dtype, data = array.dtype, array.data
        if data == b"" and not math.prod(array.shape):  # of no classes, numpy makes an array of numbers
            return []
        if dtype is None or not isinstance(data, bytes) or not _STRING_TYPE.fullmatch(dtype.name):
            raise DataError(f"data of type {dtype.name[:20] if dtype else None}, expected class names")
        self._spend(len(data))
        strings = np.dtype((">" if dtype.byte_order == ">" else "<") + dtype.name)
        count = math.prod(array.shape)
        if len(data) != count * strings.itemsize:
            raise DataError(f"{len(data)} bytes of data, expected {count} strings of type {strings}")
        return decode_strings(data, strings)

    def _spend(self, size: int) -> None:
        self._text_left -= size
        if self._text_left < 0:
            raise DataError("a pickle that unfolds to more text than it has bytes")
