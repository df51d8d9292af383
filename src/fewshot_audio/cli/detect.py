"""``fewshot-audio detect``: find the events of which a few are marked, or those of a bundle's classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fewshot_audio.cli.answers import journal_path, list_path, report_results, write_answers, write_labels
from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import LabelColumn, Strict, TableFormatOption, usage_errors
from fewshot_audio.cli.quick_start import load_quickly, prepare_quick_start
from fewshot_audio.errors import DataError, plural
from fewshot_audio.events.detection.options import CLASS_MERGE_GAP, CLASS_THRESHOLD, THRESHOLD, DetectionOptions
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.events.annotation import Annotation
    from fewshot_audio.events.detection.scan import Search
    from fewshot_audio.recognition.recognizer import Recognizer

MOST_LINES = 20


@app.command()
def detect(
    paths: Annotated[list[Path], typer.Argument(metavar="RECORDINGS...", help="Sound files, or folders of them.")],
    examples: Annotated[
        list[Path] | None,
        typer.Option(help="Table of marked events (Raven, Audacity, CSV, DCASE), two or more of a label; repeatable."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle, whose enrolled classes are searched for; instead of --examples.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the marked recordings; default: that of the table.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File for the events (raven, audacity: a folder, or NAME.txt)."),
    ] = None,
    output_format: Annotated[
        Literal["csv", "raven", "audacity", "dcase"], typer.Option("--format", help="Format of the events.")
    ] = "csv",
    shared_examples: Annotated[
        bool,
        typer.Option("--shared-examples", help="Search every recording by all examples; else each by those in it."),
    ] = False,
    background: Annotated[
        list[Path] | None,
        typer.Option(help="Recordings or a folder of them without the events, or a table of other sounds; repeatable."),
    ] = None,
    complete_between: Annotated[
        bool | None,
        typer.Option(
            "--complete-between/--random-examples",
            help="Whether every event before the last example is marked; default: if that is in the first half.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=f"Score from which it is an event; default: {THRESHOLD:g}, with --bundle {CLASS_THRESHOLD:g}.",
        ),
    ] = None,
    min_duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds that an event lasts at least; default: 0.4 of the shortest example, with --bundle 0.03."
        ),
    ] = None,
    merge_gap: Annotated[
        float | None,
        typer.Option(
            help="Join events of a label with a shorter pause, in seconds, between them; default: none, with --bundle "
            f"{CLASS_MERGE_GAP:g}."
        ),
    ] = None,
    overlaps: Annotated[
        bool, typer.Option("--overlaps", help="Keep overlapping events of different labels; else the best one wins.")
    ] = False,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore/--no-rescore", help="Judge candidates once more by timbre and the shipped network's embedding."
        ),
    ] = True,
    network: Annotated[
        Path | None,
        typer.Option(help="Folder of an event network of your own, by which recordings are heard; default: ours."),
    ] = None,
    table_format: TableFormatOption = None,
    label_column: LabelColumn = None,
    strict: Strict = False,
) -> None:
    """Find all events in recordings in which a few are marked, or all of a bundle's classes.

    With -o, an interrupted run continues where it stopped. The marked events are not in the answer. The exit code is 1
    if a row of a table or a recording cannot be used; it is reported, and the others are searched.
    """
    from fewshot_audio.audio.recordings import list_recordings
    from fewshot_audio.events.detection.detector import Detector
    from fewshot_audio.events.detection.network_graph import build_graphs_in_background
    from fewshot_audio.events.detection.scan import (
        DetectionJournal,
        bundle_fingerprint,
        detect_files,
        detection_fingerprint,
        search_by_examples,
    )
    from fewshot_audio.events.write import DETECTION_FORMATS
    from fewshot_audio.runtime.allocator import keep_pages

    of_examples = {
        "--audio": audio is not None,
        "--shared-examples": shared_examples,
        "--background": bool(background),
        "--complete-between, --random-examples": complete_between is not None,
        "--no-rescore": not rescore,
        "--network": network is not None,
        "--table-format": table_format is not None,
        "--label-column": label_column is not None,
    }
    _check_usage(examples, bundle, [name for name, is_given in of_examples.items() if is_given])
    with usage_errors():
        options = DetectionOptions(threshold, min_duration, merge_gap, overlaps, complete_between, rescore, network)
    form = DETECTION_FORMATS[output_format]()
    in_folder = bool(form.extension) and output is not None and (output.is_dir() or output.suffix != ".txt")
    if output:
        for path in (list_path(output) if in_folder else output, journal_path(output, in_folder=in_folder)):
            check_writable(path)
    files, n_others = list_recordings(paths)
    if form.extension and not in_folder and len(files) > 1:
        raise typer.BadParameter(f"--format {output_format} describes one recording: give -o FOLDER for {len(files)}")
    keep_pages()
    recognizer: Recognizer | None = None
    search: Search
    problems = 0
    if bundle:
        recognizer = load_quickly(bundle, "cpu")
        with usage_errors():
            search = Detector.from_recognizer(recognizer, options).search
        fingerprint = bundle_fingerprint(bundle, options, strict=strict)
    else:
        tables = [(table, False) for table in examples or ()]
        quiet: list[Path] = []
        for source in background or ():
            if source.is_dir() or _is_sound(source):
                quiet += list_recordings([source])[0]
            else:
                tables.append((source, True))
        annotations, problems = _read(tables, audio, table_format, label_column)
        fingerprint = detection_fingerprint(annotations, quiet, options, shared_examples, strict)
        search = search_by_examples(annotations, options, shared=shared_examples, background=quiet)
    journal = DetectionJournal(journal_path(output, in_folder=in_folder), fingerprint) if output else None
    try:
        with progress_bar() as progress:
            results = list(detect_files(files, search, strict=strict, journal=journal, progress=progress))
    except KeyboardInterrupt:
        if journal:
            done = plural(len(journal.results), "file")
            print_line(f"Stopped; events of {done} are kept. The same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if form.extension:
        texts = ("" if result.error is not None else form.text([result]) for result in results)
        write_labels(results, texts, form.extension, output, in_folder=in_folder)
    else:
        write_answers(form.text(results), output)
    if journal:
        journal.remove()
    if bundle and recognizer:
        prepare_quick_start(bundle, recognizer)
    else:
        build_graphs_in_background(network)
    report_results(results, n_others)
    if problems:
        raise typer.Exit(1)


def _check_usage(examples: list[Path] | None, bundle: Path | None, of_examples: list[str]) -> None:
    """Refuse options that do not belong together; ``of_examples`` are those given that concern marked events."""
    if bool(examples) == (bundle is not None):
        raise typer.BadParameter(
            "detect needs --examples TABLE, the marked events, or --bundle BUNDLE, whose classes are searched for"
            + ("; not both" if examples else "")
        )
    if bundle and of_examples:
        advice = f"; `enroll {bundle} --background` adds a background to it" if "--background" in of_examples else ""
        raise typer.BadParameter(f"{of_examples[0]}: concerns --examples, and --bundle has none{advice}")


def _read(
    tables: list[tuple[Path, bool]], audio: Path | None, table_format: TableFormatOption, label_column: LabelColumn
) -> tuple[list["Annotation"], int]:
    """The events of tables, those of tables of other sounds as counterexamples; and how many rows cannot be used.

    Raises:
        DataError: no row is an example.
    """
    from dataclasses import replace

    from fewshot_audio.events.read import read_annotations

    annotations, problems = [], 0
    for table, is_other in tables:
        content = read_annotations(table, audio, table_format=table_format, label_column=label_column)
        annotations += [replace(mark, quality="NEG") if is_other else mark for mark in content.annotations]
        for lines, prefix in ((content.remarks, ""), (content.problems, "not used: ")):
            for line in lines[:MOST_LINES]:
                print_line(prefix + line, stderr)
            if len(lines) > MOST_LINES:
                print_line(f"{prefix}and {len(lines) - MOST_LINES} more such lines of {table}", stderr)
        problems += len(content.problems)
    if not any(mark.quality == "POS" for mark in annotations):
        raise DataError(f"{', '.join(str(table) for table, _ in tables)}: no example that can be used")
    return annotations, problems


def _is_sound(path: Path) -> bool:
    from fewshot_audio.audio.decode import is_audio

    return is_audio(path)
