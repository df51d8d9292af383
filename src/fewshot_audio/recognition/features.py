"""From enrolled clips to what decisions are fitted on, and how prototypes of them judge others."""

from collections.abc import Iterable

import numpy as np

from fewshot_audio.recognition.decision.choose import PrototypeAnswers
from fewshot_audio.recognition.decision.examples import Counts, Examples
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.enrolled import EnrolledClass, clip_features
from fewshot_audio.recognition.scoring import probabilities


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
    features = [clip_features(clip.rows, clip.timbre, clip.segments, clip.encoded) for clip in clips]
    return Examples.of(features, labels, tuple(clip.group for clip in clips))


def prototype_answers(embedder: Embedder) -> PrototypeAnswers:
    """Judging clips by the prototypes of others, as a recognizer without a fitted decision does."""

    def answers(train: Examples, test: Examples) -> Counts:
        means = train.clip_means(train.features["embedding"]).astype(np.float32)
        prototypes = np.stack([means[train.labels == label].mean(axis=0) for label in range(train.n_classes)])
        scores = embedder.score(prototypes, test.features["embedding"].astype(np.float32))
        best: Counts = probabilities(scores, np.bincount(test.clip_of), 1.0).argmax(axis=1)
        return best

    return answers
