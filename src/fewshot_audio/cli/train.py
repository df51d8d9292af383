"""``fewshot-audio train``: the main job."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, percent, progress_bar, say, table
from fewshot_audio.progress import silent

default_data_root = "data"  # src/train_test.py puts its own variable here
command = ["fewshot-audio", "train"]  # and here how it was called


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
    runs: Annotated[
        str | None, typer.Option(help="Do only these runs, such as 3 or 1-2,5; `gather` puts machines' runs together.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Processes on each machine, a GPU each, that train together.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together.")] = 1,
) -> None:
    """Meta-train a few-shot network on episodes and test it, as two JSON files describe."""
    chosen = _numbers(runs) if runs is not None else None
    run_training(experiment, model, data_root, overrides or [], resume, overwrite, output, chosen, devices, nodes)


def _numbers(runs: str) -> list[int]:
    """Read "1-2,5" as [1, 2, 5]."""
    known = re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", runs)
    numbers: set[int] = set()
    for part in runs.split(",") if known else ():
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    if not numbers:
        raise typer.BadParameter(f"{runs!r}: expected numbers and ranges of runs, such as 3 or 1-2,5")
    return sorted(numbers)


def run_training(
    experiment_file: Path,
    model_file: Path,
    data_root: Path | None,
    overrides: list[str],
    resume: bool,
    overwrite: bool,
    output: Path,
    runs: list[int] | None = None,
    devices: int = 1,
    nodes: int = 1,
) -> dict[str, Any]:
    """Run an experiment and print its results; the data root is ``data_root``, else the config's, else the default."""
    from fewshot_audio.config import read_configs

    experiment, model = read_configs(experiment_file, model_file, overrides)
    from fewshot_audio.engine.train import Interrupted
    from fewshot_audio.experiments.folder import RESULTS_FILE
    from fewshot_audio.experiments.run_experiment import run_experiment
    from fewshot_audio.runtime.distributed import launched

    root = data_root or Path(experiment.data_root or default_data_root)
    folder = output / experiment.experiment_folder
    leads = True
    try:
        with launched(experiment, devices, nodes) as ranks:
            leads = ranks.leads
            with progress_bar() as progress:
                results = run_experiment(
                    experiment,
                    model,
                    root,
                    output,
                    resume=resume,
                    overwrite=overwrite,
                    runs=runs,
                    ranks=ranks,
                    progress=progress if leads else silent,
                )
    except (KeyboardInterrupt, Interrupted):
        if leads:
            line = [*command, "-e", str(experiment_file), "-m", str(model_file)]
            line += ["--data-root", str(root), "--output", str(output)]
            line += ["--runs", ",".join(map(str, runs))] if runs else []
            line += ["--devices", str(devices)] if devices > 1 else []
            line += ["--nodes", str(nodes)] if nodes > 1 else []
            for override in overrides:
                line += ["--set", override]
            say("Stopped; every finished epoch is kept. Go on with:", errors)
            say(f"  {shlex.join([*line, '--resume'])}", errors)
        raise typer.Exit(INTERRUPTED) from None
    if not leads:
        raise typer.Exit
    show_results(results)
    say(f"Results: {folder / RESULTS_FILE}")
    return results


def show_results(results: dict[str, Any]) -> None:
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
    table(title, ("run", "seed", "best epoch", "validation", "test (95 % interval)", "seconds"), rows)
    spread = results["std_over_runs"]
    over_runs = f", standard deviation over runs {100 * spread:.2f}" if spread is not None else ""
    say(f"Test accuracy {percent(results['accuracy'], results['ci95'])}{over_runs}")
