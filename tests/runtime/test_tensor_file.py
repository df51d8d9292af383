"""Files of tensors: read as they were written, refused if a byte has changed, and never believed."""

import io
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.errors import DataError
from fewshot_audio.runtime.tensor_file import MAX_DEPTH, MAX_PICKLE, load_tensors, save_tensors


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal to the bit, types and attributes of dictionaries included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        same = (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride())
        return same and all(
            map(torch.equal, *([value.contiguous().reshape(-1).view(torch.uint8)] for value in (one, other)))
        )
    if isinstance(one, dict):
        same = list(one) == list(other) and getattr(one, "__dict__", None) == getattr(other, "__dict__", None)
        return same and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def training_state() -> dict[str, Any]:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2, bias=False))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 1, 3, 3)).square().sum().backward()
    optimizer.step()
    history = [{"epoch": 1, "lr": 0.1, "val_accuracy": 1 / 3}]
    return {
        "network": network.state_dict(), "optimizer": optimizer.state_dict(), "history": history, "classifier": None,
    }  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.pt"


def test_what_is_saved_is_read_as_torch_reads_it(path: Path) -> None:
    shared = torch.arange(6.0)
    value = training_state() | {
        "kinds": [
            torch.ones(2, dtype=kind)
            for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int16, torch.bool)
        ],
        "views": (shared[:3], shared.view(2, 3).T, torch.tensor(3), torch.empty(0, 4)),
        "numbers": [2**40, -1, 1.5, True, "größe"],
    }
    save_tensors(path, value)
    loaded = load_tensors(path)
    assert equal(loaded, torch.load(path, weights_only=True))
    assert equal(loaded["network"], value["network"])
    assert loaded["network"]._metadata == value["network"]._metadata
    loaded["views"][0][0] = 7
    assert loaded["views"][1][0, 0] == 7  # one storage


def test_a_flipped_bit_is_refused_or_changes_nothing(path: Path) -> None:
    save_tensors(path, training_state())
    expected, good = load_tensors(path), path.read_bytes()
    chance = random.Random(0)
    refused = 0
    for position in chance.sample(range(len(good)), 400):
        data = bytearray(good)
        data[position] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            assert equal(load_tensors(path), expected), position
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - most positions raise
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("length", [0, 1, 30, 500, -1, -30, -200])
def test_a_truncated_file_is_refused(path: Path, length: int) -> None:
    save_tensors(path, training_state())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"state\.pt: damaged"):
        load_tensors(path)


def test_a_file_that_is_missing_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"state\.pt: cannot be read: No such file"):
        load_tensors(path)


# -- files that torch.save does not write ------------------------------------------------------------------------------


class Call:
    """Pickled, it is a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        for key, content in (storages or {}).items():
            file.writestr(f"archive/data/{key}", content)
    return path


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return value[1:] if isinstance(value, tuple) and value and value[0] is STORAGE else None


STORAGE = object()


def tensor(
    count: int = 4, size: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,), offset: int = 0, key: str = "0"
) -> Call:
    storage = (STORAGE, "storage", torch.FloatStorage, key, "cpu", count)
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def pickled(value: Any, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol).dump(value)
    return stream.getvalue()


FOUR = {"0": struct.pack("<4f", 1, 2, 3, 4)}


def test_the_forged_files_are_read_without_the_forgery(path: Path) -> None:
    archive(path, pickled({"a": tensor()}), FOUR)
    assert load_tensors(path)["a"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "forged",
    [
        tensor(size=(10**12,), stride=(0,)),
        tensor(size=(5,)),
        tensor(offset=1),
        tensor(offset=-1),
        tensor(size=(-1,)),
        tensor(size=(2, 2), stride=(10**9, 1)),
        tensor(size=(2,), stride=(-1,)),
        tensor(count=10**12, size=(10**12,)),
        tensor(count=3),
        tensor(key="1"),
        tensor(key="../data.pkl"),
        tensor(size=(1,) * 9, stride=(1,) * 9),
        tensor(size=(2**31,) * 8, stride=(0,) * 8),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_its_storage_is_refused(path: Path, forged: Call) -> None:
    with pytest.raises(DataError, match=r"state\.pt: damaged"):
        load_tensors(archive(path, pickled({"a": forged}), FOUR))


@pytest.mark.parametrize(
    "value",
    [
        Call(print, "executed"),
        Call(bytearray, 10**12),
        Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, ()),
        Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (10**9,), (1,), False),
        Call(torch.Size, (1,)),
        {1, 2},
        b"bytes",
        1j,
    ],
)
def test_other_objects_are_refused_and_not_made(path: Path, value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"state\.pt: damaged"):
        load_tensors(archive(path, pickled({"a": value})))
    assert not capsys.readouterr().out


def _laughs(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value] * 30
    return value


def _with_attribute() -> OrderedDict[str, int]:
    value = OrderedDict(a=1)
    value.extra = 3  # type: ignore[attr-defined]
    return value


BOMBS: dict[str, bytes] = {
    "a billion names of one list": pickled(_laughs(8)),
    "deeper than it may be": b"\x80\x02" + b"]" * (MAX_DEPTH + 2) + b"a" * (MAX_DEPTH + 1) + b".",
    "very deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "memory for a memo": b"\x80\x02]r\xff\xff\xff\x7f.",
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "an array of 2**60 bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
    "a large pickle": b"\x80\x02]" + b"K\x00" * (MAX_PICKLE // 2) + b".",
    "an attribute, which could hide a method": pickled(_with_attribute()),
    "protocol 4": pickled({"a": [1]}, 4),
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "nothing": b"",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=list(BOMBS))
def test_bombs_are_refused(path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"state\.pt: damaged"):
        load_tensors(archive(path, content))


def test_compressed_and_ambiguous_archives_are_refused(path: Path) -> None:
    content = pickled({"a": tensor(count=1 << 20, size=(1 << 20,))})
    with pytest.raises(DataError, match="compressed"):
        load_tensors(archive(path, content, {"0": bytes(4 << 20)}, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("archive/data.pkl", pickled(2))
    with pytest.raises(DataError, match="one name"):
        load_tensors(path)
    with zipfile.ZipFile(path, "w") as file:
        for folder in ("one", "two"):
            file.writestr(f"{folder}/data.pkl", pickled(1))
    with pytest.raises(DataError, match=r"2 entries data\.pkl"):
        load_tensors(path)
