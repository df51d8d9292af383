"""Exact search: the cosine of every window with what is searched for, and which windows are shown."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.halves import Singles, widen
from fewshot_audio.archive.index import Index, Run
from fewshot_audio.recognition.scoring import Counts
from fewshot_audio.runtime.cores import usable_cores

STEP = 512
"""Windows that are multiplied at once: their numbers of 32 bits stay in the cache of a core."""
LEAST_LENGTH = np.float32(1e-12)
NEAR_DUPLICATE = 0.999
"""Cosine from which two windows count as the same sound."""
BATCH = 256
"""Windows of the ranking that are compared with those shown at once."""
MANY = 50
"""Windows that are ranked first, for each that is shown."""
NOTHING = np.float32(-2)
"""Score of a silent window, below every cosine."""


@dataclass(frozen=True)
class Hit:
    """A window that is shown.

    Attributes:
        window: its number.
        score: what it was ranked by.
        duplicates: windows of the ranking that were left out because they are nearly the same.
    """

    window: int
    score: float
    duplicates: int = 0


def cosines(index: Index, queries: Singles) -> Singles:
    """The largest cosine of each window with one of the queries.

    Args:
        index: the index.
        queries: rows of the network, (queries, width of the block "embedding").

    Returns:
        (windows,), ``NOTHING`` for silent ones.
    """
    unit = np.ascontiguousarray(unit_rows(queries).T)
    scores = np.empty(len(index), np.float32)

    def score(piece: Run) -> None:
        halves = index.read("embedding", piece)
        wide = np.empty((min(STEP, len(halves)), halves.shape[1]), np.float32)
        for begin in range(0, len(halves), STEP):
            part = halves[begin : begin + STEP]
            rows = widen(part, wide[: len(part)])
            scores[piece.first + begin : piece.first + begin + len(part)] = best_cosines(rows, unit)

    with ThreadPoolExecutor(usable_cores()) as threads:
        for _ in threads.map(score, index.pieces()):
            pass
    return scores


def best_cosines(rows: Singles, units: Singles) -> Singles:
    """The largest cosine of each row with a query; ``NOTHING`` for rows without length.

    Shape:
        rows (windows, width), units (width, queries) of length 1 -> (windows,).
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    best = (rows @ units).max(axis=1) / np.maximum(lengths, LEAST_LENGTH)
    scores: Singles = np.where(lengths > LEAST_LENGTH, np.clip(best, -1, 1), NOTHING)
    return scores


def unit_rows(rows: Singles) -> Singles:
    """Rows brought to length 1; (rows, width)."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    unit: Singles = rows / np.maximum(lengths, LEAST_LENGTH)
    return unit


def find_windows(
    index: Index,
    scores: Singles,
    top: int,
    *,
    keys: Singles | None = None,
    chosen: NDArray[np.bool_] | None = None,
    per_recording: int | None = None,
    duplicates: bool = False,
) -> list[Hit]:
    """The windows that are shown.

    Args:
        index: the index.
        scores: of all windows; below -1 for silent ones, which are not shown.
        top: how many are shown.
        keys: by which windows are ranked, the largest first, of equal ones the first; default: the scores.
        chosen: which windows may be shown; default: all.
        per_recording: how many of one recording are shown, at most.
        duplicates: whether windows are shown that are nearly the same as one before.
    """
    may = scores > NOTHING if chosen is None else (scores > NOTHING) & chosen
    windows = np.flatnonzero(may)
    order = -(scores if keys is None else keys)[windows]
    several = MANY * top
    if several < len(windows):  # a whole ranking takes longer than the search
        first = windows[order <= np.partition(order, several)[several]]
        hits = _shown(index, _ranked(first, scores, keys), scores, top, per_recording, duplicates=duplicates)
        if len(hits) == top:
            return hits
    return _shown(index, _ranked(windows, scores, keys), scores, top, per_recording, duplicates=duplicates)


def _ranked(windows: Counts, scores: Singles, keys: Singles | None) -> Counts:
    ranked: Counts = windows[np.argsort(-(scores if keys is None else keys)[windows], kind="stable")]
    return ranked


def _shown(
    index: Index, ranked: Counts, scores: Singles, top: int, per_recording: int | None, *, duplicates: bool
) -> list[Hit]:
    hits: list[Hit] = []
    shown = np.empty((top, index.description.blocks["embedding"]), np.float32)  # pages are taken as it fills
    of_recording: dict[int, int] = {}
    for begin in range(0, len(ranked), BATCH):
        batch = ranked[begin : begin + BATCH]
        numbers = index.recording_of(batch)
        rows = None if duplicates else unit_rows(index.rows("embedding", batch))
        for place, window in enumerate(batch):
            number = int(numbers[place])
            if per_recording is not None and of_recording.get(number, 0) >= per_recording:
                continue
            if rows is not None:
                same = np.flatnonzero(shown[: len(hits)] @ rows[place] >= NEAR_DUPLICATE)
                if len(same):
                    hit = hits[same[0]]
                    hits[same[0]] = Hit(hit.window, hit.score, hit.duplicates + 1)
                    continue
                shown[len(hits)] = rows[place]
            of_recording[number] = of_recording.get(number, 0) + 1
            hits.append(Hit(int(window), float(scores[window])))
            if len(hits) == top:
                return hits
    return hits
