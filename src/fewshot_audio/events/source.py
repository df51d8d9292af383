"""A source of recordings for training: clips cut at annotated events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.recordings import class_of
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.errors import DataError
from fewshot_audio.events.pairing import list_tables
from fewshot_audio.events.read import read_annotations


@dataclass(frozen=True)
class AnnotatedEvents:
    """Each event of the tables is a clip of its label's class; clips of one recording are a group.

    Args:
        root: folder of the recordings.
        tables: tables of events; default: all in ``root``.
    """

    root: Path
    tables: Sequence[Path] = field(default=())
    name: ClassVar[str] = "annotated"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every event, in the order of the tables; what cannot be used is listed with its reason.

        Raises:
            DataError: one of ``tables`` cannot be read, or there is no table.
        """
        seen: set[tuple[Path, float, float, str]] = set()
        root = self.root.resolve()
        for table in self.tables or list_tables(self.root):
            source = printable(table.name)
            try:
                content = read_annotations(table, self.root)
            except DataError as error:
                if self.tables:
                    raise
                yield SkippedInput(source, "", Reason.UNREADABLE, str(error))
                continue
            yield from (SkippedInput(source, "", Reason.NOT_LISTED, problem) for problem in content.problems)
            for event in content.annotations:
                span = f"{event.start:.3f}-{event.end:.3f} s"
                recording = printable(event.file.relative_to(root) if event.file.is_relative_to(root) else event.file)
                name, class_name = f"{recording} {span}", class_of(event.label)
                key = (event.file, event.start, event.end, event.label)
                if event.quality != "POS":
                    yield SkippedInput(name, class_name, Reason.NO_CLASS, f"marked {event.quality} in {source}")
                elif key in seen:
                    yield SkippedInput(name, class_name, Reason.DUPLICATE, f"again in {source}")
                else:
                    seen.add(key)
                    sound = AudioFile(event.file, (event.start, event.end))
                    yield Recording(name, class_name, f"{event.file.stem} {span}", sound, recording)
