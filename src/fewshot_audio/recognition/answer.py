"""The answer for a clip: its label, its probabilities and its unknown score, from the same rows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import UNKNOWN, Classification, Enrolled
from fewshot_audio.recognition.features import Timbre, clip_features
from fewshot_audio.recognition.scoring import Floats, Rows, probabilities, unknown_scores


class _Judgment(NamedTuple):
    probabilities: Floats  # (n_classes,)
    unknown_score: float
    threshold: float | None


def answer(
    enrolled: Enrolled,
    rows: Rows,
    segments: int,
    timbre: Timbre | None,
    embedder: Embedder,
    calibration: Calibration | None,
    encoded: Mapping[str, Rows] | None = None,
) -> Classification:
    """Answer for one clip.

    Args:
        enrolled: the enrolled classes.
        rows: the clip's rows (segments x rows, width).
        segments: how many segments it has.
        timbre: of its segments; only a decision that counts it needs it.
        embedder: scores rows, if prototypes decide.
        calibration: temperature and threshold of prototypes; without it the temperature is 1 and nothing is unknown.
        encoded: its rows by the frozen encoders that count in the decision.

    Raises:
        DataError: the answer would not be finite.
    """
    if enrolled.decision:
        if timbre is None and enrolled.decision.needs_timbre:
            raise ValueError("this decision needs the timbre of the clip's segments, as LoadedClip.timbre gives it")
        features = clip_features(rows, timbre, segments, encoded)
        decision = enrolled.decision
        judgment = _Judgment(
            decision.probabilities(features), decision.unknown_score(features), decision.calibration.threshold
        )
    else:
        judgment = _by_prototypes(enrolled, rows, embedder, calibration)
    if not np.isfinite([*judgment.probabilities, judgment.unknown_score]).all():
        raise DataError("the answer is not finite: the recognizer's weights or embeddings are unusable")
    names = list(enrolled.classes)
    best = names[int(judgment.probabilities.argmax())]
    label = UNKNOWN if judgment.threshold is not None and judgment.unknown_score > judgment.threshold else best
    values = dict(zip(names, judgment.probabilities.tolist(), strict=True))
    return Classification(label, best, values, judgment.unknown_score, segments)


def _by_prototypes(enrolled: Enrolled, rows: Rows, embedder: Embedder, calibration: Calibration | None) -> _Judgment:
    scores = embedder.score(enrolled.prototypes, rows)
    values = probabilities(scores, np.array([len(rows)]), calibration.temperature if calibration else 1.0)[0]
    embedding = rows.mean(axis=0, keepdims=True)
    distance = float(unknown_scores(embedding, enrolled.prototypes, enrolled.expected_distances)[0])
    return _Judgment(values, distance, calibration.threshold if calibration else None)
