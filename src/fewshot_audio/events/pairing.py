"""Two sides to compare, truth and detections: their tables, and which recordings and labels of both are the same."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS
from fewshot_audio.errors import DataError, format_names, on_one_line, plural
from fewshot_audio.events.rows import ONE_LABEL, EventRow, check_count
from fewshot_audio.events.tables import TableFormat, read_rows

TABLE_EXTENSIONS = frozenset({".csv", ".txt", ".tsv"})
MAX_TABLES = 10_000
_SEPARATORS = re.compile(r"[/\\]+")
_TABLE_ENDINGS = re.compile(r"(\.table\.\d+)?(\.selections)?(\.labels)?\.(txt|csv|tsv)$")

RecordingName: TypeAlias = tuple[str, ...]
"""The name of a recording without its extension, in lower case, then the folders above it, the nearest first."""


class NamedRow(NamedTuple):
    """An event, and its recording."""

    recording: RecordingName
    row: EventRow


@dataclass
class EventTables:
    """The events of one table, or of all tables in a folder.

    Attributes:
        path: the table or folder.
        rows: the events.
        names: of each recording, as a table has it.
        problems: rows and tables that are left out, a line each.
        remarks: what was taken otherwise than it stands there.
    """

    path: Path
    rows: list[NamedRow] = field(default_factory=list)
    names: dict[RecordingName, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, form: TableFormat | None = None, label_column: str | None = None) -> "EventTables":
        """Read a table, or all tables in a folder.

        Args:
            path: the table or folder.
            form: which program wrote the tables; default: what the content of each says.
            label_column: the name of the column of labels; default: a usual one.

        Raises:
            DataError: the table is none of events, or the folder has no table.
        """
        tables = cls(path)
        for table in list_tables(path):
            try:
                rows = read_rows(table, form, label_column)
            except DataError as error:
                if table == path:
                    raise
                tables.problems.append(on_one_line(str(error)))
                continue
            own = _RecordingNames(table, path)
            for row in rows.rows:
                name, text = own.of(row)
                tables.names.setdefault(name, text)
                tables.rows.append(NamedRow(name, row))
            check_count(len(tables.rows), path)
            tables.problems += map(on_one_line, rows.problems)
            tables.remarks += map(on_one_line, rows.remarks)
        return tables

    @property
    def labels(self) -> set[str]:
        """The labels of the events."""
        return {row.label for _, row in self.rows}


class _RecordingNames:
    """The names of a table's recordings; ``top`` is the folder of tables, or the table."""

    def __init__(self, table: Path, top: Path) -> None:
        stem = _without_extension(_TABLE_ENDINGS.sub("", _comparable(table.name)))
        folders = table.relative_to(top).parts[:-1] if table != top else ()
        self._of_table = (stem, *map(_comparable, reversed(folders)))
        self._table = table
        self._names: dict[str, RecordingName] = {}

    def of(self, row: EventRow) -> tuple[RecordingName, str]:
        """The recording of a row, and what the table calls it."""
        if not row.files:
            return self._of_table, self._table.name
        text = row.files[0]
        if text not in self._names:
            parts = [part for part in _SEPARATORS.split(_comparable(text)) if part not in ("", ".", "..")]
            name = (_without_extension(parts[-1]), *reversed(parts[:-1])) if parts else ("",)
            self._names[text] = name if len(name) > 1 else (*name, *self._of_table[1:])
        return self._names[text], text


def match_recordings(truth: EventTables, detections: EventTables) -> dict[RecordingName, RecordingName | None]:
    """The truth's recording that each of the detections' recordings is; None if the truth does not name it.

    Recordings are the same if their names without extensions are; if the truth has several of that name, the folders
    above decide. If there is only one on each side and one of the tables names none, they are the same.

    Raises:
        DataError: a recording of the detections may be several of the truth's.
    """
    by_base: dict[str, list[RecordingName]] = {}
    for name in truth.names:
        by_base.setdefault(name[0], []).append(name)
    sides = (truth, detections)
    if all(len(side.names) == 1 for side in sides) and any(not row.files for side in sides for _, row in side.rows):
        return dict.fromkeys(detections.names, next(iter(truth.names)))
    same: dict[RecordingName, RecordingName | None] = {}
    for name in detections.names:
        candidates = by_base.get(name[0], [])
        longest = max((_common(name, candidate) for candidate in candidates), default=0)
        best = [candidate for candidate in candidates if _common(name, candidate) == longest]
        if len(best) > 1:
            shown = format_names([truth.names[candidate] for candidate in best])
            raise DataError(
                f"{detections.path}: recording {detections.names[name]!r} may be {shown} of {truth.path}: name it with "
                "its folder"
            )
        same[name] = best[0] if best else None
    return same


def match_labels(truth: EventTables, detections: EventTables) -> str | None:
    """The label that detections have whatever they say: the truth's only one, if one of the sides has no labels."""
    own, others = truth.labels, detections.labels
    return next(iter(own)) if len(own) == 1 == len(others) and ONE_LABEL in own | others else None


def _common(one: RecordingName, other: RecordingName) -> int:
    pairs = zip(one, other, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def list_tables(path: Path) -> Sequence[Path]:
    """A table, or all tables in a folder, at any depth. Raises DataError if there is none, or too many."""
    if not path.is_dir():
        return [path]
    tables = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in TABLE_EXTENSIONS and not file.name.startswith(".") and not _is_list(file)
    )
    if not tables:
        raise DataError(f"{path}: no tables in this folder; expected files that end in .csv, .txt or .tsv")
    if len(tables) > MAX_TABLES:
        raise DataError(f"{path}: {plural(len(tables), 'table')}, expected at most {MAX_TABLES}")
    return tables


def _is_list(file: Path) -> bool:
    """Whether it is the list of recordings that ``detect`` writes beside tables of labels."""
    if file.name != "files.csv" or not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(200).startswith(b"file,labels,events,seconds,")


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and f".{extension}" in AUDIO_EXTENSIONS else name


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
