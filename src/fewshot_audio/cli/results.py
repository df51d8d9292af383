"""An experiment's results as the commands print them."""

from typing import Any

from fewshot_audio.cli.console import accuracy_with_interval, percent, print_line, print_table
from fewshot_audio.errors import plural


def print_results(results: dict[str, Any]) -> None:
    """Print an experiment's runs and their mean."""
    rows = [
        (
            str(run["seed"] - results["config"]["experiment"]["seed"] + 1),
            str(run["seed"]),
            f"{run['best_epoch']} of {run['epochs']}",
            percent(run["val_accuracy"]),
            accuracy_with_interval(run["test"]),
            f"{run['seconds']:.0f}",
        )
        for run in results["runs"]
    ]
    test = results["runs"][0]["test"]
    tasks = plural(test["tasks"], "test task")
    title = f"{results['dataset']}: {test['n_way']}-way {test['n_shot']}-shot, {tasks} a run"
    print_table(title, ("run", "seed", "best epoch", "validation", "test (95 % interval)", "seconds"), rows)
    spread = results["std_over_runs"]
    over_runs = f", standard deviation over runs {100 * spread:.2f}" if spread is not None else ""
    pooled = {**results, "tasks": sum(run["test"]["tasks"] for run in results["runs"])}
    print_line(f"Test accuracy {accuracy_with_interval(pooled)}{over_runs}")
