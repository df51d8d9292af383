"""``fewshot-audio crossval``: compare recipes without looking at a test class."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, progress_bar, say
from fewshot_audio.cli.train import default_data_root


@app.command()
def crossval(
    experiment: Annotated[Path, typer.Option("-e", "--experiment", help="Experiment file (JSON) of the base.")],
    model: Annotated[Path, typer.Option("-m", "--model", help="Model file (JSON) of the base.")],
    candidates: Annotated[Path, typer.Option(help='JSON list of {"name": ..., "set": {"dotted.key": value}}.')],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the dataset folders; before the config's data_root.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value, over the base's files.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts that the classes are dealt into.")] = 5,
    fold_seed: Annotated[int, typer.Option(min=0, help="Seed of that deal.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a training; default the base's.")] = None,
    halving: Annotated[
        str | None, typer.Option(help="Rungs of folds x epochs, such as 2x10,5x10,5x40, instead of --epochs.")
    ] = None,
    keep: Annotated[float, typer.Option(help="Share of the candidates that passes a rung.")] = 0.5,
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings on each fold, such as 0,1.")] = "0",
    shots: Annotated[str, typer.Option(help="Shots of the tasks; the first decides.")] = "5,1",
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of a fold and shot.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, which share out the cores.")] = 1,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("crossval"),
) -> None:
    """Compare candidates by class-wise cross-validation inside the training and validation classes.

    Started again it goes on where it stopped; started several times it shares the work.
    """
    from fewshot_audio.config import read_configs
    from fewshot_audio.engine.train import Interrupted
    from fewshot_audio.errors import ConfigError
    from fewshot_audio.studies.crossval import (
        TABLE_FILE,
        Protocol,
        Rung,
        cross_validate,
        make_plan,
        markdown,
        parse_rungs,
        read_candidates,
    )

    base, base_model = read_configs(experiment, model, overrides or [])
    protocol = Protocol(folds, fold_seed, _numbers("--seeds", seeds), _numbers("--shots", shots), tasks, keep)
    if halving is not None and epochs is not None:
        raise ConfigError("--halving names its own epochs: give it without --epochs")
    rungs = parse_rungs(halving) if halving is not None else (Rung(folds, epochs or base.num_epochs),)
    root = data_root or Path(base.data_root or default_data_root)
    try:
        with progress_bar() as progress:
            listed = read_candidates(candidates, base, base_model)
            plan = make_plan(output, root, listed, rungs, protocol, progress)
            summary = cross_validate(plan, workers, progress)
    except (KeyboardInterrupt, Interrupted):
        say("Stopped; every finished training and epoch is kept: the same command goes on.", errors)
        raise typer.Exit(INTERRUPTED) from None
    say(markdown(summary))
    say(f"Table: {output / TABLE_FILE}")


def _numbers(option: str, text: str) -> tuple[int, ...]:
    from fewshot_audio.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{option} {text!r}: expected whole numbers with commas between them")
    return tuple(map(int, parts))
