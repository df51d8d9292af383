"""The application that the commands register with, and how it reports errors."""

import logging
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from typer.core import TyperGroup

from fewshot_audio import __version__
from fewshot_audio.cli.console import print_error, set_encoding, stderr, stdout
from fewshot_audio.errors import ConfigError, FewShotError, OtherRankError

EXIT_INTERRUPTED = 130  # what shells expect after Ctrl-C
# What Python, torch, oneDNN ("primitive"), the loader of libraries and C++ say when memory or threads are refused.
OUT_OF_MEMORY = re.compile(
    "can't allocate memory|out of memory|cannot allocate memory|could not (create|execute) a primitive|unable to mmap|"
    "failed to map segment|bad_alloc|can't start new thread|unable to allocate|bad allocation",
    re.IGNORECASE,
)


class _CommandGroup(TyperGroup):
    """Gives ``--plugin`` to every command; leaves out what Typer writes before the reason why a value is wrong."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.commands.values():
            command.params += [option for option in self.params if option.name == "plugins"]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=_CommandGroup,
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


def _name_plugins(packages: list[str] | None) -> None:
    if packages:
        from fewshot_audio.config.plugins import name_plugins

        try:
            name_plugins(packages)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every epoch and decision.")] = False,
    plugins: Annotated[  # noqa: ARG001 - its callback does the work, for the commands too
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="PACKAGE",
            callback=_name_plugins,
            is_eager=True,
            expose_value=False,
            help="Package from outside whose parts (encoders, losses, ...) may be loaded; repeatable.",
        ),
    ] = None,
) -> None:
    handler = RichHandler(console=stderr, show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", datefmt="[%X]", handlers=[handler], force=True)
    logging.getLogger("fewshot_audio").setLevel(logging.INFO if verbose else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error is printed without a traceback, with exit code 1.

    That of an error that nobody expected, a bug, goes to a log file.
    """
    set_encoding()
    try:
        _run(arguments)
    except MemoryError as error:  # from printing another error
        _report_out_of_memory(error)
        sys.exit(1)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="fewshot-audio")
    except OtherRankError:
        sys.exit(1)  # rank zero says why
    except FewShotError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that cannot be written
        if _is_out_of_memory(error):
            _report_out_of_memory(error)
            sys.exit(1)
        print_error(f"{error.filename or 'standard output'}: {error.strerror or error}")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever is left is a bug, and its traceback goes to a file
        words = sys.argv[1:] if arguments is None else arguments
        commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
        _report_unexpected(error, next((word for word in words if word in commands), ""))
        sys.exit(1)


def _report_unexpected(error: Exception, command: str) -> None:
    if _is_out_of_memory(error):
        _report_out_of_memory(error)
        return
    from fewshot_audio.cli.crash_log import write_crash_log

    plugin = _plugin_of(error)
    whose = f"the code of --plugin {plugin} failed" if plugin else "this is a bug in fewshot-audio"
    message = f"{whose}: {type(error).__name__}: {error}"
    try:
        message += f"\nthe details are in {write_crash_log(error, command)}"
        message += "" if plugin else ": please report it with that file"
    except OSError as reason:
        message += f"\nits details could not be written ({reason.strerror}); run the command again to report it"
    print_error(message)


def _plugin_of(error: Exception) -> str:
    """The package from outside in whose code an error arose; "" if it arose in none."""
    from fewshot_audio.config.plugins import installed_plugins, named_packages

    frames = traceback.walk_tb(error.__traceback__)
    packages = {str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in frames}
    return next(iter(packages & {*named_packages(), *installed_plugins()}), "")


def _report_out_of_memory(error: Exception) -> None:
    """Print it without Rich, which would have to load modules."""
    lines = str(error).splitlines() or [type(error).__name__]
    sys.stderr.write(f"error: not enough memory ({lines[0]})\n")


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None
