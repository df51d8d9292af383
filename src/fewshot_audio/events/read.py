"""Reading a table of annotations: every row becomes an annotation, or a line that says why not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fewshot_audio.audio.decode import recording_seconds
from fewshot_audio.audio.samples import SPAN_TOLERANCE
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.locate import RecordingFinder, shown_path
from fewshot_audio.events.rows import EventRow, EventRows
from fewshot_audio.events.tables import TableFormat, read_rows


@dataclass(frozen=True)
class AnnotationTable:
    """What a table holds.

    Attributes:
        annotations: in the order of the rows.
        problems: what is left out, a line each: table, line and reason.
        remarks: what was taken otherwise than it stands there, or is unusual, a line each.
        lines: of the table, of each annotation; a selection that has several rows is on the first.
    """

    annotations: tuple[Annotation, ...]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()


def read_annotations(
    table: Path,
    audio: Path | None = None,
    *,
    table_format: TableFormat | None = None,
    label_column: str | None = None,
) -> AnnotationTable:
    r"""Read a selection table of Raven, labels of Audacity, CSV, or a table of DCASE.

    A recording is the file that a row names, relative to the folder of the recordings; of a path that leads elsewhere
    only the base name counts, and a remark says so. If the table names none, it is the one that is called as the
    table is. Nothing outside of that folder is read.

    Args:
        table: the file.
        audio: folder of the recordings, or the only one; default: the folder of the table.
        table_format: which program wrote the table; default: what its content says.
        label_column: the name of the column of labels; default: a usual one, such as "Annotation" or "label".

    Returns:
        The annotations. A row without a recording, with an impossible time or outside of its recording is a problem and
        left out; an event that ends behind the recording is shortened, and one that overlaps an event of another label
        is taken: both are remarks.

    Raises:
        DataError: the table cannot be read, is too large, or is no table of events.

    Example:
        >>> import tempfile
        >>> import numpy as np, soundfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "dawn.wav", np.zeros(16000), 8000)
        >>> size = (folder / "dawn.csv").write_text("file,start,end,label\ndawn.wav,0.5,0.75,wren\ndawn.wav,3,4,wren\n")
        >>> table = read_annotations(folder / "dawn.csv")
        >>> [(event.start, event.end, event.label) for event in table.annotations]
        [(0.5, 0.75, 'wren')]
        >>> table.problems[0].rpartition(": ")[2]
        'starts at 3 s, outside of its recording of 2 s'
    """
    rows = read_rows(table, table_format, label_column)
    finder = RecordingFinder(table, audio)
    seconds = cache(recording_seconds)
    annotations: list[tuple[int, Annotation]] = []
    seen: dict[Annotation, int] = {}
    for row in rows.rows:
        try:
            annotation = _annotation(row, finder.find(row.files), seconds, rows)
        except DataError as error:
            rows.leave_out(row.line, str(error))
            continue
        if (former := seen.setdefault(annotation, row.line)) != row.line:
            rows.remarks.append(f"{table}, line {row.line}: the same event as in line {former}, counted once")
        else:
            annotations.append((row.line, annotation))
    for name, path in finder.renamed.items():
        rows.remarks.append(f"{table}: recording {shown_path(name)} is taken to be {path}")
    rows.remarks += _overlaps(table, annotations)
    if not annotations:
        rows.remarks.append(f"{table}: no event{' that can be used' if rows.rows or rows.problems else ''}")
    return AnnotationTable(
        tuple(annotation for _, annotation in annotations),
        _on_lines(rows.problems),
        _on_lines(rows.remarks),
        tuple(line for line, _ in annotations),
    )


def _annotation(row: EventRow, path: Path, seconds: Callable[[Path], float | None], rows: EventRows) -> Annotation:
    """The annotation of a row. Raises DataError if its recording cannot be opened or does not contain it."""
    end, length = row.end, seconds(path)
    if length is not None:
        if row.start >= length:
            raise DataError(f"starts at {row.start:g} s, outside of its recording of {length:g} s")
        if end > length:
            if end > length + SPAN_TOLERANCE:
                rows.remarks.append(
                    f"{rows.table}, line {row.line}: ends at {end:g} s, behind its recording of {length:g} s: shortened"
                )
            end = length
    low, high = row.low_hz, row.high_hz
    if low is not None and high is not None and not 0 <= low < high:
        rows.remarks.append(f"{rows.table}, line {row.line}: frequencies {low:g} to {high:g} Hz are left out")
        low = high = None
    return Annotation(path, row.start, end, row.label, low, high, row.quality, row.channel)


def _overlaps(table: Path, annotations: Sequence[tuple[int, Annotation]]) -> list[str]:
    """A remark for each event that overlaps an earlier one of another label in the same channel."""
    remarks: list[tuple[int, str]] = []
    last: dict[tuple[Path, int | None], list[tuple[float, str, int]]] = {}  # the two labels that end last, and lines
    positive = ((line, event) for line, event in annotations if event.quality == "POS")
    for line, event in sorted(positive, key=lambda pair: pair[1].start):
        ends = last.setdefault((event.file, event.channel), [])
        other = next((former for former in ends if former[1] != event.label), None)
        if other and other[0] > event.start:
            remarks.append((line, f"{table}, line {line}: {event.label!r} overlaps {other[1]!r} of line {other[2]}"))
        ends.append((event.end, event.label, line))
        ends.sort(key=lambda former: -former[0])
        ends[:] = [former for n, former in enumerate(ends) if former[1] not in {label for _, label, _ in ends[:n]}][:2]
    return [text for _, text in sorted(remarks)]


def _on_lines(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(on_one_line, texts))
