"""Call density: the share of windows that hold a sound, by site and day, with intervals, from a validated sample.

No threshold decides: windows are grouped by score, people say of some windows of each group whether they hold the
sound, and each group's share is carried over to all of its windows (Navine et al. 2024, "All thresholds barred",
Frontiers in Bird Science 3). It is assumed that windows of one score hold the sound equally often at all sites and on
all days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.columns import Columns
from fewshot_audio.archive.index import Index
from fewshot_audio.data.csv_files import csv_text, read_numbered_rows
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.scoring import Counts, Floats

GROUPS = 6
"""Groups of scores: the lower half of windows, the quarter above, and so on; the last one holds 1 of 32."""
CONFIDENCE = 0.9
"""Share of intervals that hold the true density."""
PRIOR = 0.5
"""Jeffreys' prior: validated windows that each group has beforehand, of either kind."""
DRAWS = 2000
YES = frozenset({"1", "yes", "y", "true", "x"})
NO = frozenset({"0", "no", "n", "false"})
SAMPLE_COLUMNS = ("file", "start", "end", "score", "present")
COLUMNS = ("site", "date", "windows", "validated", "density", "low", "high")


@dataclass(frozen=True)
class Density:
    """The density at a site on a day.

    Args:
        site: "" if it is not known.
        date: as 2024-01-31; "" if it is not known.
        windows: how many there are.
        validated: how many of them were validated.
        density: share of windows that hold the sound.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    site: str
    date: str
    windows: int
    validated: int
    density: float
    low: float
    high: float


def score_groups(scores: Floats, seed: int = 0) -> Counts:
    """The group of each window by its score: half of all in group 0, a quarter in group 1, ...; (windows,).

    Windows of equal scores are taken in random order, so that no site is preferred. Silent ones, whose score is NaN,
    are in no group: -1.
    """
    loud = np.flatnonzero(~np.isnan(scores))
    order = np.lexsort((np.random.default_rng(seed).random(len(loud)), -scores[loud]))
    ranks = np.empty(len(loud), np.int64)
    ranks[order] = np.arange(1, len(loud) + 1)  # 1 for the highest score
    groups = np.full(len(scores), -1, np.int64)
    groups[loud] = np.minimum(np.floor(-np.log2(ranks / max(1, len(loud)))), GROUPS - 1)
    return groups


def sample_windows(scores: Floats, count: int, seed: int = 0) -> Counts:
    """Windows to be validated: equally many of each group at random, as far as there are any; (count,) at most."""
    groups = score_groups(scores)
    shuffled = np.random.default_rng(seed).permutation(len(scores))
    rank = np.full(len(scores), len(scores))
    for group in range(GROUPS):
        own = shuffled[groups[shuffled] == group]
        rank[own] = np.arange(len(own))
    first = np.lexsort((-groups, rank))[: min(count, int((groups >= 0).sum()))]
    chosen: Counts = np.sort(first)
    return chosen


def densities(
    scores: Floats,
    validated: Counts,
    present: NDArray[np.bool_],
    places: Sequence[tuple[str, str]],
    place_of: Counts,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> list[Density]:
    """Densities at places.

    A group's share has the Beta distribution that its validated windows leave; how many of the other windows of a place
    hold the sound is drawn from it. The interval lies between quantiles of such draws.

    Args:
        scores: of all windows, (windows,); NaN for silent ones, which do not hold the sound.
        validated: numbers of windows that were validated.
        present: whether each of these holds the sound.
        places: site and date of each place.
        place_of: number of each window's place, (windows,).
        confidence: share of intervals that are to hold the true density.
        seed: of the draws.
    """
    random, groups = np.random.default_rng(seed), score_groups(scores)
    heard = groups[validated] >= 0
    validated, present = validated[heard], present[heard]
    of_validated = groups[validated]
    positive = np.bincount(of_validated[present], minlength=GROUPS)
    negative = np.bincount(of_validated[~present], minlength=GROUPS)
    shares = random.beta(positive + PRIOR, negative + PRIOR, size=(DRAWS, GROUPS))
    loud = groups >= 0
    cells = np.zeros((len(places), GROUPS), np.int64)
    np.add.at(cells, (place_of[loud], groups[loud]), 1)
    totals = np.bincount(place_of, minlength=len(places))
    seen = np.zeros((len(places), GROUPS), np.int64)
    np.add.at(seen, (place_of[validated], of_validated), 1)
    held = np.bincount(place_of[validated][present], minlength=len(places))
    edges = (1 - confidence) / 2, 1 - (1 - confidence) / 2
    result = []
    for number, (site, date) in enumerate(places):
        windows = int(totals[number])
        counts = random.binomial(cells[number] - seen[number], shares).sum(axis=1) + held[number]
        low, high = np.quantile(counts / windows, edges)
        mean = ((cells[number] - seen[number]) * (positive + PRIOR) / (positive + negative + 2 * PRIOR)).sum()
        density = (mean + held[number]) / windows
        result.append(Density(site, date, windows, int(seen[number].sum()), float(density), float(low), float(high)))
    return result


def windows_by_place(index: Index) -> tuple[list[tuple[str, str]], Counts]:
    """Site and date of each place, in order, and the number of each window's place."""
    counts = [recording.windows for recording in index.recordings]
    sites, site_of = np.unique([recording.site for recording in index.recordings], return_inverse=True)
    dates, date_of = Columns(index).dates
    pairs, place_of = np.unique(np.repeat(site_of, counts) * len(dates) + date_of, return_inverse=True)
    return [(str(sites[pair // len(dates)]), dates[pair % len(dates)]) for pair in pairs.tolist()], place_of


def without_validated(scores: Floats, validated: Counts) -> int:
    """How many windows are in groups of which none was validated: of their share only the prior is known, a half."""
    groups = score_groups(scores)
    loud = groups[groups >= 0]
    return int((~np.isin(loud, groups[validated])).sum())


def sample_table(index: Index, scores: Floats, windows: Counts) -> str:
    """A table of windows to be validated, in whose column "present" a person writes yes or no."""
    rows: list[Sequence[object]] = [SAMPLE_COLUMNS]
    for window in windows.tolist():
        recording, start, end = index.times(window)
        rows.append((as_text(recording.file), round(start, 4), round(end, 4), round(float(scores[window]), 4), ""))
    return csv_text(rows)


def read_validated(index: Index, table: Path) -> tuple[Counts, NDArray[np.bool_]]:
    """The windows of a table that ``sample_table`` made, and whether each holds the sound; empty cells are left out.

    Raises:
        DataError: the table cannot be read, names no window of the index or one twice, or says neither yes nor no.
    """
    place = {as_text(recording.file): number for number, recording in enumerate(index.recordings)}
    seconds = index.description.hop / index.description.rate
    found: dict[int, bool] = {}
    for line, row in read_numbered_rows(table, ["file", "start", "present"]):
        word = row["present"].strip().lower()
        if not word:
            continue
        if word not in YES | NO:
            raise DataError(f"{table}, line {line}: present is {on_one_line(word[:40])!r}, expected yes or no")
        number = place.get(row["file"])
        try:
            window = round(float(row["start"]) / seconds)
        except (ValueError, OverflowError):
            window = -1
        if number is None or not 0 <= window < index.recordings[number].windows:
            named = on_one_line(f"{row['file']} at {row['start']}"[:100])
            raise DataError(f"{table}, line {line}: {named!r} is no window of {index.folder}")
        window += int(index.first_windows[number])
        if window in found:
            raise DataError(f"{table}, line {line}: a window that was there before")
        found[window] = word in YES
    if not found:
        raise DataError(f"{table}: no window whose column present says yes or no")
    return np.array(list(found), np.int64), np.array(list(found.values()), bool)


def density_table(values: Sequence[Density]) -> str:
    """The densities as CSV, with the columns ``COLUMNS``."""
    rows: list[Sequence[object]] = [COLUMNS]
    for own in values:
        shares = (round(value, 6) for value in (own.density, own.low, own.high))
        rows.append((own.site, own.date, own.windows, own.validated, *shares))
    return csv_text(rows)
