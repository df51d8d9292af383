"""``fewshot-audio report``: one page about an experiment, or about several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, progress_bar, say
from fewshot_audio.cli.train import default_data_root


@app.command()
def report(
    experiments: Annotated[list[Path], typer.Argument(help="Experiment folders: experiments/<experiment_folder>.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path("report.html"),
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset folders.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for each plot as PNG and SVG too.")] = None,
) -> None:
    """Write a self-contained HTML report: curves, classes, confusions, shots, embeddings, calibration, examples."""
    from fewshot_audio.studies.report import write_report

    with progress_bar() as progress:
        write_report(experiments, data_root or Path(default_data_root), output, plots, progress)
    say(f"Report: {output}")
    if plots:
        say(f"Plots: {plots}")
