"""The picture of a clip, cut as for the network: its waveform and its log-mel spectrogram."""

import base64

import numpy as np
import numpy.typing as npt

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.serve.schemas import Picture

MAX_COLUMNS = 640  # more than a page shows
RANGE_DB = 80.0

Floats = npt.NDArray[np.floating]


def clip_picture(segments: Samples, preprocessing: Preprocessing) -> Picture:
    """Draw a clip from its normalized segments (S, segment_samples), one after the other."""
    waveform = segments.reshape(-1)
    peak = max(float(np.abs(waveform).max()), 1e-12)
    in_decibels = preprocessing.model_copy(update={"frontend": "log-mel"})
    features = in_decibels.features(segments).transpose(1, 0, 2).reshape(preprocessing.n_mels, -1)
    spectrogram = reduce_columns(features, np.maximum)[::-1]
    level = 1 + (spectrogram - spectrogram.max()) / RANGE_DB
    return Picture(
        seconds=len(waveform) / preprocessing.recording_rate,
        lowest=_rounded(reduce_columns(waveform[None], np.minimum)[0] / peak),
        highest=_rounded(reduce_columns(waveform[None], np.maximum)[0] / peak),
        rows=spectrogram.shape[0],
        columns=spectrogram.shape[1],
        range_db=RANGE_DB,
        log_mel=base64.b64encode(np.round(255 * level.clip(0, 1)).astype(np.uint8).tobytes()).decode(),
    )


def reduce_columns(rows: Floats, extreme: np.ufunc) -> Floats:
    """Reduce neighboring columns to their extreme. Shape: (rows, n) -> (rows, min(n, MAX_COLUMNS))."""
    count = min(rows.shape[1], MAX_COLUMNS)
    starts = np.arange(count) * rows.shape[1] // count
    reduced: Floats = extreme.reduceat(rows, starts, axis=1)
    return reduced


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 3) for value in values]
