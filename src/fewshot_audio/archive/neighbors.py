"""Many exact searches of one index: most windows are ruled out by a bound on their cosine, without being read.

Of each window of length 1 only its part in the few directions in which windows differ most is held in memory, and the
length of the rest. The cosine with a query is at most the product of the parts plus that of the lengths of the rests.
"""

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.halves import Singles, widen
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.search import LEAST_LENGTH, NOTHING, best_cosines, unit_rows
from fewshot_audio.recognition.scoring import Counts

DIRECTIONS = 32
MOST_SAMPLED = 20_000  # windows that the directions are found by
FIRST = 1000  # windows that are read in any case
ROUNDING = np.float32(1e-4)
"""What a bound may be too low by, of sums of 32 bits."""


class Neighbors:
    """Searches an index exactly; it holds 132 bytes of each window in memory, and reads the index once to begin with.

    Args:
        index: the index.

    Attributes:
        is_silent: which windows are, (windows,).
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        sample = np.arange(0, len(index), max(1, len(index) // MOST_SAMPLED))
        rows = unit_rows(index.rows("embedding", sample))
        _, vectors = np.linalg.eigh(rows.T @ rows)
        self._directions: Singles = np.ascontiguousarray(vectors[:, ::-1][:, :DIRECTIONS])
        self._parts = np.empty((len(index), self._directions.shape[1]), np.float32)
        self._rests = np.empty(len(index), np.float32)
        self.is_silent: NDArray[np.bool_] = np.empty(len(index), np.bool_)
        for piece in index.pieces():
            rows = widen(index.read("embedding", piece))
            place = slice(piece.first, piece.first + piece.windows)
            self.is_silent[place] = np.einsum("ij,ij->i", rows, rows) <= LEAST_LENGTH**2
            self._parts[place], self._rests[place] = self._split(unit_rows(rows))

    def _split(self, units: Singles) -> tuple[Singles, Singles]:
        parts = units @ self._directions
        return parts, np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", parts, parts), 0))

    def nearest(self, queries: Singles, count: int, chosen: NDArray[np.bool_] | None = None) -> tuple[Counts, Singles]:
        """The windows with the largest cosines with one of the queries, as ``search.cosines`` gives them.

        Args:
            queries: rows of the network, (queries, width of the block "embedding").
            count: how many windows.
            chosen: which windows may be among them, (windows,); default: all.

        Returns:
            The windows, the nearest first, and their cosines; fewer if there are not as many that are not silent.
        """
        units = unit_rows(queries)
        bounds = np.full(len(self._parts), NOTHING)
        for part, rest in zip(*self._split(units), strict=True):
            np.maximum(bounds, self._parts @ part + rest * self._rests, out=bounds)
        bounds[self.is_silent if chosen is None else self.is_silent | ~chosen] = NOTHING
        first = min(max(FIRST, count), len(bounds))
        windows = np.sort(np.argpartition(-bounds, first - 1)[:first]) if first else np.empty(0, np.int64)
        windows = windows[bounds[windows] > NOTHING]
        scores = self._cosines(windows, units)
        least = np.sort(scores)[-count] if len(scores) >= count else NOTHING
        bounds[windows] = NOTHING
        others = np.flatnonzero(bounds > max(least - ROUNDING, NOTHING))
        windows, scores = np.append(windows, others), np.append(scores, self._cosines(others, units))
        order = np.lexsort((windows, -scores))[:count]
        return windows[order], scores[order]

    def _cosines(self, windows: Counts, units: Singles) -> Singles:
        scores = np.empty(len(windows), np.float32)
        for begin in range(0, len(windows), FIRST):
            part = slice(begin, begin + FIRST)
            scores[part] = best_cosines(self._index.rows("embedding", windows[part]), units.T)
        return scores
