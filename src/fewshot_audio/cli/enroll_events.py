"""``fewshot-audio enroll --annotations``: clips cut at the events of tables."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_audio.cli.enroll_clips import NamedClip, Report
from fewshot_audio.errors import plural

if TYPE_CHECKING:
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.events.annotation import Annotation
    from fewshot_audio.events.tables import TableFormat


def list_events(
    tables: Sequence[Path],
    audio: Path | None,
    form: "TableFormat | None",
    label_column: str | None,
    report: Report,
) -> "dict[Annotation, str]":
    """The events of tables that are their labels', each once, with the table and line that it is from.

    Args:
        tables: the tables.
        audio: folder of the recordings; default: that of each table.
        form: which program wrote the tables.
        label_column: the name of the column of labels.
        report: gets what is to be said of events that are left out on purpose, and of rows that cannot be used.
    """
    from fewshot_audio.events.read import read_annotations

    events: dict[Annotation, str] = {}
    others: Counter[str] = Counter()
    for table in tables:
        content = read_annotations(table, audio, table_format=form, label_column=label_column)
        report.remarks.extend(content.remarks)
        report.problems.extend(content.problems)
        for event, line in zip(content.annotations, content.lines, strict=True):
            if event.quality == "POS":
                events.setdefault(event, f"{table}, line {line}")
            else:
                others[event.quality] += 1
    report.remarks.extend(f"{plural(count, 'event')} marked {kind}: not enrolled" for kind, count in others.items())
    return events


def cut_clips(events: "Mapping[Annotation, str]", preprocessing: "Preprocessing") -> Iterator[NamedClip]:
    """A clip for each event, to be enrolled as its label; the recording is its group."""
    from fewshot_audio.events.cut import cut_events

    for event, clip in cut_events(events, preprocessing):
        yield NamedClip(event.label, events[event], clip)
