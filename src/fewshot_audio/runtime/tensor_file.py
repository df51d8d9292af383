"""Files of tensors: written by ``torch.save``, and read without trust in their bytes or in the sizes that they name.

``torch.load`` verifies neither the CRC-32 of a file's entries, so that flipped bits become other weights, nor that the
sizes which the file names fit the bytes that it holds. The entries are read by ``zipfile``, which verifies them.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from fewshot_audio.errors import DataError
from fewshot_audio.files import write_atomic

MAX_PICKLE = 4 << 20  # bytes; that of a run is about 100 bytes for each tensor
MAX_VALUES, MAX_DEPTH = 1_000_000, 16  # a list in a list in a list names one value a billion times
MAX_DIMENSIONS = 8

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_OPCODES = """
PROTO STOP MARK EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS BINUNICODE
BININT BININT1 BININT2 LONG1 BINFLOAT NEWTRUE NEWFALSE NONE BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE BUILD
BINPERSID
"""
OPCODES = frozenset(_OPCODES.split())


def save_tensors(path: Path, value: Any) -> None:
    """Write tensors and plain values atomically."""
    write_atomic(path, lambda stream: torch.save(value, stream))


def load_tensors(path: Path) -> Any:
    """Read tensors and plain values, in dictionaries, lists and tuples, to the CPU.

    Raises:
        DataError: the file cannot be read, is damaged, or holds anything else; names the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            value = _TensorFile(archive, path.stat().st_size).load()
        _check_structure(value)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{path}: damaged, or not a file of tensors: {error}") from error
    except Exception as error:  # zipfile and pickle raise whatever the damage provokes
        raise DataError(f"{path}: damaged, or not a file of tensors ({error or type(error).__name__})") from error
    return value


class _TensorFile:
    """The entries of a file: ``NAME/data.pkl``, and ``NAME/data/KEY`` for each storage."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) < len(archive.infolist()):
            raise DataError("two entries have one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise DataError("an entry is compressed")
        if sum(entry.file_size for entry in entries.values()) > size:
            raise DataError("the entries are larger than the file")
        folders = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise DataError(f"{len(folders)} entries data.pkl, expected 1")
        self._entries = {name.removeprefix(folders[0]): entry for name, entry in entries.items()}
        self._storages: dict[str, tuple[torch.dtype, Tensor]] = {}

    def load(self) -> Any:
        """Return the value of the file."""
        if "byteorder" in self._entries and self._read("byteorder") != b"little":
            raise DataError("it was written on a big-endian machine")
        if self._entries["data.pkl"].file_size > MAX_PICKLE:
            raise DataError(f"a pickle of more than {MAX_PICKLE >> 20} MiB")
        data = bytes(self._read("data.pkl"))
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in OPCODES:
                raise DataError(f"the pickle has a {opcode.name}, which tensors do not need")
            if "PUT" in opcode.name and argument is not None and argument > len(data):
                raise DataError(f"a pickle with memo index {argument}")  # for which memory would be allocated
        return _Unpickler(data, self._storage).load()

    def _read(self, name: str) -> bytearray:
        """Read an entry; at its end zipfile compares the checksum."""
        entry = self._entries[name]
        content = bytearray(entry.file_size)
        with self._archive.open(entry) as stream:
            length = cast(io.BufferedIOBase, stream).readinto(content)
            if length != entry.file_size or stream.read(1):
                raise DataError(f"the entry {entry.filename} is cut off")
        return content

    def _storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        """Return a storage as a tensor of one dimension; tensors of one storage share its memory."""
        if key not in self._storages:
            content = self._read(f"data/{key}")
            if len(content) != count * dtype.itemsize:
                raise DataError(f"storage {key} has {len(content)} bytes, expected {count} numbers of {dtype}")
            numbers = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            self._storages[key] = dtype, numbers
        former, numbers = self._storages[key]
        if former != dtype or len(numbers) != count:
            raise DataError(f"storage {key} has two types")
        return numbers


class _Unpickler(pickle.Unpickler):
    """Resolves the few names that files of tensors have; everything else is refused before it runs."""

    def __init__(self, data: bytes, storage: Any) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return what a global stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise DataError(f"the pickle asks for {module}.{name}: refused, not run (the file may be malicious)")

    def persistent_load(self, pid: Any) -> Tensor:
        """Return a storage; where it was before it was saved does not matter."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise DataError(f"a persistent value {pid!r}, expected a storage")
        storage: Tensor = self._storage(key, dtype, count)
        return storage


def _tensor(
    storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], requires_grad: bool, hooks: object
) -> Tensor:
    """Return the part of a storage that is a tensor; it must lie within, and have no more numbers than it."""
    if hooks or len(size) != len(stride) or len(size) > MAX_DIMENSIONS or min([offset, *size, *stride]) < 0:
        raise DataError(f"a tensor of size {tuple(size)}, stride {tuple(stride)}, offset {offset}")
    total: int = math.prod(map(int, size))
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if total > len(storage) or (total and last >= len(storage)):
        raise DataError(f"a tensor of size {tuple(size)} in a storage of {len(storage)} numbers")
    return storage.as_strided(tuple(size), tuple(stride), offset).requires_grad_(bool(requires_grad))


def _check_structure(value: Any) -> None:
    """Check that the value is a small tree, however often it names a part of itself."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if extra := vars(item).keys() - {"_metadata"} if isinstance(item, OrderedDict) else ():
                    raise DataError(f"a dictionary with the attribute {min(extra)!r}")
                below += [*item, *item.values(), *(vars(item).values() if isinstance(item, OrderedDict) else ())]
            elif isinstance(item, list | tuple):
                below += item
            elif not isinstance(item, Tensor | str | int | float | None):
                raise DataError(f"a value of type {type(item).__name__}")
            if count + len(below) > MAX_VALUES:
                raise DataError(f"more than {MAX_VALUES} values")
        count += len(below)
        level = below
        if not level:
            return
    raise DataError(f"values nested deeper than {MAX_DEPTH}")
