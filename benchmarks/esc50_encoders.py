"""``python -m benchmarks.esc50_encoders DATA --bundle BUNDLE --cache DIR``: ESC-50's test classes with encoders.

Which encoders stand beside the network, and what decides, is chosen by cross-validation over the 40 training and
validation classes: five parts of eight classes, of which the four others fit what has to be fitted. The test classes
are asked with ``--test`` alone, once, with what was chosen and with plain concatenation. Support and queries of a task
share no source recording.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.arena_collections import ESC50
from benchmarks.esc50_embeddings import OWN, EmbeddedClips, embedded_clips
from fewshot_audio.config import PHASES
from fewshot_audio.data.splits import read_splits
from fewshot_audio.functional.statistics import ci95

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

WAY, QUERY, PARTS, TRIES = 5, 5, 5, 1000


class Features(NamedTuple):
    """What becomes of a block.

    Attributes:
        centered: whether the mean and deviation of the fitted classes are taken out of each number.
        whitening: share of the average variance that is added to the covariance within classes before numbers are
            freed of it; None leaves it.
    """

    centered: bool
    whitening: float | None = None


class Decision(NamedTuple):
    """What is compared, and by what: a regression of some ridge on the classes, or the nearest mean if it is None."""

    features: Features
    ridge: float | None = None


CONCATENATION = Decision(Features(centered=False))
DECISIONS = [
    CONCATENATION,
    *(Decision(Features(True, share), ridge) for share in (None, 0.1, 0.3, 1.0, 3.0) for ridge in (None, 1.0)),
]


def draw_tasks(clips: EmbeddedClips, classes: Sequence[str], shot: int, tasks: int, seed: int) -> tuple[Whole, Whole]:
    """Clips of support (tasks, WAY, shot) and queries (tasks, WAY, QUERY)."""
    random = np.random.default_rng(seed)
    own = {name: np.flatnonzero(clips.labels == name) for name in classes}
    support, query = np.empty((tasks, WAY, shot), np.int64), np.empty((tasks, WAY, QUERY), np.int64)
    for task in range(tasks):
        for way, number in enumerate(random.choice(len(classes), WAY, replace=False)):
            clips_of_class = own[classes[number]]
            for _ in range(TRIES):  # until the recordings of the support leave enough to ask
                order = random.permutation(clips_of_class)
                others = order[~np.isin(clips.groups[order], clips.groups[order[:shot]])]
                if len(others) >= QUERY:
                    break
            support[task, way], query[task, way] = order[:shot], others[:QUERY]
    return support, query


def transform(rows: Floats, labels: NDArray[np.str_], fitted: Sequence[str], features: Features) -> Floats:
    """A block's rows as they are compared, of length 1; what has to be fitted is fitted to clips of some classes."""
    if features.centered:
        rows_of = [rows[labels == name] for name in fitted]
        mean = np.concatenate(rows_of).mean(axis=0)
        deviation = np.concatenate(rows_of).std(axis=0)
        scale = 1 / np.maximum(deviation, 1e-6 * deviation.mean())
        rows = (rows - mean) * scale
        if features.whitening is not None:
            within = np.concatenate([(own - own.mean(axis=0)) * scale for own in rows_of])
            covariance = within.T @ within / len(within)
            covariance += features.whitening * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
            rows = np.asarray(np.linalg.solve(np.linalg.cholesky(covariance), rows.T).T, dtype=np.float64)
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float64)


def accuracies(blocks: Sequence[Floats], support: Whole, query: Whole, ridge: float | None) -> Floats:
    """Accuracy of each task, (tasks,)."""
    tasks, way, shot = support.shape
    rows = np.concatenate(blocks, axis=1) / np.sqrt(len(blocks))
    right = np.empty(tasks)
    truth = np.repeat(np.arange(way), query.shape[2])
    for task in range(tasks):
        given, asked = rows[support[task].ravel()], rows[query[task].ravel()]
        if ridge is None:
            means = given.reshape(way, shot, -1).mean(axis=1)
            scores = asked @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
        else:
            targets = np.repeat(np.eye(way), shot, axis=0)
            kernel = given @ given.T + ridge * np.eye(len(given))
            scores = asked @ given.T @ np.linalg.solve(kernel, targets)
        right[task] = (scores.argmax(axis=1) == truth).mean()
    return right


def parts(classes: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Classes to fit, and those that are left out."""
    order = [str(name) for name in np.random.default_rng(0).permutation(sorted(classes))]
    for number in range(PARTS):
        left_out = order[number::PARTS]
        yield [name for name in order if name not in left_out], left_out


def choose(clips: EmbeddedClips, classes: Sequence[str], tasks: int) -> tuple[tuple[str, ...], Decision]:
    """The blocks and the decision with the highest mean of 5-shot and 1-shot accuracy; prints the best ones."""
    others = [name for name in clips.blocks if name != OWN]
    sets = [(OWN, *chosen) for count in range(len(others) + 1) for chosen in combinations(others, count)]
    scores: dict[tuple[tuple[str, ...], Decision], list[list[float]]] = {}
    for fold, (fitted, left_out) in enumerate(parts(classes)):
        drawn = [draw_tasks(clips, left_out, shot, tasks, 10 * fold + shot) for shot in (5, 1)]
        for features in dict.fromkeys(decision.features for decision in DECISIONS):
            rows = {
                name: transform(values.astype(np.float64), clips.labels, fitted, features)
                for name, values in clips.blocks.items()
            }
            for decision in (decision for decision in DECISIONS if decision.features == features):
                for chosen in sets:
                    blocks = [rows[name] for name in chosen]
                    both = [float(accuracies(blocks, *pair, decision.ridge).mean()) for pair in drawn]
                    scores.setdefault((chosen, decision), []).append(both)
    ranking = sorted(scores, key=lambda key: -float(np.mean(scores[key])))
    for chosen, decision in [*ranking[:10], *((names, CONCATENATION) for names in sets)]:
        five, one = 100 * np.mean(scores[chosen, decision], axis=0)
        print(f"{five:.2f} / {one:.2f}  {' + '.join(chosen)}  {decision}", flush=True)
    return ranking[0]


def letters(name: str) -> str:
    """A class name as the table and the published splits both spell it."""
    return re.sub(r"[^a-z]", "", name.lower())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.esc50_encoders", description=__doc__)
    parser.add_argument("data", type=Path, help="folder that holds ESC-50 as published, and the published splits")
    parser.add_argument("--bundle", type=Path, required=True, help="a recognizer that has not learned the test classes")
    parser.add_argument("--encoders", nargs="*", default=["yamnet", "birdnet"], help="that are installed")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps embeddings for another run")
    parser.add_argument("--tasks", type=int, default=300, help="of each part in cross-validation")
    parser.add_argument("--test", action="store_true", help="ask the test classes with what was chosen: once")
    options = parser.parse_args()
    clips = embedded_clips(options.data / ESC50, options.bundle, options.encoders, options.cache)
    splits = read_splits(options.data / "published-splits" / ESC50 / "splits.npy")
    labels = {letters(name): name for name in np.unique(clips.labels).tolist()}
    classes = {phase: [labels[letters(name)] for name in splits[phase]] for phase in PHASES}
    development = [*classes["train"], *classes["validation"]]
    chosen, decision = choose(clips, development, options.tasks)
    if not options.test:
        return
    for blocks, way_to_decide in ((chosen, decision), ((OWN, *options.encoders), CONCATENATION)):
        rows = [
            transform(clips.blocks[name].astype(np.float64), clips.labels, development, way_to_decide.features)
            for name in blocks
        ]
        for shot in (5, 1):
            values = 100 * accuracies(rows, *draw_tasks(clips, classes["test"], shot, 2000, shot), way_to_decide.ridge)
            print(f"test, {shot}-shot: {values.mean():.2f} ± {ci95(values):.2f}  {' + '.join(blocks)}  {way_to_decide}")


if __name__ == "__main__":
    main()
