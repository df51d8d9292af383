"""``fewshot-audio classify``: recognize enrolled sounds in files and long recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, print_text, progress_bar, stderr
from fewshot_audio.cli.options import Device
from fewshot_audio.errors import plural
from fewshot_audio.files import check_writable
from fewshot_audio.recognition.options import PER_FILE, Format, ScanOptions

if TYPE_CHECKING:
    from fewshot_audio.recognition.results import FileResult


@app.command()
def classify(
    bundle: Annotated[Path, typer.Argument(help="A bundle: the folder that `enroll` writes.")],
    paths: Annotated[list[Path], typer.Argument(help="Sound files, or folders of them.")],
    output_format: Annotated[Format, typer.Option("--format", help="Format of the answers.")] = Format.table,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of the best class below which the answer is unknown.")
    ] = 0.0,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list with their probabilities.")] = 3,
    hop: Annotated[
        float | None, typer.Option(help="Scan in windows this many seconds apart; without it a file is one clip.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the answers (raven, audacity: a folder).")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Recognize enrolled sounds. With -o, an interrupted scan of many files continues where it stopped.

    The exit code is 1 if a file cannot be used; it is reported, and the others are answered.
    """
    from fewshot_audio.audio.recordings import list_recordings
    from fewshot_audio.recognition.recognizer import Recognizer
    from fewshot_audio.recognition.scan import scan
    from fewshot_audio.recognition.scan_journal import ScanJournal, scan_fingerprint
    from fewshot_audio.runtime.allocator import keep_pages

    if hop is not None and hop <= 0:
        raise typer.BadParameter(f"--hop {hop:g}: expected a number of seconds above 0")
    if output:
        check_writable(output / "labels.txt" if output_format in PER_FILE else output)
    keep_pages()  # three times as fast on the CPU
    recognizer = Recognizer.load(bundle, device)
    recognizer.snapshot()  # refuses one without classes before any work
    options = ScanOptions(hop, threshold)
    files, n_others = list_recordings(paths)
    if hop is not None and hop > recognizer.segment_seconds:
        longest = f"{recognizer.segment_seconds:g} s"
        raise typer.BadParameter(f"--hop {hop:g}: expected at most a segment of {bundle}, which is {longest}")
    if output_format in PER_FILE and output is None and len(files) > 1:
        form = output_format.value
        raise typer.BadParameter(f"--format {form} describes one recording: give -o FOLDER for {len(files)}")
    journal = (
        ScanJournal(output.with_name(output.name + ".journal"), scan_fingerprint(bundle, options)) if output else None
    )
    try:
        with progress_bar() as progress:
            results = list(scan(recognizer, files, options, journal, progress))
    except KeyboardInterrupt:
        if journal:
            answered = plural(len(journal.results), "file")
            print_line(f"Stopped; answers of {answered} are kept. The same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _write(results, output_format, top, recognizer.sample_rate, output)
    if journal:
        journal.remove()
    _summary(results, n_others)


def _write(results: Sequence["FileResult"], output_format: Format, top: int, rate: int, output: Path | None) -> None:
    from fewshot_audio.files import write_text
    from fewshot_audio.recognition import formats

    if output_format == Format.raven:
        texts = [formats.as_raven(result, rate) for result in results]
    elif output_format == Format.audacity:
        texts = [formats.as_audacity(result) for result in results]
    else:
        texts = [formats.as_text(results, output_format, top)]
    if output is None:
        print_text("".join(texts))
        return
    names = formats.label_files(results, output_format) if output_format in PER_FILE else None
    paths = [output / name for name in names] if names is not None else [output]
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text)


def _summary(results: Sequence["FileResult"], n_others: int) -> None:
    """Report files without answers and files that failed; exit with code 1 if any failed."""
    failed = [result for result in results if result.error is not None]
    for result in results:
        if result.status == "nothing":
            print_line(f"{result.file}: {result.remark}", stderr)
    for result in failed:
        print_line(f"cannot be used: {result.file}: {result.error}", stderr)
    answered = sum(result.status == "ok" for result in results)
    print_line(
        f"{plural(len(results), 'file')}, {answered} with answers, {len(failed)} failed"
        + (f"; no recordings by their extensions: {plural(n_others, 'other file')}" if n_others else ""),
        stderr,
    )
    if failed:
        raise typer.Exit(1)
