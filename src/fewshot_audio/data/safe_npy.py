"""Read arrays of strings from untrusted npy files: nothing in them is executed, and no size in them is trusted."""

import io
import pickle
import pickletools
import re
import tokenize
from typing import Any

import numpy as np

from fewshot_audio.errors import DataError

# What numpy raises for damaged npy files and for other files: it parses the header as Python source.
NPY_ERRORS = (ValueError, TypeError, EOFError, SyntaxError, tokenize.TokenError)
MAX_DECODED = 64 << 20  # bytes; a pickle can name one block of data a thousand times


def load_strings(data: bytes) -> list[Any]:
    """Read an npy file of strings, of one or two dimensions, or of pickled lists and arrays of strings, as lists.

    A pickle is read with inert stand-ins for numpy's ``_reconstruct``, ``ndarray``, ``dtype`` and ``scalar``;
    anything else that it names is refused before it runs.

    Raises:
        DataError: the file is damaged, is not an npy file of strings, or names anything that strings do not need.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        rest = data[stream.tell() :]
        if not dtype.hasobject:
            items = _strings(dtype.str, rest)
            return _rows(items, shape, fortran)
    except NPY_ERRORS as error:
        raise DataError(f"not a valid npy file: {error}") from error
    value = _unpickle(rest)
    if not isinstance(value, list):
        raise DataError(f"a pickled {type(value).__name__}, expected lists of class names")
    return value


def _strings(dtype: str, data: object) -> list[str]:
    """Decode strings of fixed width from the bytes of an array."""
    match = re.fullmatch(r"([<>|=]?)([US])([1-9]\d{0,5})", dtype)
    if not match or not isinstance(data, bytes):
        raise DataError(f"data of type {dtype}, expected class names")
    width = int(match[3]) * (4 if match[2] == "U" else 1)
    encoding = "utf-8" if match[2] == "S" else "utf-32-be" if match[1] == ">" else "utf-32-le"
    return [data[i : i + width].decode(encoding).rstrip("\0") for i in range(0, len(data), width)]


def _rows(items: list[Any], shape: tuple[int, ...], fortran: bool = False) -> list[Any]:
    """Arrange items as numpy does: a list of rows if there are two dimensions and the shape fits the items."""
    if len(shape) != 2 or shape[1] < 1 or shape[0] * shape[1] != len(items):
        return items
    rows, columns = shape
    return [items[row::rows] if fortran else items[row * columns : (row + 1) * columns] for row in range(rows)]


def _unpickle(data: bytes) -> Any:
    """Unpickle arrays of strings as lists; no array is built, because numpy trusts the sizes in a pickle."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            # The unpickler allocates memory up to the largest index in the pickle.
            if "PUT" in opcode.name and argument is not None and argument > len(data):
                raise DataError(f"a pickle with memo index {argument}")
        return _Unpickler(io.BytesIO(data)).load()
    except DataError:
        raise
    # A broken pickle raises any of these, depending on the byte at which it breaks.
    except (
        pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError,
        OverflowError, ImportError,
    ) as error:  # fmt: skip
        raise DataError(f"the pickled names cannot be read: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Resolves stand-ins only; each file has its own, so that no file can tamper with those of the next."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self._allowed = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a global that pickled arrays of strings need; refuse every other global."""
        short = module.replace("numpy._core", "numpy.core")
        if (short, name) not in self._allowed:
            raise DataError(
                f"the pickle asks for {module}.{name}, which a list of class names does not need: refused, not run "
                "(the file may be malicious)"
            )
        return self._allowed[short, name]


def _stand_ins() -> dict[tuple[str, str], Any]:
    decoded = 0

    def count(size: int) -> None:
        nonlocal decoded
        decoded += size
        if decoded > MAX_DECODED:
            raise DataError(f"a pickle that unfolds to more than {MAX_DECODED >> 20} MiB")

    class Dtype:
        """``numpy.dtype(name, ...)``: what its data is made of."""

        def __init__(self, name: object, *_: object) -> None:
            self.name = str(name)

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            self.name = (">" if state[1] == ">" else "") + self.name

        def strings(self, data: object) -> list[str]:
            strings = _strings(self.name, data)
            count(sum(len(string) + 50 for string in strings))
            return strings

    class Array(list[Any]):
        """``numpy.ndarray``: the list of what the array holds, or of its rows."""

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            _, shape, dtype, _, data = state
            items = data if isinstance(data, list) else dtype.strings(data)
            count(8 * len(items))
            self.extend(_rows(items, shape))

    def reconstruct(*_: object) -> Array:
        return Array()

    def scalar(dtype: Dtype, data: object) -> str:
        (value,) = dtype.strings(data)
        return value

    return {
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): Dtype,
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy.core.multiarray", "scalar"): scalar,
    }
