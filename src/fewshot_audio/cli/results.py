"""``fewshot-audio results``: tables of experiments' results; and how other commands print those of one experiment."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import accuracy_with_interval, percent, print_line, print_table
from fewshot_audio.errors import on_one_line, plural
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.experiments.results import ExperimentResults


def print_results(results: "ExperimentResults") -> None:
    """Print an experiment's runs and their mean."""
    rows = [
        (
            str(run.seed - results.experiment.seed + 1),
            str(run.seed),
            f"{run.kept_epoch} of {run.epochs}",
            "-" if run.val_accuracy is None else percent(run.val_accuracy),
            accuracy_with_interval(run.test.accuracy, run.test.ci95, run.test.tasks),
            f"{run.seconds:.0f}",
        )
        for run in results.runs
    ]
    test = results.runs[0].test
    tasks = plural(test.tasks, "test task")
    title = f"{results.dataset}: {test.n_way}-way {test.n_shot}-shot, {tasks} a run"
    print_table(title, ("run", "seed", "kept epoch", "validation", "test (95 % interval)", "seconds"), rows)
    spread = results.std_over_runs
    over_runs = f", standard deviation over runs {100 * spread:.2f}" if spread is not None else ""
    pooled = accuracy_with_interval(results.accuracy, results.ci95, sum(run.test.tasks for run in results.runs))
    print_line(f"Test accuracy {pooled}{over_runs}")


@app.command()
def results(
    experiments: Annotated[list[Path], typer.Argument(help="Experiment folders: experiments/<experiment_folder>.")],
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a tidy table, one row a run, to this file.")
    ] = None,
    latex_file: Annotated[
        Path | None, typer.Option("--latex", help="Write a LaTeX table, one row an experiment, to this file.")
    ] = None,
) -> None:
    """Print the results of finished experiments side by side; write them as CSV or LaTeX.

    The LaTeX table needs the package booktabs.
    """
    from fewshot_audio.config.frozen import in_words
    from fewshot_audio.experiments.results import read_experiment_results
    from fewshot_audio.experiments.results_table import result_rows, results_csv
    from fewshot_audio.files import write_text
    from fewshot_audio.studies.tables import latex_table

    for file in (csv_file, latex_file):
        if file:
            check_writable(file)
    read = [(on_one_line(folder.absolute().name), read_experiment_results(folder)) for folder in experiments]
    columns = ("experiment", "dataset", "algorithm", "encoder", "task", "runs", "accuracy %")
    cells = [
        (
            name,
            one.dataset,
            one.experiment.algorithm.name,
            in_words(one.experiment.encoder_name),
            f"{one.runs[0].test.n_way}-way {one.runs[0].test.n_shot}-shot",
            str(len(one.runs)),
            f"{100 * one.accuracy:.2f} ± {100 * one.ci95:.2f}",
        )
        for name, one in read
    ]
    # Without the encoder, so that a table of usual names fits a terminal; the files have it.
    shown = [number for number, column in enumerate(columns) if column != "encoder"]
    rows = [tuple(row[number] for number in shown) for row in (columns, *cells)]
    print_table("Mean over runs, with its 95 % interval over their pooled tasks", rows[0], rows[1:])
    if csv_file:
        write_text(csv_file, results_csv([row for name, one in read for row in result_rows(name, one)]))
        print_line(f"Wrote {csv_file}")
    if latex_file:
        write_text(latex_file, latex_table(columns, cells))
        print_line(f"Wrote {latex_file}")
