"""``fewshot-audio serve``: a web page and a JSON API for a bundle."""

from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, stderr
from fewshot_audio.cli.options import Bundle, Device
from fewshot_audio.cli.quick_start import load_quickly, prepare_quick_start


@app.command()
def serve(
    context: typer.Context,
    bundle: Bundle,
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
            "--save", help="Save every change to the bundle; without it changes are lost when the server stops."
        ),
    ] = False,
    device: Device = "cpu",
) -> None:
    """Serve a web page that enrolls and recognizes sounds, and a JSON API that does the same."""
    from fewshot_audio.errors import ConfigError

    try:
        from fewshot_audio.serve.run import run_server
    except ImportError as error:
        raise ConfigError(f"the server needs {error.name}: pip install 'fewshot-audio[serve]'") from error
    from fewshot_audio.runtime.allocator import keep_pages

    def show_address(url: str) -> None:
        print_line(f"Open {url} (the API is described at {url}/docs). Ctrl-C stops the server.")
        print_line(
            f"Changes are saved to {bundle}."
            if save
            else "Changes are kept in memory: download the bundle from the page, or start with --save."
        )

    source = context.get_parameter_source("token")
    if source is not None and source.name == "COMMANDLINE":
        print_line("warning: other users of this machine can see --token; set FEWSHOT_AUDIO_TOKEN instead", stderr)
    keep_pages()  # answers take and free the same large blocks again and again
    recognizer = load_quickly(bundle, device)
    prepare_quick_start(bundle, recognizer)
    unsaved = run_server(
        recognizer,
        host=host,
        port=port,
        token=token,
        host_names=allow_host or [],
        folder=bundle if save else None,
        on_start=show_address,
    )
    if unsaved:
        count = f"{unsaved} change" + ("s" if unsaved > 1 else "")
        print_line(f"Stopped; {count} since the start {'are' if unsaved > 1 else 'is'} not in {bundle}.", stderr)
