"""Call density: on simulated archives, whose truth is known, intervals hold it as often as they say."""

import csv
import io
import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.archive.density import (
    GROUPS,
    Density,
    densities,
    read_validated,
    sample_table,
    sample_windows,
    score_groups,
    windows_by_place,
    without_validated,
)
from fewshot_audio.archive.index import Index
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.scoring import Floats
from tests.archive.indexes import WIDTH, recording, write_index
from tests.shell import Shell

SITES = 6
Truth = np.ndarray[tuple[int], np.dtype[np.bool_]]


def simulated(seed: int, windows: int = 6000) -> tuple[Floats, Truth, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Scores, whether each window holds the call, and its site; sites have from few to many calls.

    Whether a window holds the call depends on its score only, as is assumed; sites differ in the scores they have.
    """
    random = np.random.default_rng(seed)
    site = random.integers(SITES, size=windows)
    scores = random.beta(1 + site / 2, 4)
    truth = random.random(windows) < scores**2
    return scores, truth, site


def estimated(seed: int, count: int, confidence: float) -> tuple[list[Density], Floats]:
    scores, truth, site = simulated(seed)
    chosen = sample_windows(scores, count, seed)
    places = [(f"S{number}", "") for number in range(SITES)]
    values = densities(scores, chosen, truth[chosen], places, site, confidence, seed)
    return values, np.array([truth[site == number].mean() for number in range(SITES)])


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence: float) -> None:
    held, widths, errors = [], [], []
    for seed in range(60):
        values, truth = estimated(seed, 240, confidence)
        held += [own.low <= true <= own.high for own, true in zip(values, truth, strict=True)]
        widths += [own.high - own.low for own in values]
        errors += [own.density - true for own, true in zip(values, truth, strict=True)]
    assert confidence - 0.06 <= np.mean(held) <= min(1.0, confidence + 0.13)
    assert np.mean(widths) < 0.2
    assert abs(np.mean(errors)) < 0.01


def test_more_validated_windows_give_narrower_intervals() -> None:
    widths = [np.mean([own.high - own.low for own in estimated(3, count, 0.9)[0]]) for count in (60, 240, 1500)]
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_groups_are_halves_and_silent_windows_are_in_none() -> None:
    scores = np.random.default_rng(0).random(6400)
    assert np.bincount(score_groups(scores)).tolist() == [3200, 1600, 800, 400, 200, 200]
    assert scores[score_groups(scores) == GROUPS - 1].min() > scores[score_groups(scores) < GROUPS - 1].max()
    scores[::2] = np.nan
    groups = score_groups(scores)
    assert (groups[::2] == -1).all()
    assert np.bincount(groups[1::2]).tolist() == [1600, 800, 400, 200, 100, 100]
    assert np.isfinite(scores[sample_windows(scores, 600)]).all()
    assert np.bincount(groups[sample_windows(scores, 600)]).tolist() == [100] * 6
    assert len(sample_windows(scores, 10_000)) == 3200


def test_equal_scores_prefer_no_site() -> None:
    groups = score_groups(np.zeros(4000))
    first, second = (np.bincount(part, minlength=GROUPS) for part in (groups[:2000], groups[2000:]))
    assert (np.abs(first - second) < 5 * np.sqrt(first + second)).all()
    assert first.min() > 0
    assert second.min() > 0


def test_silent_windows_hold_nothing() -> None:
    scores = np.full(1000, np.nan)
    scores[:500] = np.linspace(0, 1, 500)
    everything = np.arange(500)
    (own,) = densities(scores, everything, np.ones(500, bool), [("", "")], np.zeros(1000, np.int64))
    assert (own.windows, own.validated, own.density, own.low, own.high) == (1000, 500, 0.5, 0.5, 0.5)


def test_a_table_goes_out_and_comes_back(indexed: Path, tmp_path: Path) -> None:
    index = Index(indexed)
    windows = np.array([0, 3, 5, 8])
    text = sample_table(index, np.linspace(0, 1, len(index)), windows)
    lines = text.splitlines()
    answers = ["yes", "no", "", "X"]
    table = tmp_path / "validated.csv"
    table.write_text("\n".join([lines[0], *(line + word for line, word in zip(lines[1:], answers, strict=True))]))
    numbers, present = read_validated(index, table)
    assert numbers.tolist() == [0, 3, 8]
    assert present.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("B/short.wav,0,maybe", "line 2: present is 'maybe', expected yes or no"),
        ("B/none.wav,0,yes", "line 2: 'B/none.wav at 0' is no window"),
        ("B/short.wav,1e400,yes", "is no window"),
        ("B/short.wav,x,yes", "is no window"),
        ("B/short.wav,99,yes", "is no window"),
        ("B/short.wav,0,", "no window whose column present says yes or no"),
        ("B/short.wav,0,yes\nB/short.wav,0,no", "line 3: a window that was there before"),
    ],
)
def test_a_wrong_table_is_refused_by_line(indexed: Path, tmp_path: Path, row: str, message: str) -> None:
    table = tmp_path / "validated.csv"
    table.write_text(f"file,start,present\n{row}\n")
    with pytest.raises(DataError, match=message):
        read_validated(Index(indexed), table)


def test_windows_are_counted_by_site_and_day(indexed: Path) -> None:
    index = Index(indexed)
    places, place_of = windows_by_place(index)
    named = []
    for window in range(len(index)):
        own, start, _ = index.times(window)
        date = datetime.fromisoformat(own.time) + timedelta(seconds=start) if own.time else ""
        named.append((own.site, str(date)[:10]))
    assert [places[place] for place in place_of] == named
    assert places == sorted(set(named))
    assert ("B", "") in places


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    folder = write_index(tmp_path / "index", [recording(name, 3)], np.ones((3, WIDTH), np.float16))
    (tmp_path / "sample.csv").write_bytes(sample_table(Index(folder), np.ones(3), np.array([1])).encode())
    table = (tmp_path / "sample.csv").read_text()
    assert "caf\\xe9.wav" in table
    (tmp_path / "sample.csv").write_text(table.rstrip("\n") + "no\n")
    assert read_validated(Index(folder), tmp_path / "sample.csv")[0].tolist() == [1]


def test_scores_without_validated_windows_are_counted() -> None:
    scores = np.append(np.linspace(0, 1, 64), np.nan)
    assert without_validated(scores, np.array([63, 20, 64])) == 30  # the lower half has one, the highest group another
    assert without_validated(scores, sample_windows(scores, GROUPS)) == 0


def test_the_command(shell: Shell, indexed: Path, bundle: Path, tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    assert shell("density", indexed, f"{bundle}:chirp", "--sample", 8, "-o", sample).code == 0
    rows = list(csv.DictReader(io.StringIO(sample.read_text())))
    assert len(rows) == 8
    for row in rows:
        row["present"] = "yes" if row["file"] == "B/chirps.flac" else "no"
    lines = [",".join(row.values()) for row in rows]
    sample.write_text("\n".join([",".join(rows[0]), *lines]) + "\n")
    picture = tmp_path / "density.svg"
    done = shell("density", indexed, f"{bundle}:chirp", sample, "--picture", picture)
    assert done.code == 0
    table = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["site"], row["date"]) for row in table] == [
        ("A", "2024-02-01"),
        ("B", ""),
        ("POND", "2024-01-31"),
        ("POND", "2024-02-01"),  # the recording passes midnight
    ]
    assert all(0 <= float(row["low"]) <= float(row["density"]) <= float(row["high"]) <= 1 for row in table)
    assert "POND" in picture.read_text()
    assert "none was validated" not in done.err
    sample.write_text("\n".join([",".join(rows[0]), lines[0]]) + "\n")
    assert "have scores of which none was validated" in " ".join(
        shell("density", indexed, f"{bundle}:chirp", sample).err.split()
    )


@pytest.mark.parametrize(
    "words", [[], ["x.csv", "--sample", 3], ["--sample", 3, "--picture", "x.png"], ["--sample", 3, "--confidence", 0.9]]
)
def test_contradicting_options_are_refused(shell: Shell, indexed: Path, bundle: Path, words: list[str]) -> None:
    assert shell("density", indexed, f"{bundle}:chirp", *words).code == 2
    assert "expected BUNDLE:CLASS" in shell("density", indexed, "chirp", "--sample", 3).err
