"""``fewshot-audio download``: the published archives of a dataset, or how to get them."""

import shlex
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, progress_bar
from fewshot_audio.errors import DataError

# The names of `data.download.catalog.DATASETS`, which is not imported before the command runs.
DatasetName: TypeAlias = Literal[
    "esc50", "nsynth", "fsdkaggle2018", "birdclef2020", "voxceleb1", "speechcommands", "watkins"
]


@app.command()
def download(
    dataset: Annotated[DatasetName, typer.Argument(help="Dataset to fetch.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to fetch to; default: downloads/DATASET.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=8, help="Archives fetched at the same time.")] = 3,
) -> None:
    """Fetch a dataset from its official address and unpack it; started again, it continues where it stopped.

    Datasets that need a license or a login are not fetched: the steps to take and the expected layout are shown.
    """
    from fewshot_audio.data.download.acquire import ARCHIVES, acquire
    from fewshot_audio.data.download.catalog import DATASETS

    entry = DATASETS[dataset]
    for line in (entry.title, f"Page: {entry.page}", f"License: {entry.license}"):
        print_line(line)
    if entry.steps:
        for number, step in enumerate(entry.steps, 1):
            print_line(f"{number}. {step}")
        print_line(f"Expected layout: {entry.layout}")
        print_line(f"Then: fewshot-audio prepare {entry.name} --source FOLDER")
        raise DataError(
            f"nothing was fetched: {entry.name} can only be fetched by a person, who takes the steps above and then "
            "prepares the folder"
        )
    folder = output or Path("downloads") / entry.name
    with progress_bar() as progress:
        source = acquire(entry, folder, at_once=at_once, progress=progress)
    for archive in entry.archives:
        published = archive.checksum
        print_line(
            f"{archive.file}: {published.algorithm} published by {published.publisher}, checked before unpacking"
            if published
            else f"{archive.file}: no checksum is published"
        )
    print_line(f"The archives in {folder / ARCHIVES} may be removed.")
    print_line(f"Now: fewshot-audio prepare {entry.name} --source {shlex.quote(str(source))}")
