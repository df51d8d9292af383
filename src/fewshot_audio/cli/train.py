"""``fewshot-audio train``: the main job."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, percent, progress_bar, say, table

default_data_root = "data"  # src/train_test.py puts its own variable here


@app.command()
def train(
    experiment: Annotated[Path, typer.Option("-e", "--experiment", help="Experiment file (JSON).")],
    model: Annotated[Path, typer.Option("-m", "--model", help="Model file (JSON).")],
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the dataset folders; before the config's data_root.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value, over the files.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this experiment was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete this experiment's former results.")] = False,
    output: Annotated[Path, typer.Option(help="Folder of the experiment folders.")] = Path("experiments"),
) -> None:
    """Meta-train a few-shot network on episodes and test it, as two JSON files describe."""
    run_training(experiment, model, data_root, overrides or [], resume, overwrite, output)


def run_training(
    experiment_file: Path,
    model_file: Path,
    data_root: Path | None,
    overrides: list[str],
    resume: bool,
    overwrite: bool,
    output: Path,
) -> dict[str, Any]:
    """Run an experiment and print its results; the data root is ``data_root``, else the config's, else the default."""
    from fewshot_audio.config import read_configs

    experiment, model = read_configs(experiment_file, model_file, overrides)
    from fewshot_audio.experiment import RESULTS_FILE, run_experiment
    from fewshot_audio.train import Interrupted

    root = data_root or Path(experiment.data_root or default_data_root)
    folder = output / experiment.experiment_folder
    try:
        with progress_bar() as progress:
            results = run_experiment(
                experiment, model, root, output, resume=resume, overwrite=overwrite, progress=progress
            )
    except (KeyboardInterrupt, Interrupted):
        command = ["fewshot-audio", "train", "-e", str(experiment_file), "-m", str(model_file)]
        command += ["--data-root", str(root), "--output", str(output)]
        for override in overrides:
            command += ["--set", override]
        say("Stopped; every finished epoch is kept. Go on with:", errors)
        say(f"  {shlex.join([*command, '--resume'])}", errors)
        raise typer.Exit(INTERRUPTED) from None
    show_results(results)
    say(f"Results: {folder / RESULTS_FILE}")
    return results


def show_results(results: dict[str, Any]) -> None:
    """Print an experiment's runs and their mean."""
    rows = [
        (
            str(number),
            str(run["seed"]),
            f"{run['best_epoch']} of {run['epochs']}",
            percent(run["val_accuracy"]),
            percent(run["test"]["accuracy"], run["test"]["ci95"]),
            f"{run['seconds']:.0f}",
        )
        for number, run in enumerate(results["runs"], start=1)
    ]
    test = results["runs"][0]["test"]
    title = f"{results['dataset']}: {test['n_way']}-way {test['n_shot']}-shot, {test['tasks']} test tasks a run"
    table(title, ("run", "seed", "best epoch", "validation", "test (95 % interval)", "seconds"), rows)
    spread = results["std_over_runs"]
    over_runs = f", standard deviation over runs {100 * spread:.2f}" if spread is not None else ""
    say(f"Test accuracy {percent(results['accuracy'], results['ci95'])}{over_runs}")
