"""``fewshot-audio download``: the published archives of a dataset, or how to come by them."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, progress_bar, say


class DatasetName(StrEnum):
    """Datasets of the catalog."""

    esc50 = "esc50"
    nsynth = "nsynth"
    fsdkaggle2018 = "fsdkaggle2018"
    birdclef2020 = "birdclef2020"
    voxceleb1 = "voxceleb1"
    speechcommands = "speechcommands"
    watkins = "watkins"


@app.command()
def download(
    dataset: Annotated[DatasetName, typer.Argument(help="Dataset to fetch.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to fetch to; default: downloads/DATASET.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=8, help="Archives fetched at the same time.")] = 3,
) -> None:
    """Fetch a dataset from its official address and unpack it; started again, it goes on where it stopped.

    Datasets behind a license or a login are not fetched: the steps to take and the expected layout are shown.
    """
    from fewshot_audio.data.download.acquire import ARCHIVES, acquire
    from fewshot_audio.data.download.catalog import DATASETS

    entry = DATASETS[dataset.value]
    for line in (entry.title, f"Page: {entry.page}", f"License: {entry.license}"):
        say(line)
    if entry.steps:
        for number, step in enumerate(entry.steps, 1):
            say(f"{number}. {step}")
        say(f"Expected layout: {entry.layout}")
        say(f"Then: fewshot-audio prepare {entry.name} --source FOLDER")
        raise typer.Exit(1)  # nothing was fetched
    folder = output or Path("downloads") / entry.name
    with progress_bar() as progress:
        source = acquire(entry, folder, at_once=at_once, progress=progress)
    for archive in entry.archives:
        published = archive.checksum
        say(
            f"{archive.file}: {published.algorithm} published by {published.publisher}, checked before unpacking"
            if published
            else f"{archive.file}: no checksum is published"
        )
    say(f"The archives in {folder / ARCHIVES} may be removed.")
    say(f"Now: fewshot-audio prepare {entry.name} --source {shlex.quote(str(source))}")
