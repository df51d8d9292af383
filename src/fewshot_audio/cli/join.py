"""``fewshot-audio join``: make one network of the runs of an experiment."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, say


@app.command()
def join(
    runs: Annotated[list[Path], typer.Argument(help="Runs' folders: experiments/<experiment_folder>/run-<i> ...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the joined run to.")],
) -> None:
    """Join runs' networks into one that is more accurate and costs as much as they do together.

    The folder that is written is a run's: `evaluate` and `enroll` take it.
    """
    from fewshot_audio.experiments.ensemble import join_runs

    joined = join_runs(runs, output)
    parameters = sum(weights.numel() for weights in joined.trained_network().parameters())
    say(f"{output}: {joined.model.members} encoders side by side, {parameters:,} parameters")
