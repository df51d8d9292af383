"""Choices as a table, for spreadsheets and other programs, and back."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fewshot_audio.archive.review.choices import COLUMNS, Choice, choice_of
from fewshot_audio.data.csv_files import csv_table, read_numbered_rows
from fewshot_audio.errors import DataError

MOST_IMPORTED = 100_000


def choices_table(choices: Iterable[Choice]) -> str:
    """Choices as CSV, a row each, with the columns of ``COLUMNS``; those that were taken back are there, too."""
    return csv_table(COLUMNS, (choice.values() for choice in choices))


def read_choices(table: Path, asked: str, reviewer: str, time: str) -> list[Choice]:
    """The choices of a table.

    It needs the columns file, start, end and answer (or present, as `density` calls it, with yes or no); the others
    are taken over if they are there. Rows without an answer are left out.

    Args:
        table: the table.
        asked: class of rows that name none.
        reviewer: of rows that name none.
        time: of rows that name none, ISO 8601.

    Raises:
        DataError: the table cannot be used; names the line.
    """
    choices: list[Choice] = []
    optional = ("answer", "present", "asked", "other", "reviewer", "time")
    for line, row in read_numbered_rows(table, ("file", "start", "end"), optional):
        answer = (row["answer"] or row["present"]).strip().lower()
        if not answer:
            continue
        if len(choices) >= MOST_IMPORTED:
            raise DataError(f"{table}: more than {MOST_IMPORTED} choices")
        try:
            start, end = float(row["start"]), float(row["end"])
        except ValueError as error:
            raise DataError(f"{table}, line {line}: start or end is no number") from error
        values = {
            "file": row["file"],
            "start": start,
            "end": end,
            "asked": row["asked"] or asked,
            "answer": answer,
            "other": row["other"],
            "reviewer": row["reviewer"] or reviewer,
            "time": row["time"] or time,
        }
        try:
            choices.append(choice_of(values))
        except DataError as error:
            raise DataError(f"{table}, line {line}: {error}") from error
    if not choices:
        raise DataError(f"{table}: no row with an answer in its column answer")
    return choices


def without_known(choices: Sequence[Choice], known: Sequence[Choice]) -> list[Choice]:
    """Choices that are not among the known ones: a table that is read twice counts once."""
    there = set(known)
    return [choice for choice in choices if choice not in there]
