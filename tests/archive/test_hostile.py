"""Indexes that anybody may have made: each fault is refused by the name of its file, and nothing outside is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.metadata import write_metadata
from fewshot_audio.archive.recordings import check_name, locate
from fewshot_audio.errors import DataError
from tests.archive.indexes import DESCRIPTION, WIDTH, recording, write_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = np.ones((5, WIDTH), np.float16)
    return write_index(tmp_path / "index", [recording("a.wav", 2), recording("b/c.wav", 3, site="S")], rows)


def change_line(folder: Path, number: int, **values: Any) -> None:
    journal = folder / "part-0000.jsonl"
    lines = journal.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **values})
    journal.write_text("\n".join(lines) + "\n")


def test_it_is_read(folder: Path) -> None:
    assert len(Index(folder)) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"file": "/etc/passwd"}, "'/etc/passwd', expected a path below"),
        ({"file": "../../secret.wav"}, "expected a path below"),
        ({"file": "b/../../secret.wav"}, "expected a path below"),
        ({"file": "C:/secret.wav"}, "expected a path below"),
        ({"file": "b\\secret.wav"}, "expected a path below"),
        ({"file": "a\0.wav"}, "expected a path below"),
        ({"file": ""}, "expected a path below"),
        ({"file": 3}, "file is 3, expected text"),
        ({"file": "x" * 5000}, "expected text of at most 4096"),
        ({"file": "b/c.wav"}, "line 3: 'b/c.wav' is there twice"),
        ({"windows": 10**9}, "do not fit"),
        ({"windows": 10**9, "samples": 8000 * (10**9 - 1) + 16_000}, "f16: 120 bytes, expected 1000000003 rows"),
        ({"windows": 2**60}, "expected a whole number from 0"),
        ({"windows": -1}, "expected a whole number from 0"),
        ({"windows": 1.5}, "expected a whole number from 0"),
        ({"windows": True}, "expected a whole number from 0"),
        ({"samples": 10}, "2 windows of a recording of 10 samples do not fit"),
        ({"time": "yesterday"}, "time is 'yesterday', expected as 2024"),
        ({"time": "2024-01-01T00:00:00+02:00"}, "expected as 2024"),
        ({"time": "2024-W05-3"}, "expected as 2024"),
        ({"time": "20240131T235900"}, "expected as 2024"),
        ({"time": "2024-01-01T00:00:00.500000"}, "expected as 2024"),
        ({"modified": -(2**63) - 1}, "expected a whole number from -9223372036854775808"),
        ({"time": 20240101}, "time is 20240101, expected text"),
        ({"site": "x" * 3000}, "expected text of at most 2000"),
        ({"code": "import os"}, "unknown key 'code'"),
        ({"removed": "a.wav"}, "unknown key 'removed'"),
    ],
)
def test_a_line_is_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    change_line(folder, 1, **values)
    with pytest.raises(DataError) as refusal:
        Index(folder)
    assert message in str(refusal.value)
    assert "part-0000." in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "line", ["[]", "null", "{", '{"file": NaN}', "[" * 100_000, '{"removed": 3}', '{"removed": "z.wav"}', "x" * 70_000]
)
def test_a_line_that_is_no_recording_is_refused(folder: Path, line: str) -> None:
    with (folder / "part-0000.jsonl").open("a") as journal:
        journal.write(line + "\n")
    with pytest.raises(DataError, match=r"part-0000\.jsonl, line 4: "):
        Index(folder)


def test_another_header_is_refused(folder: Path) -> None:
    change_line(folder, 0, index="1" * 64)
    with pytest.raises(DataError, match="line 1: not the header of a part of this index"):
        Index(folder)


@pytest.mark.parametrize("block", ["embedding", "timbre"])
@pytest.mark.parametrize("size", [0, 7, 119])
def test_rows_that_are_missing_are_refused(folder: Path, block: str, size: int) -> None:
    (folder / f"part-0000.{block}.f16").write_bytes(b"0" * size)
    with pytest.raises(DataError, match=rf"part-0000\.{block}\.f16: {size} bytes, expected 5 rows"):
        Index(folder)


def test_rows_that_are_cut_off_later_are_an_error(folder: Path) -> None:
    index = Index(folder)
    (folder / "part-0000.embedding.f16").write_bytes(b"00")
    with pytest.raises(DataError, match=r"part-0000\.embedding\.f16: cannot be read"):
        index.read("embedding", next(index.pieces()))
    with pytest.raises(DataError, match=r"part-0000\.embedding\.f16: cannot be read"):
        index.rows("embedding", np.array([0]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 2}, "format 2, but this version"),
        ({"format": "1"}, "format"),
        ({"kind": "other"}, "kind"),
        ({"width": 0}, "width"),
        ({"width": 10**12}, "width"),
        ({"rows": 10**6}, "rows"),
        ({"hop": 0}, "hop"),
        ({"hop": 16_001}, "hop is 16001, expected at most a window of 16000"),
        ({"timbre": 7}, "timbre"),
        ({"network": "short"}, "network"),
        ({"encoders": {"../up": {"digest": "0" * 64, "width": 3}}}, "encoders"),
        ({"encoders": {f"e{n}": {"digest": "0" * 64, "width": 3} for n in range(9)}}, "encoders"),
        ({"preprocessing": {"segment_seconds": 1e9}}, "preprocessing"),
        ({"more": 1}, "more"),
    ],
)
def test_a_description_is_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    path = folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(DataError, match=message) as refusal:
        Index(folder)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"\xff\xff", b"{" * 70_000, b'{"a": 1, "a": 1}', b"[" * 60_000])
def test_a_description_that_is_no_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "index.json").write_bytes(content)
    with pytest.raises(DataError, match=r"index\.json"):
        Index(folder)
    with pytest.raises(DataError, match="not an index"):
        Index(folder.parent)


def test_other_files_are_left_alone(folder: Path) -> None:
    (folder / "part-1.jsonl").write_text("nothing")
    (folder / "part-0000.jsonl.bak").write_text("nothing")
    (folder / "part-9999.jsonl").write_text("")  # of a process that was killed before its first line
    assert len(Index(folder)) == 5


def test_links_that_lead_out_of_the_archive_are_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (tmp_path / "archive" / "link.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(DataError, match="a link that leads outside of"):
        locate(tmp_path / "archive", "link.wav")
    assert locate(tmp_path / "archive", "a/b.wav") == tmp_path / "archive" / "a" / "b.wav"


@given(st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_name_that_is_taken_is_below_the_folder(name: str) -> None:
    try:
        check_name(name)
    except DataError:
        return
    base = Path("/archive")
    assert (base / name).resolve().is_relative_to(base)


@given(
    values=st.dictionaries(
        st.sampled_from(["file", "size", "modified", "windows", "samples", "rate", "time"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.integers())),
    )
)
@settings(max_examples=40, deadline=None)
def test_any_values_are_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("any") / "index"
    write_index(folder, [recording("a.wav", 2)], np.ones((2, WIDTH), np.float16))
    change_line(folder, 1, **values)
    try:
        index = Index(folder)
    except DataError:
        return
    assert len(index) * DESCRIPTION.width * 2 <= (folder / "part-0000.embedding.f16").stat().st_size


def test_numbers_that_are_none_do_not_spread(folder: Path) -> None:
    """Rows of NaN and infinity, which no index that is made here has."""
    from fewshot_audio.archive.search import cosines

    for block, width in DESCRIPTION.blocks.items():
        rows = np.ones((5, width), np.float16)
        rows[0], rows[1] = np.nan, np.inf
        (folder / f"part-0000.{block}.f16").write_bytes(rows.tobytes())
    scores = cosines(Index(folder), np.ones((1, WIDTH), np.float32))
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[2:], 1, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,depth\na.wav,3\n", "column 'file' is missing"),
        ("file,site\na.wav,S\n", "column 'site': which an index has by itself"),
        ("file,a b\na.wav,3\n", "column 'a b': expected names of letters"),
        ("file,And\na.wav,3\n", "column 'And': a word of conditions"),
        ("file,Site\na.wav,3\n", "column 'Site': which an index has by itself"),
        ("file,x,x\na.wav,3,3\n", "column 'x'"),
        ("file," + ",".join(f"c{n}" for n in range(200)) + "\n", "more than 100 columns"),
        ("", "column 'file' is missing"),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        write_metadata(tmp_path / "table.csv", folder, [])
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        _ = Index(folder).metadata


def test_a_table_is_joined_by_name_or_by_base_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("file;depth\nc.wav;3\na.wav;x\nother.wav;5\n")
    assert write_metadata(tmp_path / "table.csv", folder, ["a.wav", "b/c.wav"]) == 2
    metadata = Index(folder).metadata
    assert dict(metadata.columns) == {"depth": ["x", "3"]}
    assert metadata.joined == 2
    former = (folder / "metadata.csv").read_text()
    (tmp_path / "table.csv").write_text("file,depth\nc.wav,3\nb/c.wav,4\n")
    with pytest.raises(DataError, match=r"table\.csv, line 3: a second row"):
        write_metadata(tmp_path / "table.csv", folder, ["a.wav", "b/c.wav"])
    assert (folder / "metadata.csv").read_text() == former
    (folder / "metadata.csv").write_text("file,depth\nc.wav,3\nb/c.wav,4\n")
    with pytest.raises(DataError, match=r"line 3: a second row of 'b/c\.wav'"):
        _ = Index(folder).metadata
