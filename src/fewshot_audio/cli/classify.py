"""``fewshot-audio classify``: recognize enrolled sounds in files and long recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.answers import journal_path, list_path, report_results, write_answers, write_labels
from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import Bundle, Cluster, Device, Strict, check_workers, usage_errors
from fewshot_audio.cli.quick_start import load_quickly, prepare_quick_start
from fewshot_audio.errors import ConfigError, plural
from fewshot_audio.files import check_writable
from fewshot_audio.recognition.options import ScanOptions

if TYPE_CHECKING:
    from fewshot_audio.progress import Progress
    from fewshot_audio.recognition.output_formats import FormatOptions, OutputFormat
    from fewshot_audio.recognition.recognizer import Recognizer
    from fewshot_audio.recognition.results import FileResult
    from fewshot_audio.recognition.scan_journal import ScanJournal

# The built-in ones are those of `recognition.output_formats`, which is not imported before the command runs.
FORMAT_HELP = (
    "Format of the answers: table, json, jsonl, csv, raven, audacity, or package.module:Class of one from outside "
    "(see --plugin)."
)


@app.command()
def classify(
    bundle: Bundle,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Sound files, or folders of them; none with --index.")
    ] = None,
    output_format: Annotated[str, typer.Option("--format", help=FORMAT_HELP)] = "table",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of the best class below which the answer is unknown.")
    ] = 0.0,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list with their probabilities.")] = 3,
    hop: Annotated[
        float | None, typer.Option(help="Scan in windows this many seconds apart; without it a file is one clip.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="File for the answers (raven, audacity: a folder, or NAME.txt for one file)."
        ),
    ] = None,
    strict: Strict = False,
    excel: Annotated[
        bool, typer.Option("--excel", help="Write csv for spreadsheets: marked as UTF-8, and nothing is computed.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that share the files; default: one, whose threads share each long recording."
        ),
    ] = None,
    cluster: Cluster = None,
    device: Device = "cpu",
    index: Annotated[
        Path | None,
        typer.Option(help="Answer for the windows of an index, which are not embedded again, and not for sound files."),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="With --index: folder that is written before the names of its recordings.")
    ] = None,
) -> None:
    """Recognize enrolled sounds. With -o, an interrupted scan of many files continues where it stopped.

    The exit code is 1 if a file cannot be used; it is reported, and the others are answered.
    """
    from fewshot_audio.audio.recordings import list_recordings
    from fewshot_audio.recognition.output_formats import OUTPUT_FORMATS, FormatOptions
    from fewshot_audio.recognition.scan_journal import ScanJournal, scan_fingerprint
    from fewshot_audio.runtime.allocator import keep_pages

    if bool(paths) == bool(index):
        raise typer.BadParameter("give sound files or folders, or --index INDEX")
    if index and hop is not None:
        raise typer.BadParameter("--hop concerns sound files: the windows of an index are as `index --hop` cut them")
    check_workers(workers, cluster)
    if index and (workers or cluster):
        raise typer.BadParameter("--workers and --cluster concern sound files: an index is answered by one process")
    if index and device != "cpu":
        raise typer.BadParameter(f"--device {device} concerns sound files: an index is answered on the CPU")
    if archive and not index:
        raise typer.BadParameter("--archive concerns --index")
    if hop is not None and not 0 < hop < float("inf"):
        raise typer.BadParameter(f"--hop {hop:g}: expected a number of seconds above 0")
    with usage_errors("--format"):
        form: OutputFormat = OUTPUT_FORMATS.find(output_format).make()
    if excel and output_format != "csv" and not form.extension:
        raise typer.BadParameter(f"--excel concerns csv, not --format {output_format}")
    suffix = Path(f"name{form.extension}").suffix  # alone, ".txt" is a name without one
    in_folder = bool(suffix) and output is not None and (output.is_dir() or output.suffix != suffix)
    if output:
        for path in (list_path(output) if in_folder else output, journal_path(output, in_folder=in_folder)):
            check_writable(path)
    keep_pages()  # three times as fast on the CPU
    recognizer = load_quickly(bundle, device)
    recognizer.snapshot()  # refuses one without classes before any work
    options = ScanOptions(hop, threshold, strict)
    files, n_others = list_recordings(paths or ())
    if hop is not None and hop > recognizer.segment_seconds:
        longest = f"{recognizer.segment_seconds:g} s"
        raise typer.BadParameter(f"--hop {hop:g}: expected at most a segment of {bundle}, which is {longest}")
    journal = None
    if output and not index:
        journal = ScanJournal(journal_path(output, in_folder=in_folder), scan_fingerprint(bundle, options))
    n_files = len(files)
    try:
        with progress_bar() as progress:
            if index:
                results = _from_index(index, archive, recognizer, options, progress)
                n_files = len(results)
            if form.extension and not in_folder and n_files > 1:
                raise typer.BadParameter(
                    f"--format {output_format} describes one recording: give -o FOLDER for {n_files}"
                )
            if not index:
                results = _scan(bundle, device, recognizer, files, options, workers, cluster, journal, progress)
    except KeyboardInterrupt:
        if journal:
            answered = plural(len(journal.results), "file")
            print_line(f"Stopped; answers of {answered} are kept. The same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    format_options = FormatOptions(top, recognizer.sample_rate, excel)
    if form.extension:
        texts = ("" if result.error is not None else _text(form, [result], format_options) for result in results)
        write_labels(results, texts, form.extension, output, in_folder=in_folder, excel=excel)
    else:
        write_answers(_text(form, results, format_options), output)
    if journal:
        journal.remove()
    prepare_quick_start(bundle, recognizer)
    report_results(results, n_others)


def _scan(
    bundle: Path,
    device: str,
    recognizer: "Recognizer",
    files: Sequence[Path],
    options: ScanOptions,
    workers: int | None,
    cluster: str | None,
    journal: "ScanJournal | None",
    progress: "Progress",
) -> list["FileResult"]:
    """The answers for sound files: by this process, or if that was asked for by others."""
    if (workers or 1) == 1 and not cluster:
        from fewshot_audio.recognition.scan import scan

        return list(scan(recognizer, files, options, journal, progress))
    from fewshot_audio.recognition.scan_workers import ScanJob, scan_by_workers

    return scan_by_workers(ScanJob.of(bundle, device, options), files, workers, cluster, journal, progress)


def _from_index(
    folder: Path, archive: Path | None, recognizer: "Recognizer", options: ScanOptions, progress: "Progress"
) -> list["FileResult"]:
    """The answers for the recordings of an index."""
    from fewshot_audio.archive.classify import answer_index, index_results
    from fewshot_audio.archive.index import Index

    index = Index(folder)
    answers = answer_index(index, recognizer, options.threshold, progress)
    return list(index_results(index, answers, archive, strict=options.strict))


def _text(form: "OutputFormat", results: Sequence["FileResult"], options: "FormatOptions") -> str:
    text: object = form.text(results, options)
    if not isinstance(text, str):  # of a format from outside
        raise ConfigError(f"output format {type(form).__name__} returned {type(text).__name__}, expected text (str)")
    return text
