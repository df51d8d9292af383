"""The datasets that ``download`` can fetch, from ``catalog.toml``: where they are published and under which terms.

An archive has a checksum only if one is published; ``Checksum.publisher`` says by whom. Without one, damage is detected
when the archive is opened (zip and gzip contain checksums), but another version of the data is not.
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
    """One file to fetch, and the folder that it is unpacked to.

    ``size`` and ``unpacked`` are bytes: estimates for progress, disk space and limits that need not be exact.
    """

    url: str
    file: str
    folder: str
    size: int
    unpacked: int
    checksum: Checksum | None = None


@dataclass(frozen=True)
class CatalogEntry:
    """A dataset: archives to fetch, or the steps that a person has to take instead.

    Attributes:
        name: its name in the commands ``prepare`` and ``download``.
        title: its full name, with authors and year.
        page: where it is published.
        license: its terms, in a few words.
        layout: its files and folders, for messages.
        archives: the files to fetch.
        expects: files and folders that must be in the download folder after extraction.
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


def _dataset(entry: dict[str, Any]) -> CatalogEntry:
    archives = tuple(
        Archive(**{**archive, "checksum": Checksum(**archive["checksum"]) if "checksum" in archive else None})
        for archive in entry.pop("archives", ())
    )
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    return CatalogEntry(**{**entry, **lists}, archives=archives)


def _read() -> dict[str, CatalogEntry]:
    entries = tomllib.loads(resources.files(__package__).joinpath("catalog.toml").read_text("utf-8"))["dataset"]
    return {entry["name"]: _dataset(entry) for entry in entries}


DATASETS = _read()
