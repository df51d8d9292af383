"""``fewshot-audio prepare``: make a dataset folder from recordings."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, print_table, progress_bar
from fewshot_audio.cli.options import DATA_ROOT, Cluster, Strict, Workers, check_workers, usage_errors
from fewshot_audio.errors import DataError, plural
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.data.layout import DatasetFolder
    from fewshot_audio.data.prepare import PrepareReport
    from fewshot_audio.data.sources.base import Source


# Ways to fill up segments, see `Preprocessing.segments`. Version 0.1 called a mixture of two programs "metaaudio".
Compat: TypeAlias = Literal["metaaudio-offline", "metaaudio-training", "authors-waveforms", "metaaudio"]
FrontEnd: TypeAlias = Literal["log-mel", "pcen"]
Fill: TypeAlias = Literal["repeat", "silence"]

# The built-in ones are those of `data.sources.registry`, which is not imported before the command runs.
SOURCE_HELP = (
    "Layout of the recordings: esc50, nsynth, fsdkaggle2018, birdclef2020, voxceleb1, speechcommands, watkins, "
    "folder (a tree of class folders), annotated (recordings with tables of events), synthetic (made, not read), or "
    "package.module:Class (see --plugin)."
)
BENCHMARK_NAMES = {
    "esc50": "ESC-50-master",
    "nsynth": "nsynth",
    "fsdkaggle2018": "FSD2018",
    "birdclef2020": "BirdClef",
    "voxceleb1": "VoxCeleb",
}


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help=SOURCE_HELP)],
    source_dir: Annotated[Path | None, typer.Option("--source", help="Folder of the recordings.")] = None,
    data_root: Annotated[Path, typer.Option(help="Folder that holds the dataset folders.")] = DATA_ROOT,
    name: Annotated[str | None, typer.Option(help="Name of the dataset folder.")] = None,
    splits: Annotated[Path | None, typer.Option(help="A splits.npy to use; default: made from the seed.")] = None,
    tables: Annotated[
        list[Path] | None,
        typer.Option(help="A table of events of the source annotated; repeatable; default: all in --source."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the splits (and of synthetic sounds).")] = 0,
    way: Annotated[int, typer.Option(min=2, help="Smallest number of validation classes and of test classes.")] = 5,
    segment_seconds: Annotated[float | None, typer.Option(help="Length of a segment.")] = None,
    sample_rate: Annotated[int, typer.Option(help="Rate to which recordings are resampled, Hz.")] = 16_000,
    n_fft: Annotated[int, typer.Option(help="Length of an FFT window, samples.")] = 1024,
    hop: Annotated[
        int | None,
        typer.Option(help="Distance of frames, samples; default: 512, halved until a segment has 32 frames."),
    ] = None,
    n_mels: Annotated[int, typer.Option(help="Number of mel bins.")] = 128,
    fmin: Annotated[float, typer.Option(help="Lower edge of the first mel bin, Hz.")] = 0.0,
    fmax: Annotated[
        float | None, typer.Option(help="Upper edge of the last mel bin, Hz; default: half of the sample rate.")
    ] = None,
    frontend: Annotated[
        FrontEnd, typer.Option(help="Features: log-mel (dB), or pcen, which divides steady noise away.")
    ] = "log-mel",
    slowdown: Annotated[
        int,
        typer.Option(help="Play recordings so many times slower (bats: 10); all else here is of the slowed sound."),
    ] = 1,
    fill: Annotated[
        Fill, typer.Option(help="Fill up the last segment with itself, again and again, or with silence.")
    ] = "repeat",
    waveforms: Annotated[bool, typer.Option("--waveforms", help="Keep the waveforms too, for waveform input.")] = False,
    max_seconds: Annotated[float | None, typer.Option(help="Leave out longer clips; default: as published.")] = None,
    min_clips: Annotated[
        int | None, typer.Option(min=0, help="Leave out classes with fewer usable clips; default: as published.")
    ] = None,
    pad: Annotated[
        bool, typer.Option("--pad", help="Use clips of any length from a dataset of clips of one length.")
    ] = False,
    strict: Strict = False,
    compat: Annotated[
        Compat | None,
        typer.Option(help="Fill up segments as that program does, to compare with it; metaaudio: metaaudio-training."),
    ] = None,
    workers: Workers = None,
    cluster: Cluster = None,
) -> None:
    """Prepare recordings: write log-mel features, splits and normalization numbers to a dataset folder.

    Inputs that cannot be used are listed in skipped.csv with the reason; the others are prepared.
    """
    from fewshot_audio.data.layout import DatasetFolder
    from fewshot_audio.data.prepare import prepare as prepare_dataset

    check_workers(workers, cluster)
    if cluster:  # its workers have other current folders
        source_dir, data_root = source_dir and source_dir.absolute(), data_root.absolute()
    reader = open_source(source, source_dir, seed, [path.absolute() for path in tables or ()])
    folder = DatasetFolder(data_root / check_name(default_name(reader.name, source_dir) if name is None else name))
    check_place(folder.path, reader.name, source_dir)
    with usage_errors():
        limits = replace(
            reader.limits,
            longest_seconds=reader.limits.longest_seconds if max_seconds is None else max_seconds,
            least_clips=reader.limits.least_clips if min_clips is None else min_clips,
            pad=pad,
            strict=strict,
        )
    with usage_errors():
        preprocessing = make_preprocessing(
            folder,
            hop,
            segment_seconds=reader.segment_seconds if segment_seconds is None else segment_seconds,
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            frontend=frontend,
            slowdown=slowdown,
            fill=fill,
            compat="metaaudio-training" if compat == "metaaudio" else compat or "",
        )
    check_writable(folder.skipped)
    with progress_bar() as progress:
        report = prepare_dataset(
            reader,
            folder,
            preprocessing,
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


def make_preprocessing(folder: "DatasetFolder", hop: int | None, **values: Any) -> "Preprocessing":
    """Describe how recordings become features.

    If no hop is given, it is that of an earlier preparation of the folder that is the same otherwise, so that nothing
    is computed again; else the usual one for the segment.

    Raises:
        DataError: names each wrong key, its value and what is allowed.
    """
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.audio.segments import usual_hop

    if hop is None:
        # To know the segment's length, with a hop that is right for every window, and no bound on frames.
        sizes = Preprocessing.of(**{**values, "frontend": "log-mel"}, hop_length=1)
        hop = usual_hop(sizes.segment_samples, sizes.n_fft)
        with suppress(DataError):  # a file that cannot be used is replaced
            earlier = folder.read_preprocessing()
            if earlier and earlier == Preprocessing.of(**values, hop_length=earlier.hop_length):
                return earlier
    return Preprocessing.of(**values, hop_length=hop)


def open_source(source: str, directory: Path | None, seed: int, tables: Sequence[Path] = ()) -> "Source":
    """Return the source of that name, or of "package.module:Class".

    Raises:
        BadParameter: there is no such source, its package is not named, or the folder of the recordings is missing or
            not needed.
    """
    from fewshot_audio.data.sources.registry import SOURCES

    with usage_errors("SOURCE"):
        part = SOURCES.find(source)
    if tables and part.name != "annotated":
        raise typer.BadParameter(f"--tables belongs to the source annotated, not to {source!r}")
    if part.name == "synthetic":
        if directory is not None:
            raise typer.BadParameter("synthetic sounds are made, not read: leave out --source")
        reader: Source = part.make(seed=seed)
    elif directory is None:
        raise typer.BadParameter(f"source {source!r} needs --source DIR, the folder of the recordings")
    elif part.name not in SOURCES.built_in and not directory.exists():  # those say which layout they expect
        raise typer.BadParameter(f"--source {directory}: there is no such folder")
    else:
        reader = part.make(directory, tables) if tables else part.make(directory)
    return reader


def default_name(source: str, directory: Path | None) -> str:
    """Name of the dataset folder: that of the benchmark, or the source folder's own name for class folders."""
    if source == "folder" and directory is not None:
        return directory.resolve().name
    return BENCHMARK_NAMES.get(source, source)


def check_name(name: str) -> str:
    """Return the name of a dataset folder. Raises BadParameter if it names another place, or a hidden folder."""
    if Path(name).name != name or not name.strip() or name.startswith("."):
        raise typer.BadParameter(f"--name {name!r}: expected the name of a folder in --data-root, not a path")
    return name


def check_place(folder: Path, source: str, directory: Path | None) -> None:
    """Raise BadParameter if a dataset folder is that of the recordings, or would become one of their classes."""
    if directory is None:
        return
    place, recordings = folder.resolve(), directory.resolve()
    if place == recordings or (source in ("folder", "annotated") and recordings in place.parents):
        raise typer.BadParameter(
            f"the dataset folder {folder} is in the folder of the recordings: choose another --data-root or --name"
        )


def show_report(report: "PrepareReport") -> None:
    """Print how many inputs were prepared, skipped or left out."""
    from fewshot_audio.config import PHASES

    for note in report.notes:
        print_line(note)
    if report.parts:
        rows = []
        for part in report.parts:
            stages = part.source, part.usable, part.prepared
            source, usable, prepared = (f"{count.recordings} ({count.classes})" for count in stages)
            rows.append([part.part, source, str(part.source.small), usable, str(part.usable.small), prepared])
        columns = ("", "found", "too small", "usable", "too small", "kept")
        print_table("Recordings (of classes) before and after classes that are too small were left out", columns, rows)
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
    print_line(
        f"{plural(report.inputs, 'input')}: {report.prepared} prepared"
        + (f" ({report.reused} of them earlier)" if report.reused else "")
        + (f", {sum(report.skipped.values())} skipped ({skipped}), see {report.folder.skipped}" if skipped else "")
    )
    parts = ", ".join(f"{len(report.splits[phase])} {phase}" for phase in PHASES)
    print_line(f"Classes: {parts}. Dataset folder: {report.folder.path}")
