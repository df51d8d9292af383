"""Read lists of strings from untrusted npy files: nothing in them is executed, and no size in them is trusted."""

from pathlib import Path

import numpy as np

from fewshot_audio.data.npy_file import NpyFile, decode_strings
from fewshot_audio.data.string_pickle import load_pickled_strings
from fewshot_audio.errors import DataError

MAX_PICKLE = 1 << 20  # bytes; the largest published file has 33 kB
MAX_STRINGS = 16 << 20  # bytes of an array of strings: every name has the width of the longest
MAX_NAMES = 200_000


def load_strings(path: Path) -> list[list[str]]:
    """Read an npy file of strings with two dimensions, or of pickled lists and arrays of strings.

    Raises:
        DataError: the file is too large, which is decided before its data is read; it is damaged, or has anything but
            lists of strings in it.
    """
    file = NpyFile(path)
    if file.dtype is not None and file.dtype.hasobject:
        return load_pickled_strings(file.read_bytes(MAX_PICKLE))
    if file.dtype is None or file.dtype.kind not in "US":
        raise DataError(f"data of type {file.descr}, expected class names")
    if len(file.shape) != 2:
        raise DataError(f"an array of strings of shape {file.shape}, expected one list of class names in each row")
    if file.shape[0] * max(file.shape[1], 1) > MAX_NAMES:
        raise DataError(f"an array of shape {file.shape}, expected at most {MAX_NAMES} names")
    file.check_size(MAX_STRINGS)
    names = np.array(decode_strings(file.read_bytes(MAX_STRINGS), file.dtype), dtype=object)
    rows: list[list[str]] = names.reshape(file.shape, order="F" if file.fortran_order else "C").tolist()
    return rows
