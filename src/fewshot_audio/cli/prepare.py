"""``fewshot-audio prepare``: recordings into a dataset folder."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app, progress_bar, say, table
from fewshot_audio.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fewshot_audio.data.prepare import PrepareReport
    from fewshot_audio.data.sources.base import Source


class SourceName(StrEnum):
    """Sources of recordings."""

    esc50 = "esc50"
    nsynth = "nsynth"
    fsdkaggle2018 = "fsdkaggle2018"
    birdclef2020 = "birdclef2020"
    voxceleb1 = "voxceleb1"
    speechcommands = "speechcommands"
    watkins = "watkins"
    folder = "folder"
    synthetic = "synthetic"


BENCHMARK_NAMES = {
    SourceName.esc50: "ESC-50-master",
    SourceName.nsynth: "nsynth",
    SourceName.fsdkaggle2018: "FSD2018",
    SourceName.birdclef2020: "BirdClef",
    SourceName.voxceleb1: "VoxCeleb",
}


class Compat(StrEnum):
    """Ways of filling segments up, see ``Preprocessing.segments``."""

    metaaudio = "metaaudio"
    metaaudio_offline = "metaaudio-offline"


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
    max_seconds: Annotated[float | None, typer.Option(help="Leave longer clips out; default as published.")] = None,
    min_clips: Annotated[
        int | None, typer.Option(min=0, help="Leave classes with fewer usable clips out; default as published.")
    ] = None,
    pad: Annotated[bool, typer.Option("--pad", help="Take clips of any length of a set of fixed length.")] = False,
    compat: Annotated[Compat | None, typer.Option(help="Fill segments up as that program does, to match it.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default one per core.")] = None,
    cluster: Annotated[str | None, typer.Option(help="A Dask scheduler whose workers do the work.")] = None,
) -> None:
    """Prepare recordings: log-mel features, splits and normalization numbers in one dataset folder.

    Inputs that cannot be used are listed with the reason in skipped.csv and never stop the rest.
    """
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.data.layout import DatasetFolder
    from fewshot_audio.data.prepare import prepare as prepare_dataset

    if cluster:  # its workers have other current folders
        source_dir, data_root = source_dir and source_dir.absolute(), data_root.absolute()
    opened = open_source(source, source_dir, seed)
    limits = replace(
        opened.limits,
        longest_seconds=opened.limits.longest_seconds if max_seconds is None else max_seconds,
        least_clips=opened.limits.least_clips if min_clips is None else min_clips,
        pad=pad,
    )
    folder = DatasetFolder(data_root / (name or default_name(source, source_dir)))
    with progress_bar() as progress:
        report = prepare_dataset(
            opened,
            folder,
            Preprocessing.of(
                segment_seconds=segment_seconds or opened.segment_seconds, compat=compat.value if compat else ""
            ),
            limits=limits,
            splits_file=splits,
            seed=seed,
            way=way,
            waveforms=waveforms,
            workers=workers,
            cluster=cluster,
            progress=progress,
        )
    show_report(report)


def open_source(source: SourceName, directory: Path | None, seed: int) -> "Source":
    """Return the source of that name. Raises DataError where the folder of the recordings is not given."""
    from fewshot_audio.data.sources.birdclef2020 import BirdClef2020
    from fewshot_audio.data.sources.esc50 import Esc50
    from fewshot_audio.data.sources.folder import ClassFolders
    from fewshot_audio.data.sources.fsdkaggle2018 import FsdKaggle2018
    from fewshot_audio.data.sources.nsynth import NSynth
    from fewshot_audio.data.sources.speechcommands import SpeechCommands
    from fewshot_audio.data.sources.synthetic import Synthetic
    from fewshot_audio.data.sources.voxceleb1 import VoxCeleb1
    from fewshot_audio.data.sources.watkins import Watkins

    if source == SourceName.synthetic:
        return Synthetic(seed=seed)
    if directory is None:
        raise DataError(f"source {source.value!r} needs --source DIR, the folder of the recordings")
    kinds: dict[str, Callable[[Path], Source]] = {
        kind.name: kind
        for kind in (BirdClef2020, ClassFolders, Esc50, FsdKaggle2018, NSynth, SpeechCommands, VoxCeleb1, Watkins)
    }
    return kinds[source](directory)


def default_name(source: SourceName, directory: Path | None) -> str:
    """The benchmark's folder name for its datasets, the source folder's own name for the user's."""
    if source == SourceName.folder and directory is not None:
        return directory.resolve().name
    return BENCHMARK_NAMES.get(source, source.value)


def show_report(report: "PrepareReport") -> None:
    """Print what became of every input."""
    for note in report.notes:
        say(note)
    if report.parts:
        rows = []
        for part in report.parts:
            found, usable, kept = (f"{c.recordings} ({c.classes})" for c in (part.found, part.usable, part.kept))
            rows.append([part.part, found, str(part.found.small), usable, str(part.usable.small), kept])
        columns = ("", "found", "too small", "usable", "too small", "kept")
        table("Recordings (of classes) before and after classes that are too small were left out", columns, rows)
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
    say(
        f"{report.found} inputs: {report.prepared} prepared"
        + (f" ({report.reused} of them earlier)" if report.reused else "")
        + (f", {sum(report.skipped.values())} skipped ({skipped}), see {report.folder.skipped}" if skipped else ""),
    )
    parts = ", ".join(f"{len(report.splits[phase])} {phase}" for phase in ("train", "validation", "test"))
    say(f"Classes: {parts}. Dataset folder: {report.folder.path}")
