"""Answers about recordings on disk: one text, or a file of labels for each, and what is said at the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fewshot_audio.cli.console import print_line, print_text, stderr
from fewshot_audio.errors import on_one_line, plural

if TYPE_CHECKING:
    from fewshot_audio.recognition.results import RecordingResult


def list_path(folder: Path) -> Path:
    """The list of the recordings in a folder of label files."""
    return folder / "files.csv"


def journal_path(output: Path, *, in_folder: bool) -> Path:
    """The file that keeps the answers of an interrupted command."""
    beside = list_path(output) if in_folder else output
    return beside.with_name(beside.name + ".journal")


def write_answers(text: str, output: Path | None) -> None:
    """Write answers to a file; None prints them."""
    from fewshot_audio.files import write_text

    if output is None:
        print_text(text)
    else:
        write_text(output, text)


def write_labels(
    results: "Sequence[RecordingResult]",
    texts: Iterable[str],
    extension: str,
    output: Path | None,
    *,
    in_folder: bool,
    excel: bool = False,
) -> None:
    """Write a file of labels for each recording that can be used, and in a folder the list of all recordings.

    Args:
        results: the recordings; one only, if ``in_folder`` is false.
        texts: the labels of each.
        extension: of the files of labels.
        output: the folder or file; None for stdout.
        in_folder: whether ``output`` is a folder.
        excel: whether the list is for spreadsheets.
    """
    from fewshot_audio.files import write_text
    from fewshot_audio.recognition import formats

    names = formats.label_files(results, extension)
    for text, name in zip(texts, names, strict=True):
        if name:
            write_answers(text, output / name if output and in_folder else output)
    if output and in_folder:
        write_text(list_path(output), formats.as_list(results, names, excel=excel))


def report_results(results: "Sequence[RecordingResult]", n_others: int) -> None:
    """Report damage, files without answers and files that failed; exit with code 1 if any failed."""
    failed = [result for result in results if result.error is not None]
    for result in results:
        if result.error is None and result.remark:
            print_line(f"{on_one_line(result.file)}: {on_one_line(result.remark)}", stderr)
    for result in failed:
        print_line(f"cannot be used: {on_one_line(result.file)}: {on_one_line(result.remark)}", stderr)
    answered = sum(result.status == "ok" for result in results)
    print_line(
        f"{plural(len(results), 'file')}, {answered} with answers, {len(failed)} failed"
        + (f"; no recordings by their extensions: {plural(n_others, 'other file')}" if n_others else ""),
        stderr,
    )
    if failed:
        raise typer.Exit(1)
