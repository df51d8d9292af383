"""Open-set tasks: some classes are enrolled, others stay unknown; each clip is embedded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.data.episodes import Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.scoring import (
    Counts,
    Floats,
    clip_means,
    reaches,
    row_scores,
    squared_deviations,
    unknown_scores,
    votes,
)

LARGEST_POOL = 2000  # clips that are embedded; of more, a part of each class is drawn
CHUNK = 64  # clips whose segments are in memory at once


@dataclass(frozen=True)
class Pool:
    """Embedded clips of several classes: rows of each, mean of each (clips, width), and each one's class and group."""

    rows: list[Tensor]
    means: Tensor
    class_of: Indices
    groups: Indices

    @classmethod
    def embed(
        cls,
        embedder: Embedder,
        store: SegmentStore,
        classes: Sequence[str],
        random: np.random.Generator,
        progress: Progress = silent,
    ) -> "Pool":
        """Embed the clips of ``classes``, or an equal share of each where there are more than ``LARGEST_POOL``."""
        share = max(1, LARGEST_POOL // len(classes))
        by_class = [store.index.by_class[name] for name in classes]
        drawn = [c if len(c) <= share else np.sort(random.choice(c, share, replace=False)) for c in by_class]
        clips = np.concatenate(drawn)
        rows: list[Tensor] = []
        for start in range(0, len(clips), CHUNK):
            segments = [np.array(store.index.segments(clip)) for clip in clips[start : start + CHUNK]]
            rows += embedder.clip_rows([store.gather(own) for own in segments])
            progress("embedding", len(rows), len(clips))
        groups = clips if store.index.groups is None else store.index.groups[clips]
        return cls(rows, clip_means(rows), np.repeat(np.arange(len(drawn)), [len(c) for c in drawn]), groups)

    @property
    def scatter(self) -> float:
        """Mean squared distance of a clip to its class, each class counting once."""
        own = [self.means[torch.from_numpy(self.class_of == c)] for c in np.unique(self.class_of)]
        return float(np.mean([squared_deviations(means) / (len(means) - 1) for means in own if len(means) > 1]))


@dataclass(frozen=True)
class Outcome:
    """One task: row scores (rows, way) and rows (clips,) of the known clips, their labels and votes, unknown scores."""

    scores: Tensor
    counts: Counts
    labels: Counts
    votes: Counts
    known: Floats
    unknown: Floats


def draw_tasks(
    pool: Pool,
    embedder: Embedder,
    prior: float,
    *,
    enrolled: int,
    unknown: int,
    shot: int,
    tasks: int,
    random: np.random.Generator,
    progress: Progress = silent,
) -> list[Outcome]:
    """Enroll ``shot`` clips of ``enrolled`` classes and judge the others, and all clips of ``unknown`` other classes.

    Where clips' source recordings are known, no judged clip comes from an enrolled clip's. Raises ConfigError where
    there are too few classes or clips.
    """
    classes = np.unique(pool.class_of)
    if enrolled + unknown > len(classes):
        raise ConfigError(
            f"{enrolled} enrolled and {unknown} unknown classes asked for, but there are {len(classes)} classes"
        )
    outcomes = []
    for task in range(tasks):
        order = random.permutation(classes)
        known, strange = np.sort(order[:enrolled]), order[enrolled : enrolled + unknown]
        support, queries, labels = [], [], []
        for label, c in enumerate(known):
            clips = random.permutation(np.flatnonzero(pool.class_of == c))
            chosen, rest = clips[:shot], clips[shot:]
            rest = rest[~np.isin(pool.groups[rest], pool.groups[chosen])]
            if len(chosen) < shot or not len(rest):
                raise ConfigError(f"{len(clips)} clips in a class are too few for {shot} shots and one more to judge")
            support.append(pool.means[torch.from_numpy(chosen)])
            queries.append(rest)
            labels.append(np.full(len(rest), label))
        judged, stranger = np.concatenate(queries), np.flatnonzero(np.isin(pool.class_of, strange))
        prototypes, reach = torch.stack([clips.mean(0) for clips in support]), reaches(support, prior)
        scores = row_scores(embedder.network, prototypes, torch.cat([pool.rows[clip] for clip in judged]))
        counts = np.array([len(pool.rows[clip]) for clip in judged])
        outcomes.append(
            Outcome(
                scores,
                counts,
                np.concatenate(labels),
                votes(scores, counts, embedder.experiment.tie_strategy),
                unknown_scores(pool.means[torch.from_numpy(judged)], prototypes, reach),
                unknown_scores(pool.means[torch.from_numpy(stranger)], prototypes, reach),
            )
        )
        progress("open-set tasks", task + 1, tasks)
    return outcomes


def auroc(known: Floats, unknown: Floats) -> float:
    """Probability that an unknown clip's score passes a known one's; ties count half."""
    ordered = np.sort(known)
    below, upto = (np.searchsorted(ordered, unknown, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(known))
