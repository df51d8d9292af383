"""``fewshot-audio report``: an HTML page about one experiment, or about several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, progress_bar
from fewshot_audio.cli.options import DataRoot
from fewshot_audio.files import check_writable


@app.command()
def report(
    experiments: Annotated[list[Path], typer.Argument(help="Experiment folders: experiments/<experiment_folder>.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    data_root: DataRoot = None,
    plots: Annotated[Path | None, typer.Option(help="Folder to write each plot to as well, as PNG and SVG.")] = None,
) -> None:
    """Write a self-contained HTML report: curves, classes, confusions, shots, embeddings, calibration, examples."""
    from fewshot_audio.studies.report import write_report

    paths = [folder.resolve() for folder in experiments]
    for folder, path in zip(experiments, paths, strict=True):
        if paths.count(path) > 1:
            raise typer.BadParameter(f"{folder}: this experiment is given more than once")
        if [other.name for other in paths].count(path.name) > 1:
            raise typer.BadParameter(f"{folder}: another experiment has the same name: rename one of the folders")
    check_writable(output)
    if plots:
        check_writable(plots / "plot.svg")
    with progress_bar() as progress:
        write_report(experiments, data_root, output, plots, progress)
    print_line(f"Report: {output}")
    if plots:
        print_line(f"Plots: {plots}")
