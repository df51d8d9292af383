"""``fewshot-audio classify``: recognize enrolled sounds in files and long recordings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, progress_bar, say
from fewshot_audio.errors import ConfigError
from fewshot_audio.recognition.options import Format

if TYPE_CHECKING:
    from fewshot_audio.recognition.scan import FileResult


@app.command()
def classify(
    bundle: Annotated[Path, typer.Argument(help="A recognizer's folder, made by `enroll`.")],
    paths: Annotated[list[Path], typer.Argument(help="Sound files, and folders of them.")],
    output_format: Annotated[Format, typer.Option("--format", help="Form of the answers.")] = Format.table,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Probability below which the answer is unknown.")
    ] = 0.0,
    top: Annotated[int, typer.Option(min=1, help="How many classes to list with their probabilities.")] = 3,
    hop: Annotated[
        float | None,
        typer.Option(help="Scan in windows of a segment, one every so many seconds; else a file is one clip."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the answers (raven, audacity: a folder).")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
) -> None:
    """Recognize enrolled sounds. With -o an interrupted scan of many files goes on where it was.

    Exit code 1 where a file could not be used: it is reported, and the others are answered.
    """
    from fewshot_audio.recognition.recognizer import Recognizer
    from fewshot_audio.recognition.scan import Journal, Options, fingerprint, list_recordings, scan
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()  # three times as fast on the CPU
    recognizer = Recognizer.load(bundle, device)
    recognizer.snapshot()  # refuses one without classes before any work
    options = Options(hop, threshold)
    if hop is not None and not 0 < hop <= recognizer.segment_seconds:
        raise ConfigError(f"--hop {hop:g}: expected above 0 and at most a segment, {recognizer.segment_seconds:g} s")
    files, passed = list_recordings(paths)
    if output_format in (Format.raven, Format.audacity) and output is None and len(files) > 1:
        raise ConfigError(f"--format {output_format.value} describes one recording: give -o FOLDER for {len(files)}")
    journal = Journal(output.with_name(output.name + ".journal"), fingerprint(bundle, options)) if output else None
    try:
        with progress_bar() as progress:
            results = list(scan(recognizer, files, options, journal, progress))
    except KeyboardInterrupt:
        if journal:
            say(f"Stopped; {len(journal.done)} files are answered. The same command goes on from there.", errors)
        raise typer.Exit(INTERRUPTED) from None
    _write(results, output_format, top, recognizer.sample_rate, output)
    if journal:
        journal.remove()
    _summary(results, passed)


def _write(results: Sequence["FileResult"], output_format: Format, top: int, rate: int, output: Path | None) -> None:
    from fewshot_audio.files import write_text
    from fewshot_audio.recognition import formats

    if output_format in formats.PER_FILE:
        texts = [
            formats.as_raven(r, rate) if output_format == Format.raven else formats.as_audacity(r) for r in results
        ]
        if output is None:
            typer.echo("".join(texts), nl=False)
            return
        for name, text in zip(formats.label_files(results, output_format), texts, strict=True):
            write_text(output / name, text)
        return
    text = formats.as_text(results, output_format, top)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)


def _summary(results: Sequence["FileResult"], passed: int) -> None:
    """Say on stderr what gave nothing and what failed; exit code 1 where something failed."""
    failed = [result for result in results if result.error is not None]
    for result in results:
        if result.status == "nothing":
            say(f"{result.file}: {result.remark}", errors)
    for result in failed:
        say(f"cannot be used: {result.file}: {result.error}", errors)
    say(
        f"{len(results)} files, {sum(result.status == 'ok' for result in results)} with answers, {len(failed)} failed"
        + (f"; {passed} other files are no recordings" if passed else ""),
        errors,
    )
    if failed:
        raise typer.Exit(1)
