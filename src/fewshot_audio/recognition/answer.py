"""The answer for a clip: its label, its probabilities and its unknown score, from the same rows."""

import numpy as np

from fewshot_audio.config.experiment import TieStrategy
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import UNKNOWN, Classification, Enrolled
from fewshot_audio.recognition.scoring import Rows, probabilities, unknown_scores, votes


def answer(
    enrolled: Enrolled,
    rows: Rows,
    segments: int,
    embedder: Embedder,
    tie_strategy: TieStrategy,
    calibration: Calibration | None,
) -> Classification:
    """Answer for one clip.

    Args:
        enrolled: the enrolled classes.
        rows: the clip's rows (segments x rows, width).
        segments: how many segments it has.
        embedder: scores rows.
        tie_strategy: how a tied vote is decided.
        calibration: temperature and threshold; without it the temperature is 1 and nothing is unknown.

    Raises:
        DataError: the answer would not be finite.
    """
    counts = np.array([len(rows)])
    scores = embedder.score(enrolled.prototypes, rows)
    best = list(enrolled.classes)[votes(scores, counts, tie_strategy)[0]]
    values = probabilities(scores, counts, calibration.temperature if calibration else 1.0)[0].tolist()
    embedding = rows.mean(axis=0, keepdims=True)
    distance = float(unknown_scores(embedding, enrolled.prototypes, enrolled.expected_distances)[0])
    if not np.isfinite([*values, distance]).all():
        raise DataError("the answer is not finite: the recognizer's weights or embeddings are unusable")
    label = UNKNOWN if calibration and distance > calibration.threshold else best
    return Classification(label, best, dict(zip(enrolled.classes, values, strict=True)), distance, segments)
