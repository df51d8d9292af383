"""``fewshot-audio info``: what is in a dataset folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, print_table, progress_bar
from fewshot_audio.cli.options import DATA_ROOT, JsonFile
from fewshot_audio.errors import DataError
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.data.layout import DatasetFolder


@app.command()
def info(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder: ROOT/NAME.")],
    plot: Annotated[Path | None, typer.Option(help="Write a histogram of the clips' lengths to this file.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare all clips and packed segments with their checksums.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Show a dataset folder's classes, clips, lengths, splits, and the largest episodes that they allow."""
    from fewshot_audio.data.info import inspect_dataset, plot_lengths
    from fewshot_audio.data.layout import find_dataset
    from fewshot_audio.files import write_json

    path = dataset.absolute()
    try:
        folder = find_dataset(path.parent, path.name)
    except DataError:
        if dataset.name != str(dataset):
            raise
        # A bare name: what else lies in the current folder is of no help.
        example = DATA_ROOT / dataset
        raise DataError(f"{dataset}: no such folder; expected a dataset folder, such as {example}") from None
    for output in (json_file, plot):
        if output:
            check_writable(output)
    dataset_info = inspect_dataset(folder)
    numbers = dataset_info.as_json()
    if json_file:
        write_json(json_file, numbers)
    if plot:
        plot_lengths(dataset_info, plot)
    _show(numbers)
    if verify:
        _verify(folder)


def _verify(folder: "DatasetFolder") -> None:
    """Print what a verification shows; exit with 1 if clips are damaged."""
    from fewshot_audio.data.verify import verify_dataset

    with progress_bar() as progress:
        verification = verify_dataset(folder, progress)
    unknown = f"; {verification.unknown} have no checksum" if verification.unknown else ""
    print_line(f"Verified: {verification.clips} files of clips, {verification.segments} packed segments{unknown}")
    if verification.norm_differs:
        print_line(
            f"{folder.norm_stats} is not what `prepare` computes for the training classes of the splits: it was "
            "edited, or is damaged (`prepare` writes it again)"
        )
    if verification.damaged:
        for file in verification.damaged:
            print_line(f"Damaged or missing: {file}")
        print_line(f"{len(verification.damaged)} files: run `prepare` again, it makes exactly these anew")
        raise typer.Exit(1)


def _show(numbers: dict[str, Any]) -> None:
    """Print what ``DatasetInfo.as_json`` says."""
    shape = " x ".join(str(size) for size in numbers["segment"].values())
    print_line(f"{numbers['dataset']} ({numbers['path']})")
    print_line(
        f"{numbers['classes']} classes, {numbers['clips']} clips, {numbers['segments']} segments of {shape}"
        + (", waveforms kept" if numbers["waveforms"] else "")
    )
    seconds = numbers["seconds"]
    if seconds:
        print_line(
            f"Lengths: {seconds['shortest']:.2f} to {seconds['longest']:.2f} s, median {seconds['median']:.2f} s, "
            f"mean {seconds['mean']:.2f} s, {seconds['total'] / 3600:.2f} h in all"
        )
    else:
        print_line("Lengths: unknown (no clips.csv)")
    if numbers["source_recordings"]:
        print_line(f"Source recordings: {numbers['source_recordings']}")
    norm = numbers["normalization"]
    print_line(f"Normalization: mean {norm['mean']:.4f}, std {norm['std']:.4f}" if norm else "Normalization: none")
    if numbers["splits"]:
        columns = ("split", "classes", "clips", "way", "shot", "query", "at 5 shots")
        rows = [
            (phase, str(split["classes"]), str(split["clips"]), *map(str, split["largest"].values()))
            for phase, split in numbers["splits"].items()
        ]
        print_table("Splits, and the largest episodes (shots beside one query, queries beside one shot)", columns, rows)
        missing = [name for split in numbers["splits"].values() for name in split["missing_classes"]]
        if missing:
            print_line(f"Classes of the splits without features: {', '.join(missing)}")
        if numbers["classes_in_no_split"]:
            print_line(f"Classes in no split: {', '.join(numbers['classes_in_no_split'])}")
    else:
        print_line("Splits: none")
    smallest = ", ".join(f"{name} ({count})" for name, count in numbers["smallest_classes"].items())
    print_line(f"Smallest classes: {smallest}")
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(numbers["skipped"].items()))
    print_line(f"Skipped inputs: {skipped or 'none'}")
