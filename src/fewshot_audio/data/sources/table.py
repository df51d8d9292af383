"""Sources with a table of their recordings: read the table, and match it with the files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from fewshot_audio.audio import recordings
from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.csv_files import read_numbered_rows
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.errors import DataError


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a table: the name of a file, its class, and the recording that it was cut from."""

    filename: str
    class_name: str
    group: str = ""


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Read columns of a table, as ``read_numbered_rows`` does, and strip blanks around cells.

    Args:
        path: the table.
        columns: columns that the table must have, without empty cells.
        optional: columns that are read as "" if they are missing.

    Returns:
        The rows, each with its line.

    Raises:
        DataError: the table cannot be read, lacks a column, or has an empty cell; names it.
    """
    rows = []
    for line, cells in read_numbered_rows(path, columns, optional):
        row = {name: cell.strip() for name, cell in cells.items()}
        empty = next((column for column in columns if not row[column]), None)
        if empty is not None:
            raise DataError(f"{path}, line {line}: {empty} is empty")
        rows.append((line, row))
    return rows


def match_files(root: Path, folder: str, entries: Iterable[Entry], table: str) -> Iterator[Recording | SkippedInput]:
    """Yield every entry of a table with its file, then every other file of the folder as skipped.

    Files are matched by their names without the extension of a sound file, because a recording may have another format
    than in the table, such as a lossless copy. A file of the very name comes first, then one that lies less deep.
    Accented letters are equal whether they are composed or not, as some systems change them in the names of files.

    Args:
        root: the folder of the source.
        folder: the folder of the files, relative to ``root``.
        entries: the rows of the table.
        table: the table's name, for the reasons in ``skipped.csv``.
    """
    files: dict[str, list[recordings.Entry]] = {}
    for file in recordings.walk(root / folder):
        files.setdefault(_matched_name(file.name), []).append(file)
    used_names: set[str] = set()
    for entry in entries:
        candidates = files.get(_matched_name(entry.filename), [])
        source, class_name = f"{folder}/{entry.filename}", recordings.class_of(entry.class_name)
        if not candidates:
            yield SkippedInput(source, class_name, Reason.MISSING, f"named in {table}, not in {folder}/")
            continue
        file = min(candidates, key=lambda file: (file.path.name != entry.filename, file.name.count("/")))
        if file.name in used_names:
            yield SkippedInput(source, class_name, Reason.DUPLICATE, f"named twice in {table}")
            continue
        used_names.add(file.name)
        source = printable(f"{folder}/{file.name}")
        if file.problem is None or file.problem.reason == Reason.NOT_AUDIO:  # the table says that it is a recording
            clip = _without_extension(file.path)
            yield Recording(source, class_name, clip, AudioFile(file.path), entry.group)
        else:
            yield SkippedInput(source, class_name, file.problem.reason, file.problem.detail)
    for file in (file for same_name in files.values() for file in same_name if file.name not in used_names):
        reason, detail = Reason.NOT_LISTED, f"not named in {table}"
        if file.problem is not None:
            reason, detail = file.problem.reason, file.problem.detail
        yield SkippedInput(printable(f"{folder}/{file.name}"), "", reason, detail)


def _matched_name(name: str) -> str:
    """What a file and its entry in the table have in common."""
    return normalize("NFC", _without_extension(Path(name)))


def _without_extension(path: Path) -> str:
    """A file's name without the extension of a sound file; what follows another dot belongs to the name."""
    return path.stem if is_audio(path) else path.name
