"""An experiment's results as the commands print them."""

from typing import TYPE_CHECKING

from fewshot_audio.cli.console import accuracy_with_interval, percent, print_line, print_table
from fewshot_audio.errors import plural

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
