"""Exact search against a search that compares everything with everything, in float64."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fewshot_audio.archive import queries
from fewshot_audio.archive.halves import narrow, widen
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.neighbors import Neighbors
from fewshot_audio.archive.search import NEAR_DUPLICATE, cosines, find_windows
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.recognizer import Recognizer
from tests.archive.indexes import WIDTH, recording, write_index
from tests.recognition import recognizers
from tests.shell import Shell


def brute_force(rows: NDArray[np.float16], queries: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest cosine of each row, -2 for rows of zeros."""
    exact, wanted = rows.astype(np.float64), queries.astype(np.float64)
    result = np.full(len(rows), -2.0)
    for number, row in enumerate(exact):
        if row.any():
            result[number] = max(row @ q / np.linalg.norm(row) / np.linalg.norm(q) for q in wanted)
    return result


def random_index(folder: Path, seed: int) -> tuple[Index, NDArray[np.float16]]:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 40, size=12).tolist()
    rows = random.normal(size=(sum(counts), WIDTH)) * random.uniform(0.01, 1, size=WIDTH) ** 2 + 0.1
    rows[random.random(len(rows)) < 0.1] = 0
    halves = rows.astype(np.float16)
    recordings = [recording(f"{number}.wav", count) for number, count in enumerate(counts)]
    index = Index(write_index(folder, recordings, halves, parts=3))
    # The index's own order: one partition after the other.
    assert [r.file for r in index.recordings] == [r.file for part in range(3) for r in recordings[part::3]]
    return index, halves


@pytest.mark.parametrize("seed", range(6))
def test_search_is_brute_force(tmp_path: Path, seed: int) -> None:
    index, rows = random_index(tmp_path / "index", seed)
    random = np.random.default_rng(seed + 100)
    for n_queries in (1, 3):
        queries = random.normal(size=(n_queries, WIDTH)).astype(np.float32)
        expected = brute_force(rows, queries)
        scores = cosines(index, queries)
        np.testing.assert_allclose(scores, expected, atol=2e-6)
        chosen = random.random(len(rows)) < 0.5
        order = [w for w in np.argsort(-scores, kind="stable").tolist() if chosen[w] and expected[w] > -2]
        hits = find_windows(index, scores, 7, chosen=chosen, duplicates=True)
        assert [hit.window for hit in hits] == order[:7]
        windows, near = Neighbors(index).nearest(queries, 7, chosen)
        np.testing.assert_allclose(near, scores[order[:7]], atol=2e-6)
        np.testing.assert_allclose(scores[windows], scores[order[:7]], atol=2e-6)


def test_a_bound_rules_out_no_neighbor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few windows read in any case and few directions, the bound has to decide."""
    monkeypatch.setattr("fewshot_audio.archive.neighbors.FIRST", 5)
    monkeypatch.setattr("fewshot_audio.archive.neighbors.DIRECTIONS", 2)
    index, rows = random_index(tmp_path / "index", 9)
    neighbors = Neighbors(index)
    for seed in range(20):
        query = np.random.default_rng(seed).normal(size=(1, WIDTH)).astype(np.float32)
        expected = np.sort(brute_force(rows, query))[::-1][:9]
        np.testing.assert_allclose(neighbors.nearest(query, 9)[1], expected, atol=2e-6)


def test_an_empty_index_and_one_without_sound(tmp_path: Path) -> None:
    query = np.ones((1, WIDTH), np.float32)
    for name, windows in (("empty", 0), ("silent", 3)):
        rows = np.zeros((windows, WIDTH), np.float16)
        index = Index(write_index(tmp_path / name, [recording("a.wav", windows)], rows))
        assert find_windows(index, cosines(index, query), 5) == []
        assert len(Neighbors(index).nearest(query, 5)[0]) == 0


def test_near_duplicates_and_the_number_for_each_recording(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(4, WIDTH))
    rows = np.concatenate([base, base * 2, base + 1e-3]).astype(np.float16)
    index = Index(write_index(tmp_path / "index", [recording(f"{n}.wav", 4) for n in range(3)], rows))
    scores = cosines(index, base[:1].astype(np.float32))
    hits = find_windows(index, scores, 12)
    assert sorted(hit.window % 4 for hit in hits) == [0, 1, 2, 3]
    assert [hit.duplicates for hit in hits] == [2] * 4
    for one in hits:
        for other in hits:
            if one is not other:
                left, right = rows[one.window].astype(float), rows[other.window].astype(float)
                assert left @ right < NEAR_DUPLICATE * np.linalg.norm(left) * np.linalg.norm(right)
    assert len(find_windows(index, scores, 12, duplicates=True)) == 12
    few = find_windows(index, scores, 12, duplicates=True, per_recording=2)
    assert sorted(index.times(hit.window)[0].file for hit in few) == ["0.wav"] * 2 + ["1.wav"] * 2 + ["2.wav"] * 2


def test_many_duplicates_do_not_hide_what_follows(tmp_path: Path) -> None:
    """More copies than are ranked at first."""
    rows = np.ones((300, WIDTH), np.float16)
    rows[-1, 0] = -1
    index = Index(write_index(tmp_path / "index", [recording("a.wav", 300)], rows))
    hits = find_windows(index, cosines(index, np.ones((1, WIDTH), np.float32)), 2)
    assert [(hit.window, hit.duplicates) for hit in hits] == [(0, 298), (299, 0)]


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_numbers_of_16_bits_become_the_same_ones(bits: list[int]) -> None:
    halves = np.array([bits], np.uint16).view(np.float16)
    finite = np.isfinite(halves)
    wide = widen(halves)
    np.testing.assert_array_equal(wide[finite], halves[finite].astype(np.float32))
    assert np.isfinite(wide).all()


def test_too_large_numbers_are_refused() -> None:
    for value in (7e4, np.nan, np.inf):
        with pytest.raises(DataError, match="65504"):
            narrow(np.array([[value]], np.float32))


def found(shell: Shell, *words: object) -> list[dict[str, str]]:
    done = shell("search", *words)
    assert done.code == 0, done.err
    return list(csv.DictReader(io.StringIO(done.out)))


def test_the_command_finds_by_sound_by_table_and_by_class(
    shell: Shell, indexed: Path, archive: Path, bundle: Path, tmp_path: Path
) -> None:
    own = ("--bundle", bundle)
    rows = found(shell, indexed, archive / "B" / "short.wav", *own, "--top", 3)
    assert (rows[0]["file"], rows[0]["label"], float(rows[0]["score"])) == ("B/short.wav", "short", 1.0)
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    (tmp_path / "events.csv").write_text("file,start,end,label\nB/chirps.flac,0,0.5,chirp\n")
    rows = found(shell, indexed, tmp_path / "events.csv", "--audio", archive, *own, "--top", 1)
    assert (rows[0]["file"], rows[0]["start"], rows[0]["label"]) == ("B/chirps.flac", "0.0", "chirp")
    assert float(rows[0]["score"]) == pytest.approx(1, abs=0.02)  # 16 bits on disk
    rows = found(shell, indexed, f"{bundle}:chirp", "--where", "site = 'B' and start >= 1", "--top", 3)
    assert {row["file"] for row in rows} == {"B/chirps.flac"}
    assert min(float(row["start"]) for row in rows) >= 1
    margins = found(shell, indexed, f"{bundle}:chirp", "--margin", "--top", 2, "--duplicates", "--archive", archive)
    assert margins[0]["file"].startswith(str(archive))
    distances = [abs(float(row["score"]) - 0.5) for row in margins]
    assert distances[0] < 0.5


def test_scores_around_another(shell: Shell, indexed: Path, bundle: Path) -> None:
    words = (indexed, f"{bundle}:chirp", "--top", 5, "--duplicates")
    everything = [float(row["score"]) for row in found(shell, *words[:2], "--top", 1000, "--duplicates")]
    middle = float(np.median(everything))
    around = [float(row["score"]) for row in found(shell, *words, "--around", middle)]
    expected = sorted(abs(score - middle) for score in everything)[:5]
    assert [abs(score - middle) for score in around] == pytest.approx(expected, abs=2e-4)


def test_selection_tables_of_a_folder(shell: Shell, indexed: Path, bundle: Path, tmp_path: Path) -> None:
    done = shell("search", indexed, f"{bundle}:chirp", "--format", "raven", "-o", tmp_path / "tables", "--top", 50)
    assert done.code == 0
    lines = (tmp_path / "tables" / "chirps.flac.selections.txt").read_text().splitlines()
    starts = [float(line.split("\t")[3]) for line in lines[1:]]
    assert starts == sorted(starts)
    assert (tmp_path / "tables" / "files.csv").is_file()


def test_of_too_many_events_the_first_are_searched_for_and_that_is_said(
    archive: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_QUERIES", 2)
    (tmp_path / "events.csv").write_text(
        "file,start,end,label\n" + "".join(f"B/chirps.flac,{n},{n + 0.5},chirp\n" for n in range(3))
    )
    found = queries.file_queries(Recognizer.load(bundle), tmp_path / "events.csv", archive)
    assert len(found.rows) == 2
    assert "of 3 events, the first 2 are searched for" in found.remarks[-1]


def test_what_cannot_be_searched_for_is_said(shell: Shell, indexed: Path, bundle: Path, tmp_path: Path) -> None:
    assert "no class 'owl' is enrolled (enrolled: chirp" in " ".join(
        shell("search", indexed, f"{bundle}:owl").err.split()
    )
    assert shell("search", indexed, "x.wav", "--margin").code == 2
    for words in (["--bundle", bundle], ["--audio", tmp_path], ["--around", "nan"]):
        assert shell("search", indexed, f"{bundle}:chirp", *words).code == 2
    assert shell("search", indexed, "x.wav", "--audio", tmp_path).code == 2
    done = shell("search", indexed, "missing.wav", "--bundle", bundle)
    assert done.code == 1
    assert "missing.wav" in done.err
    done = shell("search", indexed, "missing.wav")  # by the shipped network
    assert "another network" in " ".join(done.err.split())
    done = shell("search", indexed, f"{bundle}:chirp", "--where", "sit = 1")
    assert done.code == 2
    assert "nearest: site" in done.err
    recognizers.recognizer(enrolled=False).save(tmp_path / "none")
    assert "no class 'chirp'" in shell("search", indexed, f"{tmp_path / 'none'}:chirp").err
