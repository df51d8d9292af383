"""From enrolled clips to what decisions are fitted on, and from a clip to what they judge."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.recognition.decision.choose import PrototypeAnswers
from fewshot_audio.recognition.decision.examples import Counts, Examples, Features
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.enrolled import EnrolledClass
from fewshot_audio.recognition.scoring import Floats, Rows, probabilities

Timbre = NDArray[np.float32]


def clip_features(
    rows: Rows, segment_timbres: Timbre | None, segments: int, encoded: Mapping[str, Rows] | None = None
) -> Features:
    """A clip's features: its rows (segments x rows, width), averaged for each segment, and what else is given.

    Args:
        rows: of the network.
        segment_timbres: (segments, timbre width); None for prototypes, and decisions that do without.
        segments: how many segments the clip has.
        encoded: rows by frozen encoders, (segments, width of the encoder).
    """
    embeddings: Floats = rows.reshape(segments, -1, rows.shape[-1]).mean(axis=1).astype(np.float64)
    features = {"embedding": embeddings}
    if segment_timbres is not None:
        features["timbre"] = segment_timbres.astype(np.float64)
    for name, values in (encoded or {}).items():
        features[encoder_block(name)] = values.astype(np.float64)
    return features


def decision_examples(classes: Iterable[EnrolledClass]) -> Examples | None:
    """The enrolled clips as a decision is fitted on them.

    Returns:
        None if a decision cannot be: there are fewer than two classes, a class has one clip, the clips of every class
        are copies of one, or the timbre of clips is not known, which versions up to 0.1 did not save.
    """
    by_class = [enrolled_class.clips for enrolled_class in classes]
    if len(by_class) < 2 or min(map(len, by_class)) < 2:
        return None
    clips = [clip for members in by_class for clip in members]
    if any(clip.timbre is None for clip in clips):
        return None
    if all(clip.rows.tobytes() == members[0].rows.tobytes() for members in by_class for clip in members):
        return None
    labels = np.repeat(np.arange(len(by_class)), [len(members) for members in by_class])
    return Examples.of([clip_features(clip.rows, clip.timbre, clip.segments, clip.encoded) for clip in clips], labels)


def prototype_answers(embedder: Embedder) -> PrototypeAnswers:
    """Judging clips by the prototypes of others, as a recognizer without a fitted decision does."""

    def answers(train: Examples, test: Examples) -> Counts:
        means = train.clip_means(train.features["embedding"]).astype(np.float32)
        prototypes = np.stack([means[train.labels == label].mean(axis=0) for label in range(train.n_classes)])
        scores = embedder.score(prototypes, test.features["embedding"].astype(np.float32))
        best: Counts = probabilities(scores, np.bincount(test.clip_of), 1.0).argmax(axis=1)
        return best

    return answers
