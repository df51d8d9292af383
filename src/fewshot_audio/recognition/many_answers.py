"""Answers for many clips of one segment at once, which take a thousandth of the time that they take one by one.

They are those of ``answer.answer``, up to the rounding of sums in another order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.answer import LEAST, MOST_ODDS, unknown_threshold
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.logistic import softmax
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.enrolled import Enrolled
from fewshot_audio.recognition.scoring import Counts, Floats, Rows, class_distances, probabilities


@dataclass(frozen=True)
class ManyAnswers:
    """Answers for clips.

    Args:
        probabilities: of the enrolled classes, in their order, (clips, classes).
        best: number of the most probable class, (clips,).
        unknown_scores: (clips,).
        is_unknown: whether the label is "unknown", (clips,).
        background: how much each is like the background, or like ignored classes, as in ``Classification``, (clips,);
            None if there is neither.
    """

    probabilities: Floats
    best: Counts
    unknown_scores: Floats
    is_unknown: NDArray[np.bool_]
    background: Floats | None = None


def answer_many(
    enrolled: Enrolled,
    rows: Rows,
    timbre: Rows | None,
    encoded: Mapping[str, Rows],
    embedder: Embedder,
    calibration: Calibration | None,
) -> ManyAnswers:
    """Answer for clips of one segment each.

    Args:
        enrolled: what is enrolled.
        rows: of the network, (clips, rows of a segment, width).
        timbre: of the segments, (clips, timbre width); only a decision that counts it needs it.
        encoded: rows by the frozen encoders that count, (clips, width of the encoder).
        embedder: scores rows, if prototypes decide.
        calibration: temperature and threshold of prototypes.

    Raises:
        DataError: an answer would not be finite.
    """
    decision, sounds = enrolled.decision, enrolled.sounds
    if decision:
        features = {"embedding": rows.mean(axis=1).astype(np.float64)}
        if decision.needs_timbre:
            if timbre is None:
                raise ValueError("this decision needs the timbre of the segments")
            features["timbre"] = timbre.astype(np.float64)
        for name in enrolled.encoders:
            features[encoder_block(name)] = encoded[name].astype(np.float64)
        standard = decision.model.rows(features)
        values = softmax(decision.model.logistic.logits(standard) / decision.calibration.temperature)
        distances, expected = decision.model.distances(standard), decision.model.distances.expected
        points = decision.model.distances.points(standard) if len(enrolled.background) else standard
    else:
        scores = embedder.score(enrolled.prototypes, rows.reshape(-1, rows.shape[-1]))
        counts = np.full(len(rows), rows.shape[1])
        values = probabilities(scores, counts, calibration.temperature if calibration else 1.0)
        embeddings, expected = rows.mean(axis=1), enrolled.expected_distances
        distances = class_distances(embeddings, enrolled.prototypes, expected)
        points = embeddings.astype(np.float64)
    if not (np.isfinite(values).all() and np.isfinite(distances).all()):
        raise DataError("an answer is not finite: the recognizer's weights or embeddings are unusable")
    unknown_scores: Floats = distances.min(axis=1)
    threshold = unknown_threshold(sounds, decision, calibration)
    background = None
    if sounds.has_negatives:
        assert threshold is not None
        to_background = _to_background(points, enrolled)
        values, odds = _beside_background(values, distances * expected, to_background, sounds.is_answer)
        is_calibrated = decision is not None or calibration is not None
        nearest = distances[:, sounds.is_answer].min(axis=1) if is_calibrated else 0.0
        unknown_scores, background = np.maximum(nearest, threshold * odds), odds / (1.0 + odds)
    is_unknown = np.zeros(len(values), bool) if threshold is None else unknown_scores > threshold
    return ManyAnswers(values, values.argmax(axis=1), unknown_scores, is_unknown, background)


def _to_background(points: Floats, enrolled: Enrolled) -> Floats:
    """Distance of each point to the nearest segment of the background, (clips,); infinite if there is none."""
    background = enrolled.background
    if not len(background):
        return np.full(len(points), np.inf)
    squares = np.square(points).sum(axis=1)[:, None] + np.square(background).sum(axis=1) - 2 * points @ background.T
    nearest: Floats = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    return nearest


def _beside_background(
    values: Floats, to_classes: Floats, to_background: Floats, is_answer: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """As in ``answer``, for many clips: probabilities (clips, classes) and odds (clips,)."""
    own = np.where(is_answer, np.maximum(values, LEAST), 0.0)
    best = own.argmax(axis=1)[:, None]
    of_ignored = values[:, ~is_answer].sum(axis=1) / np.take_along_axis(own, best, 1)[:, 0]
    of_background = np.take_along_axis(to_classes, best, 1)[:, 0] / np.maximum(to_background, LEAST)
    shares: Floats = values if is_answer.all() else own / own.sum(axis=1, keepdims=True)
    return shares, np.minimum(np.maximum(of_ignored, of_background), MOST_ODDS)
