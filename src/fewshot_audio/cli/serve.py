"""``fewshot-audio serve``: the web page and the JSON API over a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, errors, say


@app.command()
def serve(
    bundle: Annotated[Path, typer.Argument(help="A bundle: the folder that `enroll` writes.")],
    host: Annotated[str, typer.Option(help="Address to listen at; any but a local one needs --token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="FEWSHOT_AUDIO_TOKEN", help="Access token that every request must carry."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name under which the server is addressed, as behind a proxy.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write every change to the bundle; else changes end with the server.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
) -> None:
    """Serve a page to enroll and recognize sounds in the browser, and the same as a JSON API."""
    from fewshot_audio.errors import ConfigError

    try:
        from fewshot_audio.serve.run import run_server
    except ImportError as error:
        raise ConfigError(f"the server needs {error.name}: pip install 'fewshot-audio[serve]'") from error
    from fewshot_audio.recognition.recognizer import Recognizer
    from fewshot_audio.runtime.allocator import keep_pages

    def started(url: str) -> None:
        say(f"Open {url} (the API is described at {url}/docs). Ctrl-C stops the server.")
        say(
            f"Changes are saved to {bundle}."
            if save
            else "Changes are kept in memory: download the bundle from the page, or start with --save."
        )

    keep_pages()  # answers take and free the same large blocks again and again
    unsaved = run_server(
        Recognizer.load(bundle, device),
        host=host,
        port=port,
        token=token,
        names=allow_host or [],
        folder=bundle if save else None,
        started=started,
    )
    if unsaved:
        count = f"{unsaved} change" + ("s" if unsaved > 1 else "")
        say(f"Stopped; {count} since the start {'are' if unsaved > 1 else 'is'} not in {bundle}.", errors)
