"""``fewshot-audio gather``: put together the runs of one experiment that several machines made."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, say
from fewshot_audio.cli.train import show_results


@app.command()
def gather(
    folders: Annotated[list[Path], typer.Argument(help="Experiment folders, each with some of the runs.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Experiment folder that takes them; may be one of them.")
    ],
) -> None:
    """Gather the runs of one experiment from the folders of several machines (`train --runs`), and sum them up."""
    from fewshot_audio.experiments.folder import RESULTS_FILE
    from fewshot_audio.experiments.folder import gather as gather_runs

    show_results(gather_runs(folders, output))
    say(f"Results: {output / RESULTS_FILE}")
