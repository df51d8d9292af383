"""``fewshot-audio index``: embed an archive once, to search it and to answer for it without embedding it again."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import Cluster, Device, Workers, check_workers
from fewshot_audio.errors import on_one_line, plural

MOST_LINES = 20
MUCH = 0.5  # of the windows on disk that count no more


@app.command()
def index(
    archives: Annotated[
        list[Path], typer.Argument(metavar="ARCHIVE...", help="Folders of recordings, or sound files.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="INDEX", help="Folder of the index.")],
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle whose network and encoders embed; default: the recognizer that is shipped."),
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Installed encoder that embeds beside the network; repeatable.")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds from the start of a window to that of the next; default: a segment.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(help="Folder that names in the index are below; default: the one that holds every ARCHIVE."),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="Table with a column file, whose other columns search --where knows.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try recordings again that could not be used before and have not changed.")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Then give back the space of recordings that were changed or removed.")
    ] = False,
    workers: Workers = None,
    cluster: Cluster = None,
    device: Device = "cpu",
) -> None:
    """Embed every window of every recording once. The same command again does what is new, has changed or is gone.

    It may be interrupted at any moment. The exit code is 1 if a recording cannot be used; it is reported, and the
    others are embedded.
    """
    from fewshot_audio.archive.build import archive_folder, update_index
    from fewshot_audio.archive.compact import compact_index
    from fewshot_audio.archive.embed import EmbeddingJob, open_recognizer
    from fewshot_audio.archive.index import Index
    from fewshot_audio.archive.metadata import join_metadata, write_metadata
    from fewshot_audio.recognition.shipped import shipped_folder

    if hop is not None and not 0 < hop < float("inf"):
        raise typer.BadParameter(f"--hop {hop:g}: expected a number of seconds above 0")
    check_workers(workers, cluster)
    folder, encoders = bundle or shipped_folder(), tuple(encoder or ())
    if hop is None:
        hop = open_recognizer(folder.absolute(), encoders, device).segment_seconds
    if metadata:
        join_metadata(metadata, ())  # refused before hours of work
    root = archive or archive_folder(archives)
    job = EmbeddingJob(output.absolute(), root.absolute(), folder.absolute(), encoders, device, hop)
    try:
        with progress_bar() as progress:
            update = update_index(archives, job, workers, cluster, progress, retry=retry)
    except KeyboardInterrupt:
        print_line("Stopped; what was embedded is kept. The same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if metadata:
        joined = write_metadata(metadata, output, [recording.file for recording in Index(output).recordings])
        print_line(f"{metadata}: rows of {plural(joined, 'recording')} of the index", stderr)
    for recording in update.added:
        if recording.damage:
            print_line(f"{on_one_line(recording.file)}: {recording.damage}", stderr)
    for recording in update.failed[:MOST_LINES]:
        print_line(f"cannot be used: {on_one_line(recording.file)}: {on_one_line(recording.error)}", stderr)
    if len(update.failed) > MOST_LINES:
        print_line(f"and {len(update.failed) - MOST_LINES} more that cannot be used", stderr)
    print_line(
        f"{plural(len(update.added), 'recording')} embedded in {plural(update.windows, 'window')}, "
        f"{update.unchanged} unchanged, {update.removed} removed or changed, {len(update.failed)} failed"
        + (f" ({update.not_tried} of these before, and not changed: --retry tries again)" if update.not_tried else "")
        + (f"; no recordings by their extensions: {plural(update.others, 'other file')}" if update.others else ""),
        stderr,
    )
    if compact:
        print_line(f"{plural(compact_index(output), 'window')} dropped that counted no more", stderr)
    elif update.useless > MUCH:
        print_line(
            f"{update.useless:.0%} of the windows on disk count no more: --compact gives their space back", stderr
        )
    if update.failed:
        raise typer.Exit(1)
