"""The rows of a table of events, whatever program wrote it; the recordings that they name are not looked for."""

from dataclasses import dataclass, field
from pathlib import Path

from fewshot_audio.errors import DataError, plural
from fewshot_audio.events.annotation import Quality

MAX_EVENTS = 500_000
ONE_LABEL = "event"
"""The label of all events of a table without labels."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as a table has it.

    Args:
        line: of the table, from 1.
        start: seconds.
        end: seconds.
        label: its class.
        files: names of the recording, the preferred one first; none if the table does not say.
        low_hz: lowest frequency.
        high_hz: highest frequency.
        quality: whether the sound is the label's.
        channel: from 1.
        score: of a detection.
    """

    line: int
    start: float
    end: float
    label: str
    files: tuple[str, ...] = ()
    low_hz: float | None = None
    high_hz: float | None = None
    quality: Quality = "POS"
    channel: int | None = None
    score: float | None = None


@dataclass
class EventRows:
    """The rows of a table, and what is to be said of it.

    Attributes:
        table: the file.
        rows: events, in the order of the table.
        left_out: lines of rows that are no events, and why.
        remarks: what was taken otherwise than it stands there.
    """

    table: Path
    rows: list[EventRow] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, row: EventRow) -> None:
        """Add an event, or a problem if it has no length or no label."""
        try:
            if not row.label:
                raise ValueError("no label")
            if row.start == row.end:
                raise ValueError(f"a point at {row.start:g} s, expected an event with a start and an end")
            if row.end < row.start:
                raise ValueError(f"ends at {row.end:g} s, before its start at {row.start:g} s")
            if row.start < 0:
                raise ValueError(f"starts at {row.start:g} s, before the recording does")
        except ValueError as error:
            self.leave_out(row.line, str(error))
            return
        self.rows.append(row)

    def leave_out(self, line: int, reason: str) -> None:
        """Note why a row is left out."""
        self.left_out.append((line, reason))

    @property
    def problems(self) -> tuple[str, ...]:
        """What is left out, a line each, in the order of the table."""
        return tuple(f"{self.table}, line {line}: {reason}" for line, reason in sorted(self.left_out))


def check_count(count: int, table: Path) -> None:
    """Raise DataError if a table has too many events."""
    if count > MAX_EVENTS:
        raise DataError(f"{table}: more than {plural(MAX_EVENTS, 'event')}: split it")
