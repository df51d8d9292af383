"""A decision: fitted on enrolled clips; it takes a clip's features to probabilities and an unknown score."""

from collections.abc import Iterable
from dataclasses import dataclass

from fewshot_audio.recognition.decision.calibrate import fit_temperature, fit_threshold, most_telling
from fewshot_audio.recognition.decision.choose import FittedHead, head_blocks
from fewshot_audio.recognition.decision.examples import Block, Examples, Features, Floats
from fewshot_audio.recognition.decision.left_out import LeftOut
from fewshot_audio.recognition.decision.logistic import softmax
from fewshot_audio.recognition.decision.model import DecisionModel, Shares
from fewshot_audio.recognition.decision.variances import freedom

EMBEDDING_SHARES: dict[FittedHead, tuple[float, ...]] = {
    "both": (0.5, 0.8, 1.0, 0.2, 0.0),
    "embedding": (1.0,),
    "timbre": (0.0,),
}
"""Shares of the embeddings in squared distances that are tried for each head."""


@dataclass(frozen=True)
class DecisionCalibration:
    """Numbers that are fitted on enrolled clips, each judged by the others.

    Args:
        temperature: logits are divided by it.
        embedding_share: of the embeddings in squared distances, each alike; the rest is of the timbre.
        threshold: a clip whose unknown score exceeds it is of no enrolled class.
        false_alarm: the share of clips of enrolled classes that may be called unknown, as asked for.
        clips: how many clips it was fitted on.
    """

    temperature: float
    embedding_share: float
    threshold: float
    false_alarm: float
    clips: int

    def shares(self, blocks: Iterable[Block]) -> Shares:
        """Of these blocks in squared distances."""
        return block_shares(self.embedding_share, blocks)


@dataclass(frozen=True)
class Decision:
    """Probabilities and unknown scores of clips.

    Args:
        head: which blocks of features count.
        model: fitted on the enrolled clips.
        calibration: temperature and threshold.
    """

    head: FittedHead
    model: DecisionModel
    calibration: DecisionCalibration

    @classmethod
    def fit(cls, examples: Examples, head: FittedHead, false_alarm: float) -> "Decision":
        """Fit and calibrate on clips of two or more classes, each of two or more clips."""
        _, calibration = judge_left_out(examples, head, false_alarm)
        blocks = head_blocks(head, examples.features)
        return cls(head, DecisionModel.fit(examples, blocks, calibration.shares(blocks)), calibration)

    def refit(self, examples: Examples) -> "Decision":
        """The same decision on other clips; the calibration stays."""
        blocks = head_blocks(self.head, examples.features)
        return Decision(
            self.head, DecisionModel.fit(examples, blocks, self.calibration.shares(blocks)), self.calibration
        )

    @property
    def needs_timbre(self) -> bool:
        """Whether the timbre of clips counts."""
        return "timbre" in self.model.standardizers

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of features that count."""
        return tuple(self.model.standardizers)

    def probabilities(self, features: Features) -> Floats:
        """The mean over the clip's segments, (classes,)."""
        logits = self.model.logistic.logits(self.model.rows(features))
        mean: Floats = softmax(logits / self.calibration.temperature).mean(axis=0)
        return mean

    def distances(self, features: Features) -> Floats:
        """Distances to the classes over the expected ones, (classes,); about 1 for sounds like those of a class."""
        clip = self.model.rows(features).mean(axis=0, keepdims=True)
        distances: Floats = self.model.distances(clip)[0]
        return distances

    def points(self, features: Features) -> Floats:
        """Segments as points between which distances are those to classes; shape: (segments, width)."""
        return self.model.distances.points(self.model.rows(features))


def block_shares(embedding_share: float, blocks: Iterable[Block]) -> Shares:
    """The share of each block in squared distances: that of the embeddings is divided evenly among them."""
    blocks = tuple(blocks)
    embeddings = len(blocks) - blocks.count("timbre")
    return {block: 1 - embedding_share if block == "timbre" else embedding_share / embeddings for block in blocks}


def judge_left_out(examples: Examples, head: FittedHead, false_alarm: float) -> tuple[LeftOut, DecisionCalibration]:
    """Judge the enrolled clips by the others, and calibrate on that.

    The ``distances`` of what is returned are those of the chosen shares alone.
    """
    blocks = head_blocks(head, examples.features)
    left_out = LeftOut.of(examples, blocks, [block_shares(share, blocks) for share in EMBEDDING_SHARES[head]])
    number = most_telling(left_out)
    chosen = LeftOut(examples, left_out.logits, left_out.distances[[number]])
    calibration = DecisionCalibration(
        temperature=fit_temperature(left_out),
        embedding_share=EMBEDDING_SHARES[head][number],
        threshold=fit_threshold(chosen.distances[0].min(axis=1), false_alarm, freedom(examples.labels)),
        false_alarm=false_alarm,
        clips=len(examples.labels),
    )
    return chosen, calibration
