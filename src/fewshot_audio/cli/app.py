"""The application that the commands register with, and how it reports errors."""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.logging import RichHandler

from fewshot_audio import __version__
from fewshot_audio.cli.console import print_error, stderr, stdout
from fewshot_audio.errors import FewShotError, OtherRankError

EXIT_INTERRUPTED = 130  # what shells expect after Ctrl-C

app = typer.Typer(
    help="Few-shot audio classification: learn to recognize sounds from a handful of examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        stdout.print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every epoch and decision.")] = False,
) -> None:
    handler = RichHandler(console=stderr, show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", datefmt="[%X]", handlers=[handler], force=True)
    logging.getLogger("fewshot_audio").setLevel(logging.INFO if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Errors that a user can act on are printed without a traceback, with exit code 1."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="fewshot-audio")
    except OtherRankError:
        sys.exit(1)  # rank zero says why
    except FewShotError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that cannot be written
        print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)
