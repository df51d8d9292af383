"""``fewshot-audio evaluate-events``: compare detected events with annotated ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, print_table, progress_bar, stderr
from fewshot_audio.cli.options import JsonFile, LabelColumn, TableFormatOption, usage_errors
from fewshot_audio.errors import DataError, on_one_line, plural
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.events.evaluate import EventEvaluation
    from fewshot_audio.events.scores import EventScore
    from fewshot_audio.progress import Progress

COLUMNS = ("", "F1 %", "95 %", "P", "R", "AP", "events", "ms")
MOST_ROWS = 50
MOST_LINES = 20


@app.command(name="evaluate-events")
def evaluate_events(
    truth: Annotated[Path, typer.Argument(help="Table of the annotated events, or a folder of tables.")],
    predictions: Annotated[Path, typer.Argument(help="Table of the detected events, or a folder of tables.")],
    iou: Annotated[
        float, typer.Option(help="Least intersection over union of a detection and its event, above 0.", max=1)
    ] = 0.3,
    skip_first: Annotated[
        int, typer.Option(min=0, help="Events of each label and recording that were given as examples, the first ones.")
    ] = 0,
    threshold: Annotated[float | None, typer.Option(help="Leave out detections of a lower score.")] = None,
    only_annotated: Annotated[
        bool,
        typer.Option("--only-annotated", help="Leave out recordings without annotations; else detections are wrong."),
    ] = False,
    table_format: TableFormatOption = None,
    label_column: LabelColumn = None,
    picture: Annotated[
        Path | None, typer.Option(help="Folder for pictures: spectrogram, truth and detections of each recording.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the recordings, for --picture; default: that of the truth.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Compare detected events with annotated ones, matched one to one, as many as possible.

    The exit code is 1 if a row of a table cannot be used; it is reported, and the others are compared.
    """
    from fewshot_audio.events import evaluate, pairing
    from fewshot_audio.events.report import as_json
    from fewshot_audio.files import write_json

    if audio and not picture:
        raise typer.BadParameter("--audio names the recordings for --picture DIR, which is missing")
    with usage_errors():
        options = evaluate.EvaluationOptions(iou, skip_first, threshold, only_annotated)
    for path in filter(None, (json_file, picture and picture / "name.png")):
        check_writable(path)
    sides = (pairing.EventTables.read(path, table_format, label_column) for path in (truth, predictions))
    result = evaluate.evaluate_events(next(sides), next(sides), options)
    if json_file:
        write_json(json_file, as_json(result, options))
    _print(result)
    if skip_first and not result.total.events:
        print_line(f"Nothing is left to score behind the first {skip_first} events of each label and recording.")
    problems = list(result.problems)
    if picture:
        with progress_bar() as progress:
            problems += _draw(result, truth, audio, picture, progress)
    for lines, prefix in ((result.remarks, ""), (problems, "not used: ")):
        for line in lines[:MOST_LINES]:
            print_line(prefix + line, stderr)
        if len(lines) > MOST_LINES:
            print_line(f"{prefix}and {len(lines) - MOST_LINES} more such lines", stderr)
    if problems:
        raise typer.Exit(1)


def _print(result: "EventEvaluation") -> None:
    groups = {"label": result.labels, "set": result.sets, "recording": result.recordings}
    print_table("Detections and annotated events, matched one to one", COLUMNS, [_row("all", result.total)])
    for kind, scores in groups.items():
        if len(scores) > 1:
            rows = [_row(name, score) for name, score in list(scores.items())[:MOST_ROWS]]
            more = f", the first {MOST_ROWS} of {len(scores)}" if len(scores) > MOST_ROWS else ""
            print_table(f"By {kind}{more}", COLUMNS, rows)
    total = result.total
    print_line(
        f"{plural(total.events, 'event')}: {total.right} found, {total.missed} missed; {total.wrong} wrong and "
        f"{total.left_out} left out of {plural(total.right + total.wrong + total.left_out, 'detection')}."
    )
    print_line("P: precision, R: recall, AP: average precision, ms: median error of onsets and offsets.")
    if len(result.sets) > 1 and result.harmonic_f1 is not None:
        print_line(f"Harmonic mean of F1 over {plural(len(result.sets), 'set')}: {100 * result.harmonic_f1:.1f} %")
    if result.best:
        print_line(
            f"F1 is highest, {100 * result.best.f1:.1f} %, with detections of score {result.best.threshold:.4g} or more"
        )


def _row(name: str, score: "EventScore") -> tuple[str, ...]:
    interval = "-" if score.f1_interval is None else "-".join(f"{100 * value:.1f}" for value in score.f1_interval)
    errors = (score.onset_error, score.offset_error)
    return (
        name,
        *(_percent(score.f1), interval),
        *map(_percent, (score.precision, score.recall, score.average_precision)),
        str(score.events),
        "/".join("-" if error is None else f"{1000 * error:.0f}" for error in errors),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _draw(result: "EventEvaluation", truth: Path, audio: Path | None, folder: Path, progress: "Progress") -> list[str]:
    """Write the pictures; returns what is to be said of recordings that cannot be drawn."""
    from fewshot_audio.data.names import unique_names
    from fewshot_audio.events.locate import RecordingFinder
    from fewshot_audio.events.pairing import TABLE_EXTENSIONS
    from fewshot_audio.events.picture import draw_recording
    from fewshot_audio.files import write_atomic
    from fewshot_audio.runtime.figures import write_figure

    folder_or_file = audio or (truth if truth.is_dir() else truth.parent)
    finder = RecordingFinder(truth, folder_or_file)
    problems = []
    names = unique_names([(Path(name).stem, name) for name in result.marks])
    for number, (recording, name) in enumerate(zip(result.marks, names, strict=True)):
        progress("drawing", number, len(names), on_one_line(name))
        try:
            if Path(recording).suffix.lower() in TABLE_EXTENSIONS:  # the table names no recording
                path = RecordingFinder(Path(recording), folder_or_file).find(())
            else:
                path = finder.find((recording,))
            figures = draw_recording(path, result.marks[recording])
            for page, figure in enumerate(figures, start=1):
                write_atomic(folder / f"{name}-{page}.png", lambda stream: write_figure(figure, stream, "png"))  # noqa: B023
        except DataError as error:
            problems.append(on_one_line(f"no picture of {recording}: {error}"))
    return problems
