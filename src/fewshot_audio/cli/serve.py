"""``fewshot-audio serve``: a web page and a JSON API for a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, stderr
from fewshot_audio.cli.options import Device
from fewshot_audio.cli.quick_start import load_quickly, prepare_quick_start

if TYPE_CHECKING:
    from fewshot_audio.archive.review.review import Review
    from fewshot_audio.recognition.recognizer import Recognizer

NEW_BUNDLE = Path("my_recognizer")


@app.command()
def serve(
    context: typer.Context,
    bundle: Annotated[
        Path | None,
        typer.Argument(help="A bundle: the folder that `enroll` writes. --new makes it; default: my_recognizer."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start without any class, by the shipped recognizer, in a new bundle.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on; any but a local one needs --token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FEWSHOT_AUDIO_TOKEN",
            show_envvar=False,
            help="Access token that every request must carry. Better set FEWSHOT_AUDIO_TOKEN: other users of this "
            "machine see the command line.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name of the server, such as behind a proxy; repeatable.")
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save/--no-save",
            help="Save every change to the bundle; with --no-save changes are lost when the server stops.",
        ),
    ] = True,
    keep_audio: Annotated[
        bool | None,
        typer.Option(
            "--keep-audio/--no-keep-audio",
            help="Keep the sound of clips in the bundle, to listen to them later; or none, and remove what is kept. "
            "Default: as it was decided before, and the page asks once.",
        ),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="An index to review: people say what is in its windows, and the bundle learns.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(help="With --index: folder that its names of recordings are below; default: the current folder."),
    ] = None,
    device: Device = "cpu",
) -> None:
    """Serve a web page that enrolls and recognizes sounds, and a JSON API that does the same."""
    from fewshot_audio.errors import ConfigError

    try:
        from fewshot_audio.serve.run import run_server
    except ImportError as error:
        raise ConfigError(f"the server needs {error.name}: pip install 'fewshot-audio[serve]'") from error
    from fewshot_audio.recognition.bundle import is_bundle
    from fewshot_audio.recognition.shipped import shipped_folder
    from fewshot_audio.runtime.allocator import keep_pages

    if bundle is None and not new:
        raise typer.BadParameter("missing: give a bundle, or --new to start without any class", param_hint="BUNDLE")
    if archive is not None and index is None:
        raise typer.BadParameter("needs --index: it is the folder of an index's recordings", param_hint="--archive")
    folder = bundle or NEW_BUNDLE
    if new and is_bundle(folder):
        raise typer.BadParameter(f"{folder} is a bundle already: `serve {folder}` goes on with it", param_hint="--new")
    is_saved, promise = _where_changes_go(folder, save)

    def show_address(url: str) -> None:
        print_line(f"Open {url} (the API is described at {url}/docs). Ctrl-C stops the server.")
        print_line(promise)
        if review is not None:
            path = review.journal.path
            where = f"saved to {path}" if path else "kept in memory: download them from the page"
            print_line(f"Choices about the windows of {index} are {where}.")

    source = context.get_parameter_source("token")
    if source is not None and source.name == "COMMANDLINE":
        print_line("warning: other users of this machine can see --token; set FEWSHOT_AUDIO_TOKEN instead", stderr)
    keep_pages()  # answers take and free the same large blocks again and again
    source_folder = shipped_folder() if new else folder
    recognizer = load_quickly(source_folder, device)
    prepare_quick_start(source_folder, recognizer)
    decides_audio = keep_audio is not None and keep_audio is not recognizer.keeps_audio
    if decides_audio:
        recognizer.keep_audio(bool(keep_audio))
    if is_saved and (new or decides_audio):
        recognizer.save(folder, is_new=new)
    review = _review(index, recognizer, folder if is_saved else None, archive or Path()) if index else None
    unsaved = run_server(
        recognizer,
        host=host,
        port=port,
        token=token,
        host_names=allow_host or [],
        folder=folder if is_saved else None,
        review=review,
        archive=archive or Path(),
        on_start=show_address,
    )
    if unsaved:
        count = f"{unsaved} change" + ("s" if unsaved > 1 else "")
        print_line(f"Stopped; {count} since the start {'are' if unsaved > 1 else 'is'} not in {folder}.", stderr)


def _review(index: Path, recognizer: "Recognizer", bundle: Path | None, archive: Path) -> "Review":
    """The review of an index; its choices are saved beside the bundle, if changes are saved at all."""
    from fewshot_audio.archive.index import Index
    from fewshot_audio.archive.review.journal import ChoiceJournal, journal_beside
    from fewshot_audio.archive.review.review import Review
    from fewshot_audio.archive.review.window_sound import check_archive

    opened = Index(index)
    check_archive(opened, archive)
    return Review(opened, recognizer, ChoiceJournal(journal_beside(bundle) if bundle else None))


def _where_changes_go(folder: Path, save: bool) -> tuple[bool, str]:
    """Whether changes can be saved to a folder as asked for, and what becomes of them in words."""
    from fewshot_audio.errors import WriteError
    from fewshot_audio.files import check_writable
    from fewshot_audio.recognition.bundle import BUNDLE_FILE

    in_memory = "changes are kept in memory. Download the bundle from the page to keep them."
    if not save:
        return False, f"C{in_memory[1:]}"
    try:
        check_writable(folder / BUNDLE_FILE)
    except WriteError as error:
        return False, f"{error}; {in_memory}"
    return True, f"Changes are saved to {folder}."
