"""Open-set tasks: some classes are enrolled, others stay unknown; each clip is embedded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.config.experiment import TieStrategy
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.scoring import (
    Counts,
    Floats,
    Rows,
    clip_means,
    expected_distances,
    squared_deviations,
    unknown_scores,
    votes,
)

LARGEST_POOL = 2000  # clips; if there are more, an equal share of each class is drawn and embedded
CHUNK = 64  # clips whose segments are in memory at once


@dataclass(frozen=True)
class Pool:
    """Embedded clips of several classes.

    Args:
        rows: of each clip, (segments x rows, width).
        means: embeddings of the clips, (clips, width).
        class_of: number of each clip's class, (clips,).
        groups: number of each clip's source recording, (clips,); the clip's own if that is not recorded.
    """

    rows: list[Rows]
    means: Rows
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
        """Embed the clips of ``classes``; if they are more than ``LARGEST_POOL``, an equal share of each class."""
        share = max(1, LARGEST_POOL // len(classes))
        all_clips = [store.index.by_class[name] for name in classes]
        by_class = [c if len(c) <= share else np.sort(random.choice(c, share, replace=False)) for c in all_clips]
        clips = np.concatenate(by_class)
        rows: list[Rows] = []
        for start in range(0, len(clips), CHUNK):
            segments = [np.array(store.index.segments(clip)) for clip in clips[start : start + CHUNK]]
            rows += embedder.clip_rows([store.read(numbers) for numbers in segments])
            progress("embedding", len(rows), len(clips))
        groups = clips if store.index.groups is None else store.index.groups[clips]
        return cls(rows, clip_means(rows), np.repeat(np.arange(len(by_class)), [len(c) for c in by_class]), groups)

    @property
    def scatter(self) -> float:
        """Mean squared distance of a clip to its class, each class counting once."""
        by_class = [self.means[self.class_of == c] for c in np.unique(self.class_of)]
        return float(np.mean([squared_deviations(clips) / (len(clips) - 1) for clips in by_class if len(clips) > 1]))


@dataclass(frozen=True)
class TaskResult:
    """The result of one task, for the query clips of its enrolled classes and the clips of its unknown classes.

    Args:
        scores: of the query clips' rows, (rows, way).
        counts: rows of each query clip, (clips,).
        labels: class of each query clip, (clips,).
        votes: class that each query clip's rows vote for, (clips,).
        query_unknown: unknown scores of the query clips, (clips,).
        other_unknown: unknown scores of the clips of classes that are not enrolled.
    """

    scores: Rows
    counts: Counts
    labels: Counts
    votes: Counts
    query_unknown: Floats
    other_unknown: Floats


def run_tasks(
    pool: Pool,
    embedder: Embedder,
    tie_strategy: TieStrategy,
    scatter: float,
    *,
    enrolled: int,
    unknown: int,
    shot: int,
    tasks: int,
    random: np.random.Generator,
    progress: Progress = silent,
) -> list[TaskResult]:
    """Enroll some classes of a pool, and compare their other clips and those of further classes with them.

    If the source recordings of clips are recorded, no query clip comes from an enrolled clip's.

    Args:
        pool: the embedded clips.
        embedder: scores rows.
        tie_strategy: how a tied vote is decided.
        scatter: mean squared distance of a clip to its class.
        enrolled: how many classes a task enrolls; all their other clips are its queries.
        unknown: how many further classes a task has, with all their clips.
        shot: clips that are enrolled of a class.
        tasks: number of tasks.
        random: draws classes and clips.
        progress: reports the tasks done.

    Raises:
        ConfigError: the pool has too few classes or clips.
    """
    classes = np.unique(pool.class_of)
    if enrolled + unknown > len(classes):
        raise ConfigError(
            f"{enrolled} enrolled and {unknown} unknown classes asked for, but there are {len(classes)} classes"
        )
    results = []
    for task in range(tasks):
        order = random.permutation(classes)
        support, queries, labels = [], [], []
        for label, c in enumerate(np.sort(order[:enrolled])):
            clips = random.permutation(np.flatnonzero(pool.class_of == c))
            shots, rest = clips[:shot], clips[shot:]
            rest = rest[~np.isin(pool.groups[rest], pool.groups[shots])]
            if len(shots) < shot or not len(rest):
                raise ConfigError(f"{len(clips)} clips in a class are too few for {shot} shots and one query")
            support.append(pool.means[shots])
            queries.append(rest)
            labels.append(np.full(len(rest), label))
        query_clips = np.concatenate(queries)
        other_clips = np.flatnonzero(np.isin(pool.class_of, order[enrolled : enrolled + unknown]))
        prototypes, expected = np.stack([clips.mean(axis=0) for clips in support]), expected_distances(support, scatter)
        scores = embedder.score(prototypes, np.concatenate([pool.rows[clip] for clip in query_clips]))
        counts = np.array([len(pool.rows[clip]) for clip in query_clips])
        results.append(
            TaskResult(
                scores,
                counts,
                np.concatenate(labels),
                votes(scores, counts, tie_strategy),
                unknown_scores(pool.means[query_clips], prototypes, expected),
                unknown_scores(pool.means[other_clips], prototypes, expected),
            )
        )
        progress("open-set tasks", task + 1, tasks)
    return results


def mean_auroc(results: Sequence[TaskResult]) -> float:
    """Area under the ROC curve of the unknown scores, averaged over tasks with clips of classes not enrolled."""
    return float(np.mean([auroc(task.query_unknown, task.other_unknown) for task in results]))


def auroc(enrolled: Floats, unknown: Floats) -> float:
    """Probability that the score of an unknown clip exceeds that of one of an enrolled class; ties count half.

    Shape: enrolled (n,), unknown (m,) -> from 0 to 1.
    """
    ordered = np.sort(enrolled)
    below, upto = (np.searchsorted(ordered, unknown, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(enrolled))
