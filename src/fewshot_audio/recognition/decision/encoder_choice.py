"""Which frozen encoders suit the enrolled clips: the fewest that are as good as the best on clips left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fewshot_audio.recognition.decision.choose import head_blocks
from fewshot_audio.recognition.decision.examples import Block, Examples, Floats
from fewshot_audio.recognition.decision.left_out import LeftOut

MOST_TOGETHER = 2
_LEAST_PROBABILITY = 1e-3  # a clip that is wholly mistaken counts as this, so that one clip does not decide


@dataclass(frozen=True)
class EncoderCandidate:
    """A set of frozen encoders, and how it did on the enrolled clips, each judged by the others.

    Args:
        blocks: of the encoders; none if the network stands alone.
        accuracy: fraction of 1.
        log_likelihood: mean over the clips of the logarithm of the probability of the clip's class.
        is_chosen: whether it is the one that was chosen.
    """

    blocks: tuple[Block, ...]
    accuracy: float
    log_likelihood: float
    is_chosen: bool


def choose_encoders(examples: Examples, blocks: Sequence[Block]) -> list[EncoderCandidate]:
    """Judge each set of up to two encoders beside the network and the timbre, by grouped, stratified cross-validation.

    The set with the highest likelihood is the best; the fewest encoders whose likelihood is within one standard error
    of the paired differences are chosen, the most likely of them if there are several.

    Args:
        examples: the clips, with blocks of all encoders, of two or more classes of two or more clips.
        blocks: of the encoders.
    """
    own = [block for block in examples.features if block not in blocks]
    sets = [chosen for count in range(MOST_TOGETHER + 1) for chosen in combinations(blocks, count)]
    accuracies, logs = [], []
    for chosen in sets:
        count = head_blocks("both", [*own, *chosen])
        left_out = LeftOut.of(examples, count, [dict.fromkeys(count, 1 / len(count))])
        probabilities = left_out.probabilities(1.0)
        right: Floats = probabilities[np.arange(len(examples.labels)), examples.labels]
        accuracies.append(float((probabilities.argmax(axis=1) == examples.labels).mean()))
        logs.append(np.log(np.maximum(right, _LEAST_PROBABILITY)))
    means = [float(values.mean()) for values in logs]
    best = int(np.argmax(means))
    ranks = [(len(chosen), -mean, number) for number, (chosen, mean) in enumerate(zip(sets, means, strict=True))]
    winner = min(rank for rank in ranks if _is_within_noise(logs[best] - logs[rank[2]]))[2]
    return [
        EncoderCandidate(chosen, accuracies[number], means[number], number == winner)
        for number, chosen in enumerate(sets)
    ]


def _is_within_noise(differences: Floats) -> bool:
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return bool(differences.mean() <= error)
