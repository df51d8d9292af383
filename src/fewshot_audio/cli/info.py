"""``fewshot-audio info``: what is in a dataset folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, print_table
from fewshot_audio.cli.options import JsonFile


@app.command()
def info(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder: ROOT/NAME.")],
    plot: Annotated[Path | None, typer.Option(help="Write a histogram of the clips' lengths to this file.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Show a dataset folder's classes, clips, lengths, splits, and the largest episodes that they allow."""
    from fewshot_audio.data.info import inspect_dataset, plot_lengths
    from fewshot_audio.data.layout import find_dataset
    from fewshot_audio.files import write_json

    path = dataset.absolute()
    dataset_info = inspect_dataset(find_dataset(path.parent, path.name))
    numbers = dataset_info.as_json()
    if json_file:
        write_json(json_file, numbers)
    if plot:
        plot_lengths(dataset_info, plot)
    _show(numbers)


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
