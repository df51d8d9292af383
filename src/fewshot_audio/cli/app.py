"""The application that the commands register with, and what they share: errors, logs, progress, tables."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from fewshot_audio import __version__
from fewshot_audio.errors import FailedElsewhere, FewShotError
from fewshot_audio.progress import Progress

INTERRUPTED = 130  # what shells expect after Ctrl-C

app = typer.Typer(
    help="Few-shot audio classification: learn to recognize sounds from a handful of examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
errors = Console(stderr=True)


def _version(value: bool) -> None:
    if value:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every epoch and decision.")] = False,
) -> None:
    handler = RichHandler(console=errors, show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", datefmt="[%X]", handlers=[handler], force=True)
    logging.getLogger("fewshot_audio").setLevel(logging.INFO if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that a user can act on are printed without a traceback, with exit code 1."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="fewshot-audio")
    except FailedElsewhere:
        sys.exit(1)  # the process that leads says why
    except FewShotError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that cannot be written
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        errors.print("[bold red]error:[/]", escape(line), soft_wrap=True, highlight=False)
    sys.exit(1)


def say(text: str, to: Console = console) -> None:
    """Print a line as it is: names and paths are no markup, and long ones are not wrapped."""
    to.print(text, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Draw what the library reports as one bar on stderr: the step at hand, how far, how long still."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}", markup=False),
    )
    with Bar(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        tasks: dict[str, int] = {}

        def report(description: str, done: int, total: int, details: str = "") -> None:
            if description not in tasks:
                for finished in tasks.values():
                    bar.remove_task(finished)  # type: ignore[arg-type]
                tasks.clear()
                tasks[description] = bar.add_task(description, total=total, details=details)
            bar.update(tasks[description], completed=done, total=total, details=details)  # type: ignore[arg-type]

        yield report


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    result = Table()
    for number, column in enumerate(columns):
        result.add_column(column, justify="right" if number else "left")
    for row in rows:
        result.add_row(*map(escape, row))
    say(title)
    console.print(result)


def percent(accuracy: float, interval: float | None = None) -> str:
    """Write an accuracy (a fraction of 1) and its interval in percent."""
    return f"{100 * accuracy:.2f} %" + (f" ± {100 * interval:.2f}" if interval is not None else "")
