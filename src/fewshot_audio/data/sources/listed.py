"""What sources with a table of their recordings share: reading it, and holding it against the files that are there."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.sources.base import AudioFile, Recording, Skipped, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a table: the name of a file, its class, and the recording that it was cut from."""

    filename: str
    class_name: str
    group: str = ""


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read the named columns of a table with a header, separated by tabs where the header has one, else by commas.

    ``columns`` must be there and filled; of the ``optional`` ones those that are missing read as "".

    Raises:
        DataError: the table cannot be read, lacks a column, or has an empty cell; says which.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter="\t" if "\t" in header else ",")
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: column {missing[0]!r} is missing (found: {reader.fieldnames})")
            wanted = (*columns, *optional)
            rows = [{column: (row.get(column) or "").strip() for column in wanted} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for line, row in enumerate(rows, 2):
        empty = next((column for column in columns if not row[column]), None)
        if empty is not None:
            raise DataError(f"{path}, line {line}: {empty} is empty")
    return rows


def listed(root: Path, folder: str, entries: Iterable[Entry], table: str) -> Iterator[Recording | Skipped]:
    """Every entry of ``table``, then every other file in ``root/folder``.

    A recording may have another audio format than the table says (a lossless copy, for instance): files are matched
    by stem.
    """
    files: dict[str, list[Path]] = {}
    for name in sorted(os.listdir(root / folder)):  # noqa: PTH208 - strings, 300,000 times
        if not name.startswith("."):
            file = root / folder / name
            files.setdefault(file.stem if is_audio(file) else name, []).append(file)
    taken: set[str] = set()
    for entry in entries:
        candidates = files.get(Path(entry.filename).stem, [])
        named = [file for file in candidates if file.name == entry.filename] or candidates
        source = f"{folder}/{entry.filename}"
        if not named:
            yield Skipped(source, entry.class_name, Reason.MISSING, f"named in {table}, not in {folder}/")
        elif named[0].name in taken:
            yield Skipped(source, entry.class_name, Reason.DUPLICATE, f"named twice in {table}")
        else:
            file = named[0]
            taken.add(file.name)
            source = printable(f"{folder}/{file.name}")
            yield Recording(source, entry.class_name, file.stem, AudioFile(file), entry.group)
    for file in (file for same_stem in files.values() for file in same_stem):
        if file.name not in taken:
            reason = Reason.NOT_LISTED if is_audio(file) else Reason.NOT_AUDIO
            yield Skipped(printable(f"{folder}/{file.name}"), "", reason, f"not named in {table}")
