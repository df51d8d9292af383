"""``fewshot-audio enroll --annotations``: enroll clips cut at the events of tables."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot_audio.errors import DataError, on_one_line, plural

if TYPE_CHECKING:
    from fewshot_audio.events.annotation import Annotation
    from fewshot_audio.events.tables import TableFormat
    from fewshot_audio.progress import Progress
    from fewshot_audio.recognition.recognizer import Recognizer


def list_events(
    tables: Sequence[Path],
    audio: Path | None,
    form: "TableFormat | None",
    label_column: str | None,
    remarks: list[str],
    problems: list[str],
) -> "list[Annotation]":
    """The events of tables that are their labels', each once.

    Args:
        tables: the tables.
        audio: folder of the recordings; default: that of each table.
        form: which program wrote the tables.
        label_column: the name of the column of labels.
        remarks: what is said of events that are left out on purpose is added.
        problems: what is said of rows that cannot be used is added.
    """
    from fewshot_audio.events.read import read_annotations

    events: dict[Annotation, None] = {}
    others: Counter[str] = Counter()
    for table in tables:
        content = read_annotations(table, audio, table_format=form, label_column=label_column)
        remarks += content.remarks
        problems += content.problems
        for event in content.annotations:
            if event.quality == "POS":
                events[event] = None
            else:
                others[event.quality] += 1
    remarks += (f"{plural(count, 'event')} marked {quality}: not enrolled" for quality, count in others.items())
    return list(events)


def enroll_events(
    recognizer: "Recognizer",
    events: "Sequence[Annotation]",
    remarks: list[str],
    problems: list[str],
    progress: "Progress",
    *,
    strict: bool,
) -> None:
    """Enroll a clip for each event; the recording is its group.

    Args:
        recognizer: gets the clips.
        events: with their labels as the names of classes.
        remarks: what is said of damaged recordings is added.
        problems: what is said of events that cannot be used is added.
        progress: reports the clips done.
        strict: whether clips of damaged recordings are not used.
    """
    from fewshot_audio.events.cut import cut_events

    for done, (event, clip) in enumerate(cut_events(events, recognizer.preprocessing)):
        progress("enrolling", done, len(events), on_one_line(event.label))
        try:
            if isinstance(clip, DataError):
                raise clip
            if clip.damage and strict:
                problems.append(on_one_line(f"{clip.name}: {clip.damage}"))
                continue
            recognizer.enroll(event.label, clip)
            if clip.damage:
                remarks.append(on_one_line(f"{clip.name}: {clip.damage}"))
        except DataError as error:
            problems.append(on_one_line(str(error)))
