"""``fewshot-audio augment``: hear and see the views of a recording."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, say


@app.command()
def augment(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the wavs and the picture.")],
    experiment: Annotated[
        Path | None, typer.Option("-e", "--experiment", help="Experiment file; default: the documented parameters.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value, over the file.")] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset folder whose statistics waveform views adapt to; default: the file's.")
    ] = None,
    segment: Annotated[int, typer.Option(min=0, help="Which segment of the recording, from 0.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Write every view of one segment as a wav, and one picture of all views' spectrograms."""
    import torch

    from fewshot_audio.audio.augment.preview import make_all_views, write_views
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.audio.rejection import Rejected
    from fewshot_audio.audio.wave_stats import read_wave_stats
    from fewshot_audio.config.load import read_experiment
    from fewshot_audio.config.presets import scenario_configs
    from fewshot_audio.data.layout import DatasetFolder
    from fewshot_audio.errors import ConfigError, DataError

    if experiment is None and overrides:
        raise ConfigError("--set changes keys of an experiment file: give one with -e")
    config = read_experiment(experiment, overrides or []) if experiment else scenario_configs("augment", 2)[0]
    folder = DatasetFolder(dataset) if dataset else None
    stats = read_wave_stats(folder.wave_stats) if folder else None
    known = folder is not None and folder.preprocessing.is_file()
    preprocessing = Preprocessing.from_json(folder.preprocessing.read_text()) if folder and known else Preprocessing()
    try:
        segments = preprocessing.segments(preprocessing.load(file))
    except Rejected as error:
        raise DataError(f"{file}: {error}") from error
    if segment >= len(segments):
        raise DataError(f"{file}: has {len(segments)} segments, --segment {segment} is not one of them")
    waveform = torch.from_numpy(segments[segment])
    views = make_all_views(waveform, preprocessing, config.specaug_params, config.waveaug_params, stats, seed)
    for path in write_views(views, output, file.stem, preprocessing):
        say(str(path))
