"""The datasets that ``download`` knows, as ``catalog.toml`` lists them: where each is published and under which terms.

An archive has a checksum only if one is published; ``Checksum.publisher`` says by whom. Without one, damage shows when
the archive is opened (zip and gzip carry checks of their own), but another version of the data would not.
"""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal


@dataclass(frozen=True)
class Checksum:
    """The published digest of a file, in hexadecimal, and its publisher."""

    algorithm: Literal["md5", "sha256"]
    value: str
    publisher: str


@dataclass(frozen=True)
class Archive:
    """One file to fetch, and the folder it becomes.

    ``size`` and ``unpacked`` are bytes; they are estimates for progress, disk space and limits, and never checked.
    """

    url: str
    file: str
    folder: str
    size: int
    unpacked: int
    checksum: Checksum | None = None


@dataclass(frozen=True)
class Dataset:
    """A dataset: archives that anybody may fetch, or the steps that a person has to take instead.

    Attributes:
        name: as ``prepare`` and ``download`` call it.
        title: its full name, with authors and year.
        page: where it is published.
        license: its terms, in a few words.
        layout: how its files lie on disk, for messages.
        archives: the files to fetch.
        expects: files and folders that must be in the download folder in the end.
        source: the folder inside the download folder that ``prepare`` takes.
        steps: what a person has to do if there are no archives.
    """

    name: str
    title: str
    page: str
    license: str
    layout: str
    archives: tuple[Archive, ...] = ()
    expects: tuple[str, ...] = ()
    source: str = "."
    steps: tuple[str, ...] = ()


def _dataset(entry: dict[str, Any]) -> Dataset:
    archives = tuple(
        Archive(**{**archive, "checksum": Checksum(**archive["checksum"]) if "checksum" in archive else None})
        for archive in entry.pop("archives", ())
    )
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return Dataset(**{**entry, **lists}, archives=archives)


def _read() -> dict[str, Dataset]:
    entries = tomllib.loads(resources.files(__package__).joinpath("catalog.toml").read_text("utf-8"))["dataset"]
    return {entry["name"]: _dataset(entry) for entry in entries}


DATASETS = _read()
