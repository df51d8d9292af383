"""ESC-50 (Piczak, 2015) in its published layout: ``meta/esc50.csv`` and ``audio/``."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.sources.base import AudioFile, Recording, Skipped, printable
from fewshot_audio.errors import DataError

COLUMNS = ("filename", "category", "src_file")


@dataclass(frozen=True)
class Esc50:
    """2000 clips of 5 s in 50 classes; ``group`` is the Freesound recording that a clip was cut from.

    A recording may have another audio format than the csv says (a lossless copy, for instance): files are matched by
    stem.
    """

    root: Path
    name: ClassVar[str] = "esc50"
    segment_seconds: ClassVar[float] = 5.0

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every row of the csv, then every other file in ``audio/``."""
        rows = self._rows()
        files: dict[str, list[Path]] = {}
        for file in sorted((self.root / "audio").iterdir()):
            if not file.name.startswith("."):
                files.setdefault(file.stem if is_audio(file) else file.name, []).append(file)
        listed: set[Path] = set()
        for row in rows:
            filename, category = row["filename"], row["category"]
            candidates = files.get(Path(filename).stem, [])
            named = [file for file in candidates if file.name == filename] or candidates
            if not named:
                yield Skipped(f"audio/{filename}", category, Reason.MISSING, "named in meta/esc50.csv, not in audio/")
            elif named[0] in listed:
                yield Skipped(f"audio/{filename}", category, Reason.DUPLICATE, "named twice in meta/esc50.csv")
            else:
                file = named[0]
                listed.add(file)
                yield Recording(printable(f"audio/{file.name}"), category, file.stem, AudioFile(file), row["src_file"])
        for path in sorted(file for same_stem in files.values() for file in same_stem):
            if path not in listed:
                reason = Reason.NOT_LISTED if is_audio(path) else Reason.NOT_AUDIO
                yield Skipped(printable(f"audio/{path.name}"), "", reason, "not named in meta/esc50.csv")

    def _rows(self) -> list[dict[str, str]]:
        table = self.root / "meta" / "esc50.csv"
        if not table.is_file() or not (self.root / "audio").is_dir():
            raise DataError(f"{self.root} is not ESC-50 in its published layout: expected meta/esc50.csv and audio/")
        try:
            with table.open(encoding="utf-8-sig", newline="") as stream:
                reader = csv.DictReader(stream)
                missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
                if missing:
                    raise DataError(f"{table}: column {missing[0]!r} is missing (found: {reader.fieldnames})")
                rows = [{column: (row[column] or "").strip() for column in COLUMNS} for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{table} cannot be read: {error}") from error
        incomplete = next((i for i, row in enumerate(rows, 2) if not row["filename"] or not row["category"]), None)
        if incomplete is not None:
            raise DataError(f"{table}, line {incomplete}: filename or category is empty")
        return rows
