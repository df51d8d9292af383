"""The class-wise split of a dataset: made from a seed, written to and safely read from ``splits.npy``."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_audio.config import PHASES
from fewshot_audio.data.safe_npy import load_strings
from fewshot_audio.errors import DataError, format_names, plural
from fewshot_audio.files import write_atomic

MAX_NAME = 1000
MIN_CLIPS = 2  # one support and one query clip: a class with fewer fits no episode
EPISODE_CLIPS = 10  # 5 shots and 5 queries


@dataclass(frozen=True)
class Splits:
    """Class names for training, validation and testing; no class is in two of them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse empty names, duplicates, and classes in two splits, naming them."""
        if not all(name.strip() for name in self.classes):
            raise DataError("splits hold an empty class name")
        for phase in PHASES:
            twice = [name for name, count in Counter(self[phase]).items() if count > 1]
            if twice:
                raise DataError(f"the {phase} split names classes more than once: {_quote(twice)}")
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = sorted(set(self[one]) & set(self[other]))
            if shared:
                raise DataError(f"classes in both the {one} and the {other} split: {_quote(shared)}")

    def __getitem__(self, phase: str) -> tuple[str, ...]:
        """The classes of a phase: train, validation or test."""
        if phase not in PHASES:
            raise KeyError(phase)
        names: tuple[str, ...] = getattr(self, phase)
        return names

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, in split order."""
        return self.train + self.validation + self.test

    def map(self, rename: Callable[[str], str]) -> "Splits":
        """Return the same splits with other class names."""
        return Splits(*(tuple(rename(name) for name in self[phase]) for phase in PHASES))

    def keep(self, classes: Iterable[str]) -> "Splits":
        """Return the same splits with only those of their classes that are in ``classes``."""
        names = set(classes)
        return Splits(*(tuple(name for name in self[phase] if name in names) for phase in PHASES))


def make_splits(classes: Iterable[str], seed: int = 0, way: int = 5) -> Splits:
    """Split classes at random 70 / 10 / 20, but with at least ``way`` of them in each part.

    The result depends on the set of classes and the seed only. Each part is in alphabetical order.

    Raises:
        DataError: there are fewer than ``3 * way`` classes; the message names the largest possible way.
    """
    names = sorted(set(classes))
    if len(names) < 3 * way:
        largest = len(names) // 3
        smaller = (
            f"these allow {largest}-way tasks (--way {largest})"
            if largest >= 2
            else "even 2-way tasks (--way 2) need 6 classes"
        )
        raise DataError(
            f"{plural(len(names), 'class')} {'is' if len(names) == 1 else 'are'} too few for {way}-way tasks: "
            f"training, validation and test share no class and need {way} each, {3 * way} in all; {smaller}; or give "
            "the splits yourself (--splits)"
        )
    test = max(way, round(0.2 * len(names)))
    validation = max(way, round(0.1 * len(names)))
    order = np.random.default_rng(seed).permutation(len(names))
    parts = np.split(order, [len(names) - test - validation, len(names) - test])
    return Splits(*(tuple(names[i] for i in sorted(part)) for part in parts))


def choose_splits(
    clips: Mapping[str, int], template: Splits | None = None, seed: int = 0, way: int = 5, least_clips: int = MIN_CLIPS
) -> tuple[Splits, list[str]]:
    """Split the classes that have enough clips for an episode, as in ``template``, or at random.

    Args:
        clips: number of usable clips of every class.
        template: splits to reduce; by default splits are made.
        seed: of the splits that are made.
        way: the least number of classes in each of them.
        least_clips: classes with fewer clips are left out.

    Returns:
        The splits, and sentences for the user: the classes that were left out, and why, and the small classes.

    Raises:
        DataError: too few classes are left.
    """
    least_clips = max(least_clips, MIN_CLIPS)
    usable = [name for name, count in clips.items() if count >= least_clips]
    few = {name: count for name, count in clips.items() if count < least_clips}
    if few and least_clips > MIN_CLIPS:
        listed = ", ".join(f"{name} ({count})" for name, count in few.items())
        notes = [f"{len(few)} classes are in no split, having fewer than {least_clips} usable clips: {listed}"]
    else:
        notes = [f"class {n!r} is in no split: {c} usable clips, needed {MIN_CLIPS}" for n, c in few.items()]
    if template is None:
        try:
            splits = make_splits(usable, seed, way)
        except DataError as error:
            if not few:
                raise
            listed = format_names([f"{name} ({count})" for name, count in few.items()], 8)
            raise DataError(
                f"{error}; {plural(len(few), 'class')} more with fewer than {least_clips} usable clips (--min-clips): "
                f"{listed}"
            ) from error
    else:
        splits = template.keep(usable)
        absent = [name for name in template.classes if name not in clips]
        unnamed = sorted(set(usable) - set(template.classes))
        for phase in PHASES:
            if not splits[phase]:
                raise DataError(
                    f"no class of the {phase} split can be used: it names {format_names(template[phase], 8)}; "
                    f"found {format_names(sorted(clips), 8) or 'none'}"
                )
        if absent:
            notes.append(f"{len(absent)} classes of the given splits were not found: {', '.join(absent)}")
        if unnamed:
            notes.append(
                f"{len(unnamed)} classes are in no split, because the given ones do not name them: {', '.join(unnamed)}"
            )
    small = sorted((clips[name], name) for name in splits.classes if clips[name] < EPISODE_CLIPS)
    if small:
        listed = format_names([f"{name} ({count})" for count, name in small], 20)
        notes.append(
            f"{len(small)} classes have fewer than the {EPISODE_CLIPS} clips of a 5-shot, 5-query episode: {listed}"
        )
    return splits, notes


def write_splits(path: Path, splits: Splits) -> None:
    """Write ``splits.npy`` as published datasets have it: an object array of three lists of class names."""
    array = np.empty(len(PHASES), dtype=object)
    for i, phase in enumerate(PHASES):  # one by one: numpy would turn three lists of equal length into a table
        array[i] = list(splits[phase])
    write_atomic(path, lambda stream: np.lib.format.write_array(stream, array, allow_pickle=True))


def read_splits(path: Path) -> Splits:
    """Read ``splits.npy``: three lists (or arrays) of class names; surrounding blanks are removed.

    The file is not trusted: a pickle that has anything but arrays and lists of strings in it is refused, not run.

    Raises:
        DataError: the file is missing or too large, has anything but lists of strings in it, or is not a valid split.
    """
    try:
        parts = [_names(part) for part in load_strings(path)]
        if len(parts) != len(PHASES):
            raise DataError(f"found {len(parts)} lists, expected {len(PHASES)} (train, validation, test)")
        return Splits(*parts)
    except DataError as error:
        raise DataError(f"{path}: splits cannot be read: {error}") from error


def _quote(names: Sequence[str]) -> str:
    """List names of an untrusted file for a message, without characters that no terminal can print."""
    return format_names([repr(name) for name in names], 8)


def _names(part: Sequence[str]) -> tuple[str, ...]:
    """Class names of one split."""
    longest = max(part, key=len, default="")
    if len(longest) > MAX_NAME:
        raise DataError(f"a class name of {len(longest)} characters: {longest[:40]!r}...")
    return tuple(name.strip() for name in part)
