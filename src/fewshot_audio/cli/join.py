"""``fewshot-audio join``: make one network out of the runs of an experiment."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.files import check_writable


@app.command()
def join(
    runs: Annotated[list[Path], typer.Argument(help="Runs' folders: experiments/<experiment_folder>/run-<i> ...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the joined run to.")],
) -> None:
    """Join the networks of runs into one that is more accurate and costs as much as all of them.

    They are of one experiment, or of several with different encoders on one dataset. The result is a run folder:
    `evaluate` and `enroll` accept it.
    """
    from fewshot_audio.experiments.ensemble import join_runs
    from fewshot_audio.experiments.run_folder import RUN_FILE

    check_writable(output / RUN_FILE)
    joined = join_runs(runs, output)
    parameters = sum(weights.numel() for weights in joined.trained_network().parameters())
    members = len(joined.model.member_names(joined.experiment.encoder_name))
    print_line(f"{output}: {members} encoders side by side, {parameters:,} parameters")
