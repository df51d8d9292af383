"""Queries of an experiment's test with their input, to look at and to listen to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.data.store import SegmentStore
from fewshot_audio.engine.evaluate import Answers
from fewshot_audio.experiments.dataset import Dataset

EXAMPLES = 6  # correct and wrong answers, each


@dataclass(frozen=True)
class Example:
    """One query of a test task, with its input.

    Attributes:
        clip: name of the clip.
        truth: its class.
        answer: the class that the network answered.
        probability: the probability of the answer.
        features: log-mel features of the first segment in dB, (mels, frames).
        waveform: the first segment, (samples,); None if the dataset folder has no waveforms.
    """

    clip: str
    truth: str
    answer: str
    probability: float
    features: NDArray[np.float64]
    waveform: NDArray[np.float32] | None


def pick_examples(answers: Answers, dataset: Dataset) -> list[Example]:
    """Correct and wrong answers of the first tasks: different classes and different confusions."""
    features = dataset.folders.open_store("features")
    waveforms = dataset.folders.open_store("waveforms") if dataset.folders.have_waveforms else None
    examples: list[Example] = []
    for wrong in (False, True):
        pairs: set[tuple[int, int]] = set()
        for index in zip(*np.nonzero((answers.answer != answers.truth) == wrong), strict=True):
            pair = int(answers.truth[index]), int(answers.answer[index])
            if pair in pairs:
                continue
            pairs.add(pair)
            examples.append(_example(answers, index, dataset.data.splits.test, features, waveforms))
            if len(pairs) == EXAMPLES:
                break
    return examples


def _example(
    answers: Answers,
    index: tuple[Any, ...],
    names: Sequence[str],
    features: SegmentStore,
    waveforms: SegmentStore | None,
) -> Example:
    clip = int(answers.clip[index])
    return Example(
        clip=features.clips[clip],
        truth=names[int(answers.truth[index])],
        answer=names[int(answers.answer[index])],
        probability=float(answers.probability[index]),
        features=_first_segment(features, clip).astype(np.float64),
        waveform=_first_segment(waveforms, clip) if waveforms is not None else None,
    )


def _first_segment(store: SegmentStore, clip: int) -> NDArray[np.float32]:
    segment: NDArray[np.float32] = store.read(np.array([store.index.offsets[clip]]))[0]
    return segment
