"""Labels of Audacity: start, end and label, each perhaps with a line of frequencies below it."""

import re
from dataclasses import replace

from fewshot_audio.events.columns import is_number, number, shown
from fewshot_audio.events.rows import EventRow, EventRows, check_count

_SCORED_LABEL = re.compile(r"(?P<label>.*\S) (?P<score>[01]\.\d\d)")


def is_audacity(text: str) -> bool:
    """Whether the first line is two numbers, with a tab between them."""
    cells = text.lstrip("\n\r").split("\n", 1)[0].rstrip("\r").split("\t")
    return 2 <= len(cells) <= 3 and is_number(cells[0]) and is_number(cells[1])


def read_audacity(text: str, rows: EventRows) -> None:
    """Start, end and label, each perhaps with a line of frequencies below it, which a backslash begins."""
    events: list[EventRow] = []
    has_scores = False
    for line, content in enumerate(text.split("\n"), start=1):
        cells = content.strip("\r").split("\t")
        if not content.strip():
            continue
        try:
            if cells[0] == "\\":
                if not events or len(cells) < 3:
                    raise ValueError("frequencies without a label above them")
                low, high = (number(cell, "frequency") for cell in cells[1:3])
                events[-1] = replace(events[-1], low_hz=low if low >= 0 else None, high_hz=high if high >= 0 else None)
                continue
            if len(cells) < 2:
                raise ValueError(f"{shown(content)}, expected start, end and label with tabs between them")
            label, score = "\t".join(cells[2:]).strip(), None
            if scored := _SCORED_LABEL.fullmatch(label):
                label, score, has_scores = scored["label"], float(scored["score"]), True
            events.append(EventRow(line, number(cells[0], "start"), number(cells[1], "end"), label, score=score))
        except ValueError as error:
            rows.leave_out(line, str(error))
        check_count(len(events), rows.table)
    if has_scores:
        rows.remarks.append(f"{rows.table}: a number at the end of a label, such as 0.93, is taken for a score")
    for event in events:
        rows.add(event)
