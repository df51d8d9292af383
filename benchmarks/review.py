"""Reviewing an archive: how many windows with a rare sound are found after 50, 100 and 200 looks.

For each class of a half (of ESC-50 the published validation classes, or the test classes), three clips are enrolled;
the others, at most ``--positives``, lie among windows of other classes that are 99 times as many, drawn first from
ESC-50 and urban, then from the other collections. The person who looks is the truth. A round has ten windows, and the
recognizer learns after each; "score order" is the first ranking, without learning. Clips of urban that were cut out of
the recordings of the enrolled ones are left out, and so is the same sound by another name. Orders are chosen on the
half for development; the other half is for the report.
"""

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np

from benchmarks.arena_collections import ESC50, ArenaClip, list_collections
from benchmarks.common import report
from fewshot_audio.archive.build import update_index
from fewshot_audio.archive.embed import EmbeddingJob
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import PartitionWriter
from fewshot_audio.archive.review.journal import ChoiceJournal
from fewshot_audio.archive.review.review import Order, Review
from fewshot_audio.data.splits import read_splits
from fewshot_audio.recognition.changes import Learn
from fewshot_audio.recognition.enrolled import EnrolledClip
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.shipped import shipped_folder

SHOTS, ROUND, LOOKS = 3, 10, (50, 100, 200)
Half: TypeAlias = Literal["development", "report"]
POLICIES: dict[str, tuple[Order, ...]] = {
    "search": ("search",),
    "score": ("score",),
    "margin": ("margin",),
    "margin + search": ("search", "margin"),
    "margin + score": ("score", "margin"),
}
"""Orders of rounds, which take turns."""
TIMED = "score"
"""The policy whose teaching is measured."""
SAME_SOUNDS = (
    {"urban/dog_bark", "esc50/dog"},
    {"urban/engine_idling", "esc50/engine"},
    {"urban/siren", "training/siren"},
    {"urban/car_horn", "training/car_horn"},
)
"""Classes that a person who looks for one of them would say yes to."""


@dataclass(frozen=True)
class Haystack:
    """An archive in which one class is rare: an index, which of its windows hold the class, and the enrolled clips."""

    index: Index
    holds: np.ndarray[tuple[int], np.dtype[np.bool_]]
    enrolled: tuple[EnrolledClip, ...]


def list_clips(data: Path, half: Half) -> dict[Path, ArenaClip]:
    """The clips of the classes of a half; and of ESC-50's training classes, which are nothing but haystack."""
    collections = list_collections(data, half, ("esc50", "urban", "drumkit", "instruments", "readers", "words"))
    clips = {
        clip.path: clip._replace(label=f"{name}/{clip.label}") for name, own in collections.items() for clip in own
    }
    for path, clip in clips.items():
        if clip.label.startswith("esc50/"):  # whose table does not know the source of most clips
            clips[path] = clip._replace(group=path.name)
    training = {plain(name) for name in read_splits(data / "published-splits" / ESC50 / "splits.npy").train}
    with (data / ESC50 / "meta" / "esc50.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if plain(row["category"]) in training:
                path = data / ESC50 / "audio" / row["filename"]
                clips[path] = ArenaClip(path, f"training/{row['category']}", row["src_file"])
    return clips


def plain(name: str) -> str:
    """A class's name as far as the published split and the table of ESC-50 agree."""
    return re.sub(r"[^a-z]", "", name.lower())


def make_haystack(
    whole: Index, clips: Sequence[ArenaClip], target: str, positives: int, seed: int, to: Path
) -> Haystack:
    """Write the index of a class and 99 times as many other windows.

    Args:
        whole: the index of all clips.
        clips: the clip of each of its recordings.
        target: the class.
        positives: how many of its clips are to be found at most.
        seed: of what is drawn.
        to: folder of the new index.
    """
    random = np.random.default_rng(seed)
    labels = np.array([clip.label for clip in clips])
    firsts = whole.first_windows[[recording.windows > 0 for recording in whole.recordings]]
    loud = np.zeros(len(clips), bool)
    loud[[recording.windows > 0 for recording in whole.recordings]] = whole.rows("timbre", firsts).any(axis=1)
    own = random.permutation(np.flatnonzero(loud & (labels == target)))
    groups = list(dict.fromkeys(clips[place].group for place in own))
    shown = [next(place for place in own if clips[place].group == group) for group in groups[:SHOTS]]
    hidden = [place for place in own if clips[place].group not in groups[:SHOTS]][:positives]
    same = [name for names in SAME_SOUNDS if target in names for name in names]
    others = random.permutation(np.flatnonzero(loud & ~np.isin(labels, [target, *same])))
    is_near = np.array([labels[place].startswith(("esc50/", "urban/", "training/")) for place in others])
    chosen = [*hidden, *np.concatenate([others[is_near], others[~is_near]])[: 99 * len(hidden)]]
    random.shuffle(chosen)
    to.mkdir()
    (to / "index.json").write_bytes((whole.folder / "index.json").read_bytes())
    where = whole.first_windows[np.array(chosen)]
    rows = {block: whole.rows(block, where).astype(np.float16) for block in whole.description.blocks}
    with PartitionWriter(to, 0, whole.description) as writer:
        for number, place in enumerate(chosen):
            recording = whole.recordings[place]
            values = {block: own_rows[number : number + 1] for block, own_rows in rows.items()}
            writer.add_rows({block: values[block].repeat(recording.windows, axis=0) for block in values})
            writer.add(recording)
        writer.commit()
    index = Index(to)
    return Haystack(
        index,
        np.repeat(labels[chosen] == target, [whole.recordings[place].windows for place in chosen]),
        tuple(_clip(whole, place) for place in shown),
    )


def _clip(index: Index, place: int) -> EnrolledClip:
    window = index.first_windows[place : place + 1]
    embedding = index.rows("embedding", window)[0].reshape(index.description.rows, -1)
    return EnrolledClip(index.recordings[place].file, 1, embedding, 0.0, index.rows("timbre", window))


def review(haystack: Haystack, policy: str, seed: int) -> tuple[list[int], list[float]]:
    """Look at windows by a policy; positives found after each look, and the seconds of each teaching that is timed."""
    recognizer, name = Recognizer.shipped(), "rare"
    recognizer.learn(Learn(frozenset(), {name: haystack.enrolled}, ()))
    reviewing = Review(haystack.index, recognizer, ChoiceJournal(None), seed)
    curve, seconds = [0], []
    random = np.random.default_rng(seed)
    if policy == "random":
        order = random.permutation(len(haystack.index))[: max(LOOKS)]
        return np.cumsum(haystack.holds[order]).tolist(), []
    if policy == "score order":
        windows = [candidate.window for candidate in reviewing.next_round(name, "score", max(LOOKS))]
        return np.cumsum(haystack.holds[windows]).tolist(), []
    while len(curve) <= max(LOOKS):
        orders = POLICIES[policy]
        order_now = orders[(len(curve) // ROUND) % len(orders)]
        for candidate in reviewing.next_round(name, order_now, ROUND):
            holds = bool(haystack.holds[candidate.window])
            reviewing.choose([reviewing.choice(candidate.window, name, "yes" if holds else "no", reviewer="truth")])
            curve.append(curve[-1] + holds)
        start = time.perf_counter()
        reviewing.teach()
        if policy == TIMED:
            recognizer.snapshot()  # what is fitted for answers; the next round does not need it
            seconds.append(time.perf_counter() - start)
    return curve[1:], seconds


def main() -> None:
    """Simulate all classes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of collections, with halves.json")
    parser.add_argument("--half", choices=get_args(Half), default="development", help="of the classes")
    parser.add_argument("--positives", type=int, default=50, help="of each class to be found, at most")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each class")
    parser.add_argument("--classes", nargs="+", help="such as urban/car_horn; default: all of the half")
    policies = ("random", "score order", *POLICIES)
    parser.add_argument("--policies", nargs="+", choices=policies, default=policies, help="default: all")
    parser.add_argument(
        "--index", type=Path, help="where the index of all clips is or will be; default: a temporary one"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    arguments = parser.parse_args()
    clips = list_clips(arguments.data, arguments.half)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.index or Path(scratch) / "index"
        update_index(list(clips), EmbeddingJob(folder, arguments.data, shipped_folder(), (), "cpu", 5.0), 1)
        whole = Index(folder)
        of_recordings = [clips[arguments.data / recording.file] for recording in whole.recordings]
        targets = sorted({clip.label for clip in of_recordings if clip.label.startswith(("esc50/", "urban/"))})
        targets = [target for target in targets if not arguments.classes or target in arguments.classes]
        found: dict[str, dict[str, list[list[int]]]] = {}
        hidden: dict[str, list[int]] = {}
        taught: list[float] = []
        for target in targets:
            for seed in range(arguments.seeds):
                to = Path(scratch) / f"{target.replace('/', '-')}-{seed}"
                haystack = make_haystack(whole, of_recordings, target, arguments.positives, seed, to)
                hidden.setdefault(target, []).append(int(haystack.holds.sum()))
                for policy in arguments.policies:
                    curve, seconds = review(haystack, policy, seed)
                    taught += seconds
                    own = found.setdefault(policy, {}).setdefault(target, [])
                    own.append([curve[looks - 1] for looks in LOOKS])
                    print(target, seed, policy, int(haystack.holds.sum()), own[-1], flush=True)
    rows = []
    for collection in ("esc50", "urban"):
        names = [target for target in targets if target.startswith(collection)]
        if not names:
            continue
        there = np.mean([np.mean(hidden[name]) for name in names])
        for policy, of_targets in found.items():
            means = np.mean([np.mean(of_targets[name], axis=0) for name in names], axis=0)
            rows.append([collection, policy, f"{there:.1f}", *(f"{value:.1f}" for value in means)])
    values = {"found": found, "hidden": hidden, "teaching": taught}
    columns = ["classes of", "policy", "there", *(f"after {looks} looks" for looks in LOOKS)]
    report("Windows with a rare sound that are found", columns, rows, values, arguments.json)
    if taught:
        print(f"\nTeaching took {np.median(taught):.3f} s in the median, at most {max(taught):.3f} s")


if __name__ == "__main__":
    main()
