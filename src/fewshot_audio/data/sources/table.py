"""Sources with a table of their recordings: read the table, and match it with the files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.csv_files import read_rows
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a table: the name of a file, its class, and the recording that it was cut from."""

    filename: str
    class_name: str
    group: str = ""


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read columns of a table, as ``read_rows`` does, and strip blanks around cells.

    Args:
        path: the table.
        columns: columns that the table must have, without empty cells.
        optional: columns that are read as "" if they are missing.

    Raises:
        DataError: the table cannot be read, lacks a column, or has an empty cell; names it.
    """
    rows = [{name: cell.strip() for name, cell in row.items()} for row in read_rows(path, columns, optional)]
    for line, row in enumerate(rows, 2):
        empty = next((column for column in columns if not row[column]), None)
        if empty is not None:
            raise DataError(f"{path}, line {line}: {empty} is empty")
    return rows


def match_files(root: Path, folder: str, entries: Iterable[Entry], table: str) -> Iterator[Recording | SkippedInput]:
    """Yield every entry of a table with its file, then every other file of the folder as skipped.

    Files are matched by stem, because a recording may have another format than in the table, such as a lossless copy.

    Args:
        root: the folder of the source.
        folder: the folder of the files, relative to ``root``.
        entries: the rows of the table.
        table: the table's name, for the reasons in ``skipped.csv``.
    """
    files: dict[str, list[Path]] = {}
    for name in sorted(os.listdir(root / folder)):  # noqa: PTH208 - strings, 300,000 times
        if not name.startswith("."):
            file = root / folder / name
            files.setdefault(file.stem if is_audio(file) else name, []).append(file)
    used_names: set[str] = set()
    for entry in entries:
        candidates = files.get(Path(entry.filename).stem, [])
        matches = [file for file in candidates if file.name == entry.filename] or candidates
        source = f"{folder}/{entry.filename}"
        if not matches:
            yield SkippedInput(source, entry.class_name, Reason.MISSING, f"named in {table}, not in {folder}/")
        elif matches[0].name in used_names:
            yield SkippedInput(source, entry.class_name, Reason.DUPLICATE, f"named twice in {table}")
        else:
            file = matches[0]
            used_names.add(file.name)
            source = printable(f"{folder}/{file.name}")
            yield Recording(source, entry.class_name, file.stem, AudioFile(file), entry.group)
    for file in (file for same_stem in files.values() for file in same_stem):
        if file.name not in used_names:
            reason = Reason.NOT_LISTED if is_audio(file) else Reason.NOT_AUDIO
            yield SkippedInput(printable(f"{folder}/{file.name}"), "", reason, f"not named in {table}")
