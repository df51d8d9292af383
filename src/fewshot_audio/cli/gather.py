"""``fewshot-audio gather``: collect the runs of one experiment that several machines made."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.cli.results import print_results
from fewshot_audio.files import check_writable


@app.command()
def gather(
    folders: Annotated[list[Path], typer.Argument(help="Experiment folders, each with some of the runs.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Experiment folder to collect them in; may be one of them.")
    ],
) -> None:
    """Collect the runs of one experiment from the folders of several machines (`train --runs`) and summarize them."""
    from fewshot_audio.experiments.gather_runs import gather_runs
    from fewshot_audio.experiments.results import RESULTS_FILE

    check_writable(output / RESULTS_FILE)
    print_results(gather_runs(folders, output))
    print_line(f"Results: {output / RESULTS_FILE}")
