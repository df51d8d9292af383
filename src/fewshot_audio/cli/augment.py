"""``fewshot-audio augment``: the views of a recording as sounds and as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.cli.options import Overrides
from fewshot_audio.errors import DataError, plural
from fewshot_audio.files import check_writable


@app.command()
def augment(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the wavs and the picture.")],
    experiment: Annotated[
        Path | None, typer.Option("-e", "--experiment", help="Experiment file; default: the documented parameters.")
    ] = None,
    overrides: Overrides = None,
    dataset: Annotated[
        Path | None,
        typer.Option(help="Dataset folder whose waveform statistics the views use; default: those of the recording."),
    ] = None,
    segment: Annotated[int, typer.Option(min=0, help="Number of the segment in the recording, from 0.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random parameters.")] = 0,
) -> None:
    """Write every view of one segment as a wav, and one picture of the spectrograms of all views."""
    import torch

    from fewshot_audio.audio.augment.preview import preview_views, write_views
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.config.load import read_experiment
    from fewshot_audio.config.presets import scenario_configs
    from fewshot_audio.data.joint import DatasetFolders
    from fewshot_audio.data.layout import DatasetFolder

    if experiment is None and overrides:
        raise typer.BadParameter("--set changes keys of an experiment file: give one with -e")
    check_writable(output / f"{file.stem}_views.png")
    config = read_experiment(experiment, overrides or []) if experiment else scenario_configs("augment", 2)[0]
    preprocessing, stats = Preprocessing(), None
    if dataset:
        folder = DatasetFolder(dataset)
        if not dataset.is_dir():
            raise DataError(f"{dataset}: no such folder; expected a dataset folder, ROOT/NAME")
        folders = DatasetFolders((folder,))
        stats = folders.read_wave_stats()
        if stats is None:
            raise DataError(
                f"{dataset} has no waveform statistics ({folder.wave_stats.name}): prepare it with --waveforms, or "
                "leave out --dataset to use those of the recording"
            )
        preprocessing = folders.read_preprocessing() or preprocessing
    segments = preprocessing.segments(preprocessing.load(file))
    if segment >= len(segments):
        raise DataError(
            f"{file}: --segment is {segment}, but the recording has {plural(len(segments), 'segment')} (numbers from 0)"
        )
    waveform = torch.from_numpy(segments[segment])
    views = preview_views(waveform, preprocessing, config.specaug_params, config.waveaug_params, stats, seed)
    for path in write_views(views, output, file.stem, preprocessing):
        print_line(str(path))
