"""Pictures of a clip as the network hears it, and the map of embeddings."""

import base64

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.serve.messages import Picture

COLUMNS = 640  # more than a page shows
RANGE_DB = 80.0

Floats = npt.NDArray[np.floating]


def picture(samples: Samples, preprocessing: Preprocessing) -> Picture:
    """Draw a clip (samples,) by its own preprocessing: normalized, cut into segments, the last one filled up.

    Raises Rejected as ``Preprocessing.normalize`` does.
    """
    segments = preprocessing.segments(preprocessing.normalize(samples))
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
    """Join neighbors by their extreme, to at most ``COLUMNS``. Shape: (rows, n) -> (rows, min(n, COLUMNS))."""
    count = min(rows.shape[1], COLUMNS)
    starts = np.arange(count) * rows.shape[1] // count
    joined: Floats = extreme.reduceat(rows, starts, axis=1)
    return joined


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 3) for value in values]
