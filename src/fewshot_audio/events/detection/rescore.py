"""A second judgement of candidates, by how they sound as clips: timbre, and the shipped network's embedding."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.timbre import TIMBRE_WIDTH, timbre
from fewshot_audio.events.detection.frames import Numbers
from fewshot_audio.events.detection.snippets import cut_snippets
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.embedder import GROUP, Embedder
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.shipped import shipped_folder

SHORTEST = 0.08
"""Seconds of a snippet, at least: the network's preprocessing needs one FFT window."""

COPIES = 3
LEAST_GAIN, MOST_GAIN = -8.0, 3.0  # dB, of copies over other places
_COPY_WEIGHT = 0.5
_REGULARIZATION = 3.0


@lru_cache(maxsize=1)
def shipped_embedder() -> Embedder:
    """The embedder of the shipped recognizer, loaded once."""
    return Recognizer.load(shipped_folder(), backend="auto").embedder


def describe(snippets: Iterator[tuple[int, Samples]], count: int) -> Numbers:
    """Timbre and embedding of snippets at the network's rate; of silent ones zeros.

    Shape:
        -> (count, TIMBRE_WIDTH + width of the embedding); each snippet in the row of its number.
    """
    embedder = shipped_embedder()
    preprocessing = embedder.preprocessing
    rows: dict[int, Numbers] = {}
    group: list[tuple[int, Numbers, LoadedClip]] = []

    def embed() -> None:
        clips = [embedder.features(clip.segments) for _, _, clip in group]
        for (number, own, _), row in zip(group, embedder.clip_rows(clips), strict=True):
            rows[number] = np.concatenate([own, row.mean(axis=0, dtype=np.float64)])
        group.clear()

    for number, samples in snippets:
        try:
            clip = LoadedClip.of(samples, preprocessing)
        except Rejected:  # silent
            continue
        group.append((number, timbre(samples, preprocessing.sample_rate), clip))
        if len(group) == GROUP:
            embed()
    embed()
    width = len(next(iter(rows.values()))) if rows else TIMBRE_WIDTH
    table = np.zeros((count, width))
    for number, row in rows.items():
        table[number] = row
    return table


def describe_windows(path: Path, starts: Numbers, ends: Numbers) -> Numbers:
    """Timbre and embedding of windows of a recording, which is decoded once more. Shape: (n,), (n,) -> (n, width)."""
    return describe(read_snippets(path, starts, ends), len(starts))


def read_snippets(path: Path, starts: Numbers, ends: Numbers) -> Iterator[tuple[int, Samples]]:
    """Cut windows of a recording at the network's rate, at most a segment long each."""
    preprocessing = shipped_embedder().preprocessing
    rate = preprocessing.sample_rate
    return cut_snippets(Decoding(path, rate), rate, starts, ends, preprocessing.segment_seconds, SHORTEST)


def mixed_copies(examples: list[Samples], places: list[Samples]) -> list[tuple[int, Samples]]:
    """Each example ``COPIES`` times, louder or fainter, over one of the other places, cut or repeated to its length."""
    random = np.random.default_rng(0)
    copies: list[tuple[int, Samples]] = []
    for samples in examples * COPIES:
        gain = 10.0 ** (random.uniform(LEAST_GAIN, MOST_GAIN) / 20.0)
        behind = np.resize(places[random.integers(len(places))], len(samples)) if places else 0.0
        copies.append((len(copies), (samples * gain + behind).astype(np.float32)))
    return copies


@dataclass(frozen=True)
class Rescorer:
    """Log-odds of candidates by their descriptions.

    Args:
        mean: of the descriptions in training.
        deviation: of the descriptions in training.
        weights: of the standardized descriptions.
        offset: added to their sum.
    """

    mean: Numbers
    deviation: Numbers
    weights: Numbers
    offset: float

    @classmethod
    def fit(cls, examples: Numbers, copies: Numbers, others: Numbers) -> "Rescorer":
        """Fit descriptions of examples and their copies against those of other candidates (n, width) each."""
        from sklearn.linear_model import LogisticRegression

        rows = np.concatenate([examples, copies, others])
        original = np.concatenate([examples, others])
        mean, spread = original.mean(axis=0), original.std(axis=0)
        blocks = [slice(TIMBRE_WIDTH), slice(TIMBRE_WIDTH, rows.shape[1])]
        deviation = np.empty_like(spread)
        for block in blocks:  # each counts as much as the other, whatever its width
            deviation[block] = (1.05 * spread[block] + 1e-6) * np.sqrt(max(1, len(spread[block])))
        is_event = np.arange(len(rows)) < len(examples) + len(copies)
        weights = np.concatenate([np.ones(len(examples)), np.full(len(copies), _COPY_WEIGHT), np.ones(len(others))])
        for side in (is_event, ~is_event):
            weights[side] *= len(rows) / 2 / weights[side].sum()
        model: Any = LogisticRegression(C=_REGULARIZATION, max_iter=300)
        model.fit((rows - mean) / deviation, is_event, sample_weight=weights)
        return cls(mean, deviation, model.coef_[0], float(model.intercept_[0]))

    def log_odds(self, descriptions: Numbers) -> Numbers:
        """Shape: (n, width) -> (n,)."""
        values: Numbers = (descriptions - self.mean) / self.deviation @ self.weights + self.offset
        return values
