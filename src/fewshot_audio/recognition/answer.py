"""The answer for a clip: its label, its probabilities and its unknown score, from the same rows."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import UNKNOWN, Classification, Enrolled, EnrolledSounds, Timbre, clip_features
from fewshot_audio.recognition.scoring import Floats, Rows, class_distances, probabilities

MOST_ODDS = 1e6
"""Odds of the background do not grow any more."""

LEAST = 1e-30
"""What a probability or a distance counts at least when it is divided by."""


class _Judgment(NamedTuple):
    probabilities: Floats  # (n_classes,)
    distances: Floats  # (n_classes,), in units of the expected ones
    to_background: float  # distance to the nearest segment of the background; infinite if there is none
    to_classes: Floats  # (n_classes,), on the same scale


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
        enrolled: what is enrolled.
        rows: the clip's rows (segments x rows, width).
        segments: how many segments it has.
        timbre: of its segments; only a decision that counts it needs it.
        embedder: scores rows, if prototypes decide.
        calibration: temperature and threshold of prototypes; without it the temperature is 1, and only what is more
            like the background than like a class is unknown.
        encoded: its rows by the frozen encoders that count in the decision.

    The unknown score is the distance to the nearest class or, if that is more, the threshold times the odds of the
    background against the best class. So it passes the threshold if a clip is far from all classes, or more like what
    is never an answer than like any of them.

    Raises:
        DataError: the answer would not be finite.
    """
    judgment = _judge(enrolled, rows, segments, timbre, embedder, calibration, encoded)
    if not np.isfinite([*judgment.probabilities, *judgment.distances]).all():
        raise DataError("the answer is not finite: the recognizer's weights or embeddings are unusable")
    sounds = enrolled.sounds
    threshold = unknown_threshold(sounds, enrolled.decision, calibration)
    values, unknown_score, background = judgment.probabilities, float(judgment.distances.min()), None
    if sounds.has_negatives:
        assert threshold is not None
        values, odds = _beside_background(judgment, sounds.is_answer)
        is_calibrated = enrolled.decision is not None or calibration is not None
        distance = float(judgment.distances[sounds.is_answer].min()) if is_calibrated else 0.0
        unknown_score, background = max(distance, threshold * odds), odds / (1.0 + odds)
    names = list(enrolled.classes)
    best = names[int(values.argmax())]
    label = UNKNOWN if threshold is not None and unknown_score > threshold else best
    named_values = dict(zip(names, values.tolist(), strict=True))
    return Classification(label, best, named_values, unknown_score, segments, background)


def unknown_threshold(
    sounds: EnrolledSounds, decision: Decision | None, calibration: Calibration | None
) -> float | None:
    """Unknown score above which the answer is "unknown"; None if every clip is taken for one of the classes."""
    if decision:
        return decision.calibration.threshold
    if calibration:
        return calibration.threshold
    return 1.0 if sounds.has_negatives else None


def _judge(
    enrolled: Enrolled,
    rows: Rows,
    segments: int,
    timbre: Timbre | None,
    embedder: Embedder,
    calibration: Calibration | None,
    encoded: Mapping[str, Rows] | None,
) -> _Judgment:
    decision = enrolled.decision
    if decision:
        if timbre is None and decision.needs_timbre:
            raise ValueError("this decision needs the timbre of the clip's segments, as LoadedClip.timbre gives it")
        features = clip_features(rows, timbre, segments, encoded)
        values, distances = decision.probabilities(features), decision.distances(features)
        point, expected = decision.points(features).mean(axis=0), decision.model.distances.expected
    else:
        scores = embedder.score(enrolled.prototypes, rows)
        values = probabilities(scores, np.array([len(rows)]), calibration.temperature if calibration else 1.0)[0]
        embedding, expected = rows.mean(axis=0, keepdims=True), enrolled.expected_distances
        distances = class_distances(embedding, enrolled.prototypes, expected)[0]
        point = embedding[0].astype(np.float64)
    nearest = np.inf
    if len(enrolled.background):
        nearest = float(np.sqrt(np.square(enrolled.background - point).sum(axis=1).min()))
    return _Judgment(values, distances, nearest, distances * expected)


def _beside_background(judgment: _Judgment, is_answer: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Probabilities of the classes that may be an answer, and the odds of what is never one against the best of them.

    The odds of the background are the distance to the best class over that to the nearest segment of the background;
    those of ignored classes are how many times as probable they are as the best class. The larger ones count.

    Args:
        judgment: of all classes, and the background.
        is_answer: which classes may be an answer, (n_classes,).

    Returns:
        (n_classes,), 0 for the ignored ones; and the odds, at most ``MOST_ODDS``.
    """
    own = np.where(is_answer, np.maximum(judgment.probabilities, LEAST), 0.0)
    best = int(own.argmax())
    of_ignored = float(judgment.probabilities[~is_answer].sum()) / own[best]
    of_background = float(judgment.to_classes[best]) / max(judgment.to_background, LEAST)
    values: Floats = own / own.sum() if not is_answer.all() else judgment.probabilities
    return values, float(min(max(of_ignored, of_background), MOST_ODDS))
