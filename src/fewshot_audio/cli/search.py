"""``fewshot-audio search``: the windows of an archive that sound like an example."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fewshot_audio.cli.answers import list_path, write_answers, write_labels
from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, stderr
from fewshot_audio.cli.options import usage_errors
from fewshot_audio.errors import on_one_line, plural
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.archive.index import Index
    from fewshot_audio.archive.queries import Queries
    from fewshot_audio.recognition.recognizer import Recognizer

MOST_TOP = 10_000
MOST_LINES = 20


@app.command()
def search(
    index: Annotated[Path, typer.Argument(help="An index: the folder that `index` writes.")],
    query: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="A sound file, a table of events, or BUNDLE:CLASS."),
    ],
    top: Annotated[int, typer.Option(min=1, max=MOST_TOP, help="Number of windows to list.")] = 20,
    where: Annotated[
        str | None, typer.Option(help="Condition on windows, such as \"site = 'A' and hour between 4 and 8\".")
    ] = None,
    per_recording: Annotated[
        int | None, typer.Option(min=1, help="List at most this many windows of a recording.")
    ] = None,
    around: Annotated[
        float | None,
        typer.Option(min=-1, max=1, help="List windows with scores nearest to this one; else the highest."),
    ] = None,
    margin: Annotated[
        bool,
        typer.Option(
            "--margin", help="With BUNDLE:CLASS: list windows that it is least sure of; the score is p(CLASS)."
        ),
    ] = False,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="List windows, too, that are nearly the same as one before.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle whose network made the index, for sound files and tables; default: as for `index`."),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the recordings of a table; default: that of the table.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="Folder that is written before names; default: names as the index has them.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File for the windows (raven, audacity: a folder, or NAME.txt)."),
    ] = None,
    output_format: Annotated[
        Literal["csv", "raven", "audacity", "dcase"], typer.Option("--format", help="Format of the windows.")
    ] = "csv",
) -> None:
    """List the windows that sound most like an example; the score is the cosine of their embeddings, -1 to 1.

    The search is exact: every window is compared. Of windows that are nearly the same, the first is listed.
    """
    from fewshot_audio.archive.columns import Columns
    from fewshot_audio.archive.hits import ranked_results, results_by_recording
    from fewshot_audio.archive.index import Index
    from fewshot_audio.archive.margins import margins
    from fewshot_audio.archive.search import cosines, find_windows
    from fewshot_audio.events.write import DETECTION_FORMATS

    if around is not None and math.isnan(around):
        raise typer.BadParameter("--around nan: expected a score from -1 to 1")
    if margin and around is not None:
        raise typer.BadParameter("--margin and --around are two orders: give one of them")
    form = DETECTION_FORMATS[output_format]()
    in_folder = bool(form.extension) and output is not None and (output.is_dir() or output.suffix != ".txt")
    if output:
        check_writable(list_path(output) if in_folder else output)
    opened = Index(index)
    chosen = None
    if where is not None:
        with usage_errors("--where"):
            chosen = Columns(opened).where(where)
    recognizer, queries = _queries(opened, query, bundle, audio, margin=margin)
    keys = None
    if margin:
        scores, keys = margins(opened, recognizer, queries.label)
    else:
        scores = cosines(opened, queries.rows)
        keys = -abs(scores - around) if around is not None else None
    hits = find_windows(
        opened, scores, top, keys=keys, chosen=chosen, per_recording=per_recording, duplicates=duplicates
    )
    if form.extension:
        results = results_by_recording(opened, hits, queries.label, archive)
        if not in_folder and len(results) > 1:
            raise typer.BadParameter(f"--format {output_format} describes one recording: give -o FOLDER")
        write_labels(results, (form.text([result]) for result in results), form.extension, output, in_folder=in_folder)
    else:
        write_answers(form.text(ranked_results(opened, hits, queries.label, archive)), output)
    folded = sum(hit.duplicates for hit in hits)
    print_line(
        f"{plural(len(hits), 'window')} of {len(opened)}"
        + (f", {int(chosen.sum())} of which fit --where" if chosen is not None else "")
        + (f"; {plural(folded, 'near duplicate')} left out" if folded else ""),
        stderr,
    )
    if queries.problems:
        raise typer.Exit(1)


def _queries(
    index: "Index", query: str, bundle: Path | None, audio: Path | None, *, margin: bool
) -> "tuple[Recognizer, Queries]":
    """What is searched for, and the recognizer that embeds it."""
    from fewshot_audio.archive.queries import class_queries, file_queries, split_class
    from fewshot_audio.audio.decode import is_audio
    from fewshot_audio.cli.quick_start import load_quickly
    from fewshot_audio.recognition.shipped import shipped_folder

    own = split_class(query)
    if margin and own is None:
        raise typer.BadParameter(f"--margin needs BUNDLE:CLASS, not {on_one_line(query)!r}")
    if own and bundle:
        raise typer.BadParameter("--bundle concerns sound files and tables: BUNDLE:CLASS names its own")
    if audio and (own or is_audio(Path(query))):
        raise typer.BadParameter(f"--audio concerns tables, not {on_one_line(query)!r}")
    recognizer = load_quickly(own[0] if own else bundle or shipped_folder(), "cpu")
    index.description.check_recognizer(recognizer, index.folder)
    queries = class_queries(recognizer, own[1]) if own else file_queries(recognizer, Path(query), audio)
    for lines, prefix in ((queries.remarks, ""), (queries.problems, "not used: ")):
        for line in lines[:MOST_LINES]:
            print_line(prefix + on_one_line(line), stderr)
        if len(lines) > MOST_LINES:
            print_line(f"{prefix}and {len(lines) - MOST_LINES} more", stderr)
    return recognizer, queries
