"""Moments that add up, normalization numbers that are checked, names that are safe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.data.names import safe_name, unique_names
from fewshot_audio.data.norm import Moments, read_norm, write_norm
from fewshot_audio.errors import DataError


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_moments_of_parts_are_those_of_the_whole_in_any_order(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(rng.uniform(-100, 100), rng.uniform(0, 10), size).astype(np.float32) for size in sizes]
    whole = np.concatenate(parts).astype(np.float64)
    total = Moments.total(map(Moments.of, parts))
    assert total == Moments.total(map(Moments.of, reversed(parts)))
    assert total.count == len(whole)
    np.testing.assert_allclose([total.mean, total.std], [whole.mean(), whole.std()], rtol=1e-9, atol=1e-9)


def test_no_parts() -> None:
    assert Moments.total([]).count == 0


def test_numbers_are_read_as_written_and_as_published(tmp_path: Path) -> None:
    write_norm(tmp_path / "norm_stats" / "a.npy", -7.5, 18.25)
    assert read_norm(tmp_path / "norm_stats" / "a.npy") == (-7.5, 18.25)
    np.save(tmp_path / "b.npy", np.array([[[-7.5]], [[18.25]]], dtype=np.float32))
    assert read_norm(tmp_path / "b.npy") == (-7.5, 18.25)


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8", np.longdouble, "i2", ">u4", "i8"])
def test_numbers_of_other_types(tmp_path: Path, dtype: Any) -> None:
    np.save(tmp_path / "a.npy", np.array([7, 18]).astype(dtype))
    assert read_norm(tmp_path / "a.npy") == (7.0, 18.0)


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros((2, 1, 1)),
        np.array([0.0, -1.0]),
        np.array([np.nan, 1.0]),
        np.array([0.0, np.inf]),
        np.array([0, 1e308], np.longdouble) * 10,  # more than a float holds
        np.ones(3),
        np.ones((2, 0)),
        np.array(["a", "b"]),
        np.array([True, True]),
        np.array([0, 1], complex),
        np.array([0, 1], "M8[s]"),
        np.zeros(2, [("x", "f4")]),
        None,
    ],
)
def test_numbers_that_are_none(tmp_path: Path, numbers: np.ndarray | None) -> None:
    path = tmp_path / "glob_norm.npy"
    if numbers is None:
        path.write_text("no array")
    else:
        np.save(path, numbers)
    with pytest.raises(DataError, match="glob_norm"):
        read_norm(path)


@pytest.mark.parametrize(
    "text",
    [
        "mean = -7.5\nstd = 18.25\n",
        "std = 18.25\nmean = -7.5\n",
        '"""Training."""\nimport numpy as np  # dB\n\nglob_norm = np.array([[[-7.5]], [[18.25]]], dtype=np.float32)\n',
        "from numpy import asarray\nasarray((-7.5, 18.25))",
        "-7.5, 18.25",
        "[-7.5e0, 1825e-2]\n",
    ],
)
def test_numbers_in_a_python_file_are_read_where_there_is_no_npy(tmp_path: Path, text: str) -> None:
    (tmp_path / "glob_norm.py").write_text(text)
    assert read_norm(tmp_path / "glob_norm.npy") == (-7.5, 18.25)
    write_norm(tmp_path / "glob_norm.npy", 1.0, 2.0)
    assert read_norm(tmp_path / "glob_norm.npy") == (1.0, 2.0)


def test_an_npy_file_that_is_called_py(tmp_path: Path) -> None:
    write_norm(tmp_path / "a.npy", -7.5, 18.25)
    (tmp_path / "a.npy").rename(tmp_path / "glob_norm.py")
    assert read_norm(tmp_path / "glob_norm.npy") == (-7.5, 18.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("open('executed', 'w')", "line 1"),
        ("import os\nmean = os.system('touch executed')\nstd = 1", "line 2"),
        ("class A: pass", "line 1 is not a value"),
        ("a, b = 1, 2", "line 1 is not a value"),
        ("[1, 2, 3]", "found 3 numbers"),
        ("", "found 0 numbers"),
        ("True, 2", "not a number"),
        ("'1', '2'", "not a number"),
        ("1 + 1, 2", "not a number"),
        ("2, -1", "above 0"),
        ("0, 1e999", "finite"),
        ("0, " + "9" * 1990, "too large"),
        ("0, " + "(" * 900 + "1" + ")" * 900, "nested"),
        ("0, " + "-" * 1900 + "1", "cannot be read"),
        ("0, 1 #" + " " * 2000, "more than 2000 bytes"),
        ("0, \0", "null bytes"),
        ("\N{MINUS SIGN}1, 1", "invalid"),
    ],
)
def test_other_python_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "glob_norm.py").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_norm(tmp_path / "glob_norm.npy")
    assert words in str(caught.value)
    assert "glob_norm.py" in str(caught.value)
    assert not (tmp_path / "executed").exists()


def test_an_unreadable_python_file_names_the_usual_file(tmp_path: Path) -> None:
    (tmp_path / "glob_norm.py").write_text("mean = 1")
    with pytest.raises(DataError, match=r"glob_norm\.py: .*found 1 numbers.*or glob_norm\.npy beside it"):
        read_norm(tmp_path / "glob_norm.npy")
    (tmp_path / "glob_norm.py").unlink()
    with pytest.raises(DataError, match=r"glob_norm\.npy: .*no glob_norm\.py of numbers beside it"):
        read_norm(tmp_path / "glob_norm.npy")


def test_numbers_that_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "glob_norm.npy"
    write_norm(path, -7.5, 18.25)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"glob_norm.*15 bytes of data, expected 16"):
        read_norm(path)


def test_objects_in_a_numbers_file_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "glob_norm.npy", np.array([None, print], dtype=object))
    with pytest.raises(DataError, match="glob_norm"):
        read_norm(tmp_path / "glob_norm.npy")


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(), max_size=300))
def test_safe_names_stay_in_their_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe == safe.strip()
    assert not safe.startswith(".")
    assert not set(safe) & set('/\\\0\n:*?"<>|')
    assert len(safe.encode()) <= 160
    assert safe_name(safe) == safe


@pytest.mark.parametrize("name", ["dog", "Numenius americanus_Long-billed Curlew", "Ünïcödé 鳥", "a.b", "1-100-A-0"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert safe_name(name) == name


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.sampled_from("ab/._~ "), max_size=4), max_size=20, unique=True))
def test_unique_names_are_unique_and_do_not_depend_on_the_order(names: list[str]) -> None:
    pairs = [(name, name) for name in names]
    unique = dict(zip(names, unique_names(pairs), strict=True))
    assert len(set(unique.values())) == len(names)
    assert unique == dict(zip(names[::-1], unique_names(pairs[::-1]), strict=True))
