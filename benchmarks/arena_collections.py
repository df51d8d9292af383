"""Collections of recordings for the arena: class folders, or ESC-50 as published."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from fewshot_audio.data.splits import read_splits

HALVES = "halves.json"
ESC50 = "ESC-50-master"
GROUPS = {"urban": re.compile(r"fold\d+_(\d+)-"), "drumkit": re.compile(r"([^_]+)_")}
"""Where file names of a collection tell the source recording, or the kit, of a clip."""


class ArenaClip(NamedTuple):
    """A recording, its class, and what it comes from; clips of one group are never both enrolled and asked."""

    path: Path
    label: str
    group: str


def list_collections(
    data: Path, half: Literal["development", "report", "all"], names: Sequence[str] | None = None
) -> dict[str, list[ArenaClip]]:
    """The recordings of each collection in a folder, by its name.

    Args:
        data: holds a folder for each collection, and ``halves.json`` if only a half of the classes is asked for.
        half: the classes of one half, or all; of ESC-50 the published validation or test classes, or both.
        names: the collections; None takes all.
    """
    halves = json.loads((data / HALVES).read_text()) if half != "all" else {}
    collections = {}
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        name = "esc50" if folder.name == ESC50 else folder.name
        if names and name not in names:
            continue
        if name == "esc50":
            collections[name] = _esc50(folder, data / "published-splits" / ESC50 / "splits.npy", half)
        elif half == "all" or name in halves:
            classes = set(halves[name][half]) if name in halves else None
            collections[name] = _class_folders(folder, classes)
    return {name: clips for name, clips in collections.items() if clips}


def _class_folders(folder: Path, classes: set[str] | None) -> list[ArenaClip]:
    pattern = GROUPS.get(folder.name)
    clips = []
    for entry in sorted(path for path in folder.iterdir() if path.is_dir()):
        if classes is None or entry.name in classes:
            for file in sorted(entry.iterdir()):
                match = pattern.match(file.name) if pattern else None
                clips.append(ArenaClip(file, entry.name, match[1] if match else file.name))
    return clips


def _esc50(folder: Path, splits_file: Path, half: str) -> list[ArenaClip]:
    splits = read_splits(splits_file)
    names = {"development": splits.validation, "report": splits.test}.get(half, (*splits.validation, *splits.test))
    classes = {_plain(name) for name in names}
    with (folder / "meta" / "esc50.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if _plain(row["category"]) in classes]
    return [ArenaClip(folder / "audio" / row["filename"], row["category"], row["src_file"]) for row in rows]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())
