"""Splits: made by seed, written, read back, and never trusted."""

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.config import PHASES
from fewshot_audio.data.splits import Splits, choose_splits, make_splits, read_splits, write_splits
from fewshot_audio.errors import DataError
from tests.data.hostile_pickles import HOSTILE

PARTS = (["a", "b", "c"], ["d", "e"], ["f"])


def save(path: Path, parts: Any, **how: Any) -> Path:
    array = np.empty(len(parts), dtype=object)
    for i, part in enumerate(parts):
        array[i] = part
    np.save(path, array, **how)
    return path


def save_pickle(path: Path, pickled: bytes) -> Path:
    """An npy file of objects whose pickle is given."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (3,)})
        stream.write(pickled)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_splits(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# Reading what others wrote


@pytest.mark.parametrize(
    "parts",
    [
        PARTS,
        tuple(tuple(part) for part in PARTS),
        tuple(np.array(part) for part in PARTS),
        tuple(np.array(part, dtype=object) for part in PARTS),
        tuple(np.array(part, dtype="S3") for part in PARTS),
        tuple(np.array(part, dtype=">U4") for part in PARTS),
        tuple([np.str_(name) for name in part] for part in PARTS),
        (["a ", "\tb", "c\n"], [" d", "e"], ["f"]),
    ],
    ids=["lists", "tuples", "strings", "objects", "bytes", "big-endian", "scalars", "blanks"],
)
def test_every_way_to_write_three_lists_is_read(tmp_path: Path, parts: Any) -> None:
    assert read_splits(save(tmp_path / "splits.npy", parts)) == Splits(("a", "b", "c"), ("d", "e"), ("f",))


@pytest.mark.parametrize("dtype", ["U5", "S5", object])
def test_a_table_of_three_equal_lists_is_read(tmp_path: Path, dtype: Any) -> None:
    table = np.array([["a", "b"], ["c", "d"], ["e", "f"]], dtype=dtype)
    np.save(tmp_path / "splits.npy", table)
    assert read_splits(tmp_path / "splits.npy") == Splits(("a", "b"), ("c", "d"), ("e", "f"))
    if dtype is not object:
        np.save(tmp_path / "columns.npy", np.asfortranarray(table))
        assert read_splits(tmp_path / "columns.npy") == read_splits(tmp_path / "splits.npy")


def test_arrays_of_any_length(tmp_path: Path) -> None:
    parts = [np.array([f"{count} {number}" for number in range(count)]) for count in (200, 10_000, 0)]
    splits = read_splits(save(tmp_path / "splits.npy", parts))
    assert [splits[phase] for phase in PHASES] == [tuple(part.tolist()) for part in parts]


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_spellings_of_numpys_core(tmp_path: Path, module: bytes) -> None:
    data = save(tmp_path / "splits.npy", [[np.str_("x"), "y"], ["d"], ["e"]]).read_bytes()
    start = data.index(b"\n") + 1
    pickled = pickle.dumps(np.load(tmp_path / "splits.npy", allow_pickle=True), protocol=3)  # names in full, no framing
    pickled = pickled.replace(b"numpy.core.multiarray", module).replace(b"numpy._core.multiarray", module)
    assert module in pickled
    (tmp_path / "splits.npy").write_bytes(data[:start] + pickled)
    assert read_splits(tmp_path / "splits.npy").train == ("x", "y")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("ESC-50-master", (35, 5, 10)),
        ("nsynth", (705, 101, 200)),
        ("FSD2018", (29, 5, 7)),
        ("BirdClef", (501, 72, 142)),
        ("voxceleb", (655, 96, 177)),
    ],
)
def test_published_files(name: str, sizes: tuple[int, int, int]) -> None:
    root = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")
    if not root:
        pytest.skip("FEWSHOT_AUDIO_TEST_DATA is not set")
    path = Path(root) / "published-splits" / name / "splits.npy"
    splits = read_splits(path)
    assert tuple(len(splits[phase]) for phase in PHASES) == sizes
    expected = np.load(path, allow_pickle=True)
    assert [splits[phase] for phase in PHASES] == [tuple(map(str, part)) for part in expected]


# Files that must not be believed


class Payload:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_a_payload_is_refused_before_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    path = save(tmp_path / "splits.npy", [["a"], ["b"], [Payload(os.system, f"touch {mark}")]])
    message = refusal(path)
    assert "system" in message
    assert "malicious" in message
    assert not mark.exists()
    np.load(path, allow_pickle=True)  # the payload is real: a trusting reader runs it
    assert mark.exists()


@pytest.mark.parametrize(
    "payload",
    [
        Payload(eval, "1"),
        Payload(exec, "1"),
        Payload(__import__, "os"),
        Payload(getattr, "a", "upper"),
        Payload(np.load, "x.npy"),
        Payload(np.fromfile, "x"),
        np.float64(1.0),
        np.array([1.0]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        Path("x"),
        {"a"},
        1,
        None,
        [["nested"]],
    ],
)
def test_nothing_but_strings_is_accepted(tmp_path: Path, payload: Any) -> None:
    refusal(save(tmp_path / "splits.npy", [["a"], ["b"], ["c", payload]]))


@pytest.mark.parametrize(
    "pickled",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR.",  # would allocate 800 GB
        b"(l" + b"r\xff\xff\xff\xff" + b".",  # would make room for four billion memo entries
        b"cnumpy\nndarray\n}S'__setstate__'\ncnumpy\ndtype\nsb.",  # tampers with the class itself
        b"cbuiltins\neval\n.",
        b"cnumpy.core.multiarray.os\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"ccollections\nOrderedDict\n.",
        b"\x82\x01.",
        b"P1\n.",
        b"garbage",
        b"",
        b".",
        b"K\x05.",
    ],
)
def test_handmade_pickles_are_refused(tmp_path: Path, pickled: bytes) -> None:
    refusal(save_pickle(tmp_path / "splits.npy", pickled))
    assert read_splits(save(tmp_path / "good.npy", PARTS)).test == ("f",)  # whatever it tried, the next file is read


@pytest.mark.parametrize(("pickled", "words"), HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_pickles_are_refused_by_name(tmp_path: Path, pickled: bytes, words: str) -> None:
    assert words in refusal(save_pickle(tmp_path / "splits.npy", pickled))


def test_python_2_wrote_names_as_byte_strings(tmp_path: Path) -> None:
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR(K\1\x8a\1\3\x85"
    dtype = b"cnumpy\ndtype\n(U\2O8K\0K\1tR(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    names = b"](](U\1aX\2\0\0\0\xc3\xa9e](U\1be](U\1ceetb."
    path = save_pickle(tmp_path / "splits.npy", b"\x80\x02" + array + dtype + b"\x89" + names)
    assert [list(part) for part in np.load(path, allow_pickle=True)] == [["a", "é"], ["b"], ["c"]]
    assert read_splits(path) == Splits(("a", "é"), ("b",), ("c",))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_files_are_refused_and_never_crash(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    good = save(folder / "good.npy", [["a"], np.array(["b", "c"]), [np.str_("d")]]).read_bytes()
    position = data.draw(st.integers(0, len(good) - 1))
    damaged = bytearray(good)
    damaged[position] = data.draw(st.integers(0, 255))
    (folder / "damaged.npy").write_bytes(damaged[: data.draw(st.integers(position, len(good)))])
    with contextlib.suppress(DataError):  # anything else is a crash
        assert len(read_splits(folder / "damaged.npy").classes) >= 1


def test_large_missing_and_numeric_files(tmp_path: Path) -> None:
    path = tmp_path / "splits.npy"
    assert "No such file" in refusal(path)
    np.save(path, np.zeros((3, 2)))
    assert "<f8" in refusal(path)
    save(path, [["a" * 5000], ["b"], ["c"]])
    assert "5000 characters" in refusal(path)
    with save(path, PARTS).open("r+b") as stream:
        stream.truncate(10 << 30)  # of which nothing is on the disk
    assert "refused unread" in refusal(path)
    np.save(path, np.zeros((3, 2), "U2"))
    path.write_bytes(path.read_bytes().replace(b"(3, 2), }     ", b"(3, 999999), }"))
    assert "at most 200000 names" in refusal(path)
    np.save(path, np.array([["a"], ["b"], ["c"]], "U999999"))
    with path.open("r+b") as stream:
        stream.truncate(128 + 3 * 4 * 999_999 - 1)
    assert "bytes of data" in refusal(path)
    np.save(path, np.array(["a", "b", "c"]))
    assert "(3,)" in refusal(path)


def test_a_message_names_some_of_many_classes_so_that_a_terminal_can_print_it(tmp_path: Path) -> None:
    names = [f"\x1b[31m{number}" for number in range(1000)] + ["\udc80"]
    message = refusal(save(tmp_path / "splits.npy", [names, names, ["c"]]))
    assert message.isprintable()
    assert "and 993 more" in message


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([["a", "b", "a"], ["c"], ["d"]], ["train", "more than once", "a"]),
        ([["a", "b"], ["c"], ["b"]], ["train", "test", "b"]),
        ([["a"], ["c"], [" c"]], ["validation", "test", "c"]),
        ([["a"], [""], ["c"]], ["empty"]),
        ([["a"], ["b"]], ["2 lists", "3"]),
        ([["a"], "b", ["c"]], ["str", "list"]),
    ],
)
def test_splits_that_are_none(tmp_path: Path, parts: Any, words: list[str]) -> None:
    message = refusal(save(tmp_path / "splits.npy", parts))
    assert all(word in message for word in words), message


# Writing and making


@pytest.mark.parametrize("parts", [PARTS, (["a"], ["b"], ["c"]), (["ä", "鳥"], ["x" * 200], ["C"])])
def test_written_splits_are_read_by_numpy_and_by_us(tmp_path: Path, parts: tuple[list[str], ...]) -> None:
    path, splits = tmp_path / "splits.npy", Splits(*map(tuple, parts))
    write_splits(path, splits)
    assert read_splits(path) == splits
    loaded = np.load(path, allow_pickle=True)
    assert loaded.shape == (3,)
    assert [list(part) for part in loaded] == list(parts)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.text("abc", min_size=1, max_size=5), min_size=15, max_size=120), st.integers(0, 1000))
def test_made_splits_are_a_partition_with_enough_classes_each(classes: set[str], seed: int) -> None:
    splits = make_splits(classes, seed)
    assert sorted(splits.classes) == sorted(classes)
    assert all(len(splits[phase]) >= 5 for phase in PHASES)
    assert len(splits.validation) == max(5, round(0.1 * len(classes)))
    assert len(splits.test) == max(5, round(0.2 * len(classes)))
    assert splits == make_splits(sorted(classes, reverse=True), seed)


def test_fifty_classes_split_as_published_ones_do_and_the_seed_counts() -> None:
    classes = [f"{i:02d}" for i in range(50)]
    assert [len(make_splits(classes)[phase]) for phase in PHASES] == [35, 5, 10]
    assert make_splits(classes, 0) != make_splits(classes, 1)


@pytest.mark.parametrize(("count", "words"), [(14, ["14", "15", "--way 4"]), (6, ["--way 2"]), (5, ["6 classes"])])
def test_too_few_classes_say_which_way_they_allow(count: int, words: list[str]) -> None:
    classes = [str(i) for i in range(count)]
    with pytest.raises(DataError) as caught:
        make_splits(classes)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    if count >= 6:
        assert len(make_splits(classes, way=count // 3).classes) == count


def test_given_splits_are_reduced_to_what_is_there_and_every_class_is_named() -> None:
    template = Splits(("a", "b", "gone"), ("d", "tiny"), ("f",))
    splits, notes = choose_splits({"a": 20, "b": 9, "d": 20, "f": 20, "tiny": 1, "extra": 20, "none": 0}, template)
    assert splits == Splits(("a", "b"), ("d",), ("f",))
    said = "\n".join(notes)
    for expected in ("'tiny'", "'none'", "not found: gone", "extra", "b (9)"):
        assert expected in said
    with pytest.raises(DataError, match=r"validation.*names d, tiny.*found a"):
        choose_splits({"a": 20, "f": 20}, template)


def test_unknown_phase() -> None:
    with pytest.raises(KeyError):
        Splits(("a",), ("b",), ("c",))["testing"]
