"""Reading a table of annotations: every row becomes an annotation, or a line that says why not."""

from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.events.annotation import Annotation


@dataclass(frozen=True)
class AnnotationTable:
    """What a table holds.

    Attributes:
        annotations: in the order of the rows.
        problems: what is left out, a line each: table, line and reason.
        remarks: what was taken otherwise than it stands there, or is unusual, a line each.
    """

    annotations: tuple[Annotation, ...]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_annotations(table: Path, audio: Path | None = None) -> AnnotationTable:
    """Read a selection table of Raven, labels of Audacity, CSV, or a table of DCASE.

    Args:
        table: the file.
        audio: folder of the recordings; default: that of the table.

    Raises:
        DataError: the table cannot be read, or is no table of events.
    """
    raise NotImplementedError
