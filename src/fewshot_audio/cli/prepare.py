"""``fewshot-audio prepare``: recordings into a dataset folder."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app, console, progress_bar
from fewshot_audio.errors import DataError

if TYPE_CHECKING:
    from fewshot_audio.data.prepare import PrepareReport
    from fewshot_audio.data.sources.base import Source


class SourceName(StrEnum):
    """Sources of recordings."""

    esc50 = "esc50"
    nsynth = "nsynth"
    fsdkaggle2018 = "fsdkaggle2018"
    birdclef2020 = "birdclef2020"
    voxceleb1 = "voxceleb1"
    folder = "folder"
    synthetic = "synthetic"


@app.command()
def prepare(
    source: Annotated[SourceName, typer.Argument(help="Layout of the recordings; `folder`: a tree of class folders.")],
    source_dir: Annotated[Path | None, typer.Option("--source", help="Where the recordings lie.")] = None,
    data_root: Annotated[Path, typer.Option(help="Folder of the dataset folders.")] = Path("data"),
    name: Annotated[str | None, typer.Option(help="Name of the dataset folder.")] = None,
    splits: Annotated[Path | None, typer.Option(help="A splits.npy to take; else made by seed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the splits (and of synthetic sounds).")] = 0,
    way: Annotated[int, typer.Option(min=2, help="Least number of validation and of test classes.")] = 5,
    segment_seconds: Annotated[float | None, typer.Option(help="Length of a segment.")] = None,
    waveforms: Annotated[bool, typer.Option("--waveforms", help="Keep waveforms too, for waveform input.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default one per core.")] = None,
) -> None:
    """Prepare recordings: log-mel features, splits and normalisation numbers in one dataset folder.

    Inputs that cannot be used are listed with the reason in skipped.csv and never stop the rest.
    """
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.data.layout import DatasetFolder
    from fewshot_audio.data.prepare import prepare as prepare_dataset

    opened = open_source(source, source_dir, seed)
    folder = DatasetFolder(data_root / (name or default_name(source, source_dir)))
    with progress_bar() as progress:
        report = prepare_dataset(
            opened,
            folder,
            Preprocessing.of(segment_seconds=segment_seconds or opened.segment_seconds),
            splits_file=splits,
            seed=seed,
            way=way,
            waveforms=waveforms,
            workers=workers,
            progress=progress,
        )
    show_report(report)


def open_source(source: SourceName, directory: Path | None, seed: int) -> "Source":
    """Return the source of that name. Raises DataError for a missing folder and for sources of later versions."""
    from fewshot_audio.data.sources.esc50 import Esc50
    from fewshot_audio.data.sources.folder import ClassFolders
    from fewshot_audio.data.sources.synthetic import Synthetic

    if source == SourceName.synthetic:
        return Synthetic(seed=seed)
    if source not in (SourceName.esc50, SourceName.folder):
        raise DataError(
            f"source {source.value!r} is not part of this version; `folder` takes any tree of class folders"
        )
    if directory is None:
        raise DataError(f"source {source.value!r} needs --source DIR, the folder of the recordings")
    return Esc50(directory) if source == SourceName.esc50 else ClassFolders(directory)


def default_name(source: SourceName, directory: Path | None) -> str:
    """The benchmark's folder name for its datasets, the source folder's own name for the user's."""
    if source == SourceName.folder and directory is not None:
        return directory.resolve().name
    return "ESC-50-master" if source == SourceName.esc50 else source.value


def show_report(report: "PrepareReport") -> None:
    """Print what became of every input."""
    for note in report.notes:
        console.print(note, soft_wrap=True, markup=False)
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
    console.print(
        f"{report.found} inputs: {report.prepared} prepared"
        + (f" ({report.reused} of them earlier)" if report.reused else "")
        + (f", {sum(report.skipped.values())} skipped ({skipped}), see {report.folder.skipped}" if skipped else ""),
        soft_wrap=True,
    )
    parts = ", ".join(f"{len(report.splits[phase])} {phase}" for phase in ("train", "validation", "test"))
    console.print(f"Classes: {parts}. Dataset folder: {report.folder.path}", soft_wrap=True)
