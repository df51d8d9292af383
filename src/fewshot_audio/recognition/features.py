"""From enrolled clips to what decisions are fitted on, and from a clip to what they judge."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.recognition.decision.choose import PrototypeAnswers
from fewshot_audio.recognition.decision.examples import Counts, Examples, Features
from fewshot_audio.recognition.enrolled import EnrolledClass
from fewshot_audio.recognition.scoring import Floats, probabilities, row_scores

Timbre = NDArray[np.float32]


def clip_features(rows: Tensor, segment_timbres: Timbre | None, segments: int) -> Features:
    """A clip's features: its rows (segments x rows, width), averaged for each segment, and its timbre if given."""
    embeddings: Floats = rows.reshape(segments, -1, rows.shape[-1]).mean(1).double().numpy()
    if segment_timbres is None:  # for prototypes, and decisions that do without
        return {"embedding": embeddings}
    return {"embedding": embeddings, "timbre": segment_timbres.astype(np.float64)}


def decision_examples(classes: Iterable[EnrolledClass]) -> Examples | None:
    """The enrolled clips as a decision is fitted on them.

    Returns:
        None if a decision cannot be: there are fewer than two classes, a class has one clip, or the timbre of clips is
        not known, which versions up to 0.1 did not save.
    """
    by_class = [enrolled_class.clips for enrolled_class in classes]
    if len(by_class) < 2 or min(map(len, by_class)) < 2:
        return None
    clips = [clip for members in by_class for clip in members]
    if any(clip.timbre is None for clip in clips):
        return None
    labels = np.repeat(np.arange(len(by_class)), [len(members) for members in by_class])
    return Examples.of([clip_features(clip.rows, clip.timbre, clip.segments) for clip in clips], labels)


def prototype_answers(network: FewShotNetwork) -> PrototypeAnswers:
    """Judging clips by the prototypes of others, as a recognizer without a fitted decision does."""

    def answers(train: Examples, test: Examples) -> Counts:
        means = torch.from_numpy(train.clip_means(train.features["embedding"])).float()
        labels = torch.from_numpy(train.labels)
        prototypes = torch.stack([means[labels == label].mean(0) for label in range(train.n_classes)])
        rows = torch.from_numpy(test.features["embedding"]).float()
        scores = row_scores(network, prototypes, rows)
        best: Counts = probabilities(scores, np.bincount(test.clip_of), 1.0).argmax(axis=1)
        return best

    return answers
