"""Pictures of a clip as the network hears it, and the map of embeddings."""

import base64
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.serve.messages import Picture

COLUMNS = 640  # more than a page shows
RANGE_DB = 80.0

Floats = npt.NDArray[np.floating]


def picture(samples: Samples, preprocessing: Preprocessing) -> Picture:
    """Draw a clip (samples,) by its own preprocessing: normalised, cut into segments, the last one filled up.

    Raises Rejected as ``Preprocessing.normalise`` does.
    """
    segments = preprocessing.segments(preprocessing.normalise(samples))
    waveform = segments.reshape(-1)
    peak = max(float(np.abs(waveform).max()), 1e-12)
    features = preprocessing.features(segments).transpose(1, 0, 2).reshape(preprocessing.n_mels, -1)
    spectrogram = columns(features, np.maximum)[::-1]
    level = 1 + (spectrogram - spectrogram.max()) / RANGE_DB
    return Picture(
        seconds=len(waveform) / preprocessing.sample_rate,
        lowest=_rounded(columns(waveform[None], np.minimum)[0] / peak),
        highest=_rounded(columns(waveform[None], np.maximum)[0] / peak),
        rows=spectrogram.shape[0],
        columns=spectrogram.shape[1],
        range_db=RANGE_DB,
        log_mel=base64.b64encode(np.round(255 * level.clip(0, 1)).astype(np.uint8).tobytes()).decode(),
    )


def columns(rows: Floats, extreme: np.ufunc) -> Floats:
    """Join neighbours by their extreme, to at most ``COLUMNS``. Shape: (rows, n) -> (rows, min(n, COLUMNS))."""
    count = min(rows.shape[1], COLUMNS)
    starts = np.arange(count) * rows.shape[1] // count
    joined: Floats = extreme.reduceat(rows, starts, axis=1)
    return joined


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 3) for value in values]


@dataclass(frozen=True)
class Plane:
    """The first two principal axes of the enrolled embeddings: the same for the same clips, and for every new clip."""

    centre: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    explained: tuple[float, float]

    @classmethod
    def fit(cls, embeddings: Floats) -> Self:
        """Fit to embeddings (n, width). An axis without variance is all zeros.

        An axis points to where its largest component is positive, so that its sign does not depend on the algorithm.
        """
        values = embeddings.astype(np.float64)
        centre = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
        _, sizes, rows = np.linalg.svd(values - centre, full_matrices=False)
        axes, variance = np.zeros((2, values.shape[1])), np.zeros(2)
        shown = min(2, int((sizes > 1e-9 * max(1.0, float(np.abs(values).max(initial=0)))).sum()))
        axes[:shown], variance[:shown] = rows[:shown], np.square(sizes[:shown])
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes *= np.where(largest < 0, -1, 1)
        total = float(np.square(sizes).sum())
        first, second = (float(value) / total if total > 0 else 0.0 for value in variance)
        return cls(centre, axes, (first, second))

    def place(self, embeddings: Floats) -> npt.NDArray[np.float64]:
        """Shape: (..., width) -> (..., 2)."""
        placed: npt.NDArray[np.float64] = (embeddings - self.centre) @ self.axes.T
        return placed
