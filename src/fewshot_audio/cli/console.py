"""What commands print: lines and tables on stdout, messages and a progress bar on stderr."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from fewshot_audio.errors import WriteError, on_one_line
from fewshot_audio.progress import Progress

UNBROKEN = 32
"""Width of a name that stays on one line of a table, at most."""

stdout = Console()
stderr = Console(stderr=True)


def set_encoding() -> None:
    """Let every character be printed: as UTF-8 to files and pipes, escaped on a terminal that cannot show it.

    The encoding of a system may have no sign for the name of a class or a file, which would end the command after all
    its work.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def print_line(text: str, to: Console = stdout) -> None:
    """Print a line as it is: names and paths are no markup, and long ones are not wrapped."""
    with _explained_output(to):
        to.print("\n".join(map(on_one_line, text.split("\n"))), soft_wrap=True, markup=False, highlight=False)


def print_text(text: str) -> None:
    """Print text to stdout with not a character changed or added, for other programs to read."""
    with _explained_output(stdout):
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def _explained_output(console: Console) -> Iterator[None]:
    """Raise WriteError if a stream cannot be written, as on a full disk; a reader that has gone is no such error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard error" if console.stderr else "standard output"
        raise WriteError(f"{name}: cannot be written: {error.strerror or error}") from error


def print_error(message: str) -> None:
    """Print each line of a message as an error."""
    for line in message.strip("\n").split("\n"):
        stderr.print("[bold red]error:[/]", escape(on_one_line(line)), soft_wrap=True, highlight=False)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, which is not broken if it is short, the others are numbers."""
    table = Table()
    widest = max((cell_len(on_one_line(row[0])) for row in rows), default=0)
    for number, column in enumerate(columns):
        least = 0 if number else min(widest, UNBROKEN)
        table.add_column(column, justify="right" if number else "left", overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*(escape(on_one_line(cell)) for cell in row))
    print_line(title)
    with _explained_output(stdout):
        stdout.print(table)


def percent(accuracy: float, interval: float | None = None) -> str:
    """Write an accuracy (a fraction of 1) and its interval in percent."""
    return f"{100 * accuracy:.2f} %" + (f" ± {100 * interval:.2f}" if interval is not None else "")


def accuracy_with_interval(accuracy: float, ci95: float, tasks: int) -> str:
    """Write the accuracy of a test (a fraction of 1) and its interval; a single task has no interval."""
    return percent(accuracy, ci95 if tasks > 1 else None)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show what the library reports as one bar on stderr: the current step, its progress and its remaining time."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}", markup=False),
    )
    with Bar(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        steps: dict[str, TaskID] = {}

        def report(description: str, done: int, total: int, details: str = "") -> None:
            if description not in steps:
                for former in steps.values():
                    bar.remove_task(former)
                steps.clear()
                steps[description] = bar.add_task(description, total=total, details=details)
            bar.update(steps[description], completed=done, total=total, details=details)

        yield report
