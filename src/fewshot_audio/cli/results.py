"""An experiment's results as the commands print them."""

from typing import Any

from fewshot_audio.cli.console import percent, print_line, print_table


def print_results(results: dict[str, Any]) -> None:
    """Print an experiment's runs and their mean."""
    rows = [
        (
            str(run["seed"] - results["config"]["experiment"]["seed"] + 1),
            str(run["seed"]),
            f"{run['best_epoch']} of {run['epochs']}",
            percent(run["val_accuracy"]),
            percent(run["test"]["accuracy"], run["test"]["ci95"]),
            f"{run['seconds']:.0f}",
        )
        for run in results["runs"]
    ]
    test = results["runs"][0]["test"]
    title = f"{results['dataset']}: {test['n_way']}-way {test['n_shot']}-shot, {test['tasks']} test tasks a run"
    print_table(title, ("run", "seed", "best epoch", "validation", "test (95 % interval)", "seconds"), rows)
    spread = results["std_over_runs"]
    over_runs = f", standard deviation over runs {100 * spread:.2f}" if spread is not None else ""
    print_line(f"Test accuracy {percent(results['accuracy'], results['ci95'])}{over_runs}")
