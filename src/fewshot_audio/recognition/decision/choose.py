"""Which head suits the enrolled clips: the default, unless another one is clearly better on clips left out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.timbre import CEPSTRA
from fewshot_audio.recognition.decision.examples import Block, Counts, Examples
from fewshot_audio.recognition.decision.left_out import FOLDS, LeftOut
from fewshot_audio.recognition.decision.logistic import Logistic
from fewshot_audio.recognition.decision.standardize import Standardizer

Head: TypeAlias = Literal["both", "embedding", "timbre", "prototypes"]
"""What decides: logistic regression on the embedding, the timbre, or both; or the nearest prototype of embeddings."""

HEADS: tuple[Head, ...] = get_args(Head)

FittedHead: TypeAlias = Literal["both", "embedding", "timbre"]
FITTED_HEADS: tuple[FittedHead, ...] = get_args(FittedHead)

_PLAIN_LENGTH = 6.0
_ROUNDING = 1e-9  # one clip more is exactly one standard error

PrototypeAnswers: TypeAlias = Callable[[Examples, Examples], Counts]
"""The classes that prototypes of the first examples give for the clips of the second ones, (clips,)."""


@dataclass(frozen=True)
class HeadChoice:
    """The head, and how each candidate did on the enrolled clips, each judged by the others.

    Args:
        head: the chosen one.
        accuracies: of each candidate, as fractions of 1.
        plain: accuracy of the plain baseline, 20 MFCC by mean and deviation.
        clips: how many enrolled clips they are of.
    """

    head: Head
    accuracies: dict[Head, float]
    plain: float
    clips: int


def head_blocks(head: FittedHead, blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Which of the blocks that clips have count for a head: "embedding" has those of frozen encoders, too."""
    return tuple(block for block in blocks if head == "both" or (block == "timbre") == (head == "timbre"))


def choose_head(examples: Examples, prototype_answers: PrototypeAnswers, fixed: Head | None = None) -> HeadChoice:
    """Choose a head by grouped, stratified cross-validation over the enrolled clips.

    "both" is the default; another head wins if it is better by more than one standard error of the paired differences,
    the best of them if there are several.

    Args:
        examples: the clips, of two or more classes of two or more clips.
        prototype_answers: judges clips by prototypes.
        fixed: the head that the user wants; the others are measured all the same.
    """
    right: dict[Head, NDArray[np.bool_]] = {}
    for head in FITTED_HEADS:
        blocks = head_blocks(head, examples.features)
        even = dict.fromkeys(blocks, 1 / len(blocks))  # distances play no part in the choice
        right[head] = LeftOut.of(examples, blocks, [even]).answers(1.0) == examples.labels
    answers = np.empty_like(examples.labels)
    for fold in examples.folds(FOLDS):
        answers[fold] = prototype_answers(examples.part(~fold), examples.part(fold))
    right["prototypes"] = answers == examples.labels
    accuracies = {head: float(right[head].mean()) for head in HEADS}
    best: Head = "both"
    for candidate in HEADS:
        differences = right[candidate].astype(float) - right["both"]
        error = differences.std(ddof=1) / np.sqrt(len(differences))
        if differences.mean() > error + _ROUNDING and accuracies[candidate] > accuracies[best]:
            best = candidate
    return HeadChoice(fixed or best, accuracies, plain_accuracy(examples), len(examples.labels))


def plain_accuracy(examples: Examples) -> float:
    """Accuracy, left out, of what a person writes instead: mean and deviation of MFCC with logistic regression."""
    clips = examples.clip_means(examples.features["timbre"])[:, : 2 * CEPSTRA]  # of long windows, all frames alike
    answers = np.empty_like(examples.labels)
    for fold in examples.folds(FOLDS):
        standardize = Standardizer.fit(clips[~fold], np.ones(np.count_nonzero(~fold)))
        rows = _PLAIN_LENGTH * standardize(clips)
        even = np.ones(len(rows))
        model = Logistic.fit(rows[~fold], examples.labels[~fold], even[~fold], np.ones(rows.shape[1]))
        answers[fold] = model.logits(rows[fold]).argmax(axis=1)
    return float((answers == examples.labels).mean())
