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
    lengths = np.linalg.norm(queries, axis=1, keepdims=True)
    unit = np.ascontiguousarray((queries / np.maximum(lengths, LEAST_LENGTH)).T)
    scores = np.empty(len(index), np.float32)

    def score(piece: Run) -> None:
        halves = index.read("embedding", piece)
        wide = np.empty((min(STEP, len(halves)), halves.shape[1]), np.float32)
        for begin in range(0, len(halves), STEP):
            part = halves[begin : begin + STEP]
            rows = widen(part, wide[: len(part)])
            length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            best = (rows @ unit).max(axis=1) / np.maximum(length, LEAST_LENGTH)
            first = piece.first + begin
            scores[first : first + len(part)] = np.where(length > LEAST_LENGTH, np.clip(best, -1, 1), NOTHING)

    with ThreadPoolExecutor(usable_cores()) as threads:
        for _ in threads.map(score, index.pieces()):
            pass
    return scores


def ranking(scores: Singles, chosen: NDArray[np.bool_] | None = None, around: float | None = None) -> Counts:
    """Windows in the order in which they are shown, without silent ones; of equal ones the first.

    Args:
        scores: of all windows.
        chosen: which windows may be shown; default: all.
        around: a score; the windows whose scores are nearest to it come first. Default: the highest scores do.
    """
    may = scores > NOTHING if chosen is None else (scores > NOTHING) & chosen
    windows = np.flatnonzero(may)
    keys = -scores[windows] if around is None else np.abs(scores[windows] - np.float32(around))
    order: Counts = windows[np.argsort(keys, kind="stable")]
    return order


def select(
    index: Index,
    ranked: Counts,
    scores: Singles,
    top: int,
    *,
    per_recording: int | None = None,
    duplicates: bool = False,
) -> list[Hit]:
    """The windows that are shown.

    Args:
        index: the index.
        ranked: windows in the order in which they are shown.
        scores: of all windows.
        top: how many are shown.
        per_recording: how many of one recording are shown, at most.
        duplicates: whether windows are shown that are nearly the same as one before.
    """
    hits: list[Hit] = []
    shown = np.empty((top, index.description.blocks["embedding"]), np.float32)  # pages are taken as it fills
    of_recording: dict[int, int] = {}
    for begin in range(0, len(ranked), BATCH):
        batch = ranked[begin : begin + BATCH]
        numbers = index.recording_of(batch)
        rows = None if duplicates else _unit(index.rows("embedding", batch))
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


def _unit(rows: Singles) -> Singles:
    unit: Singles = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), LEAST_LENGTH)
    return unit
