"""``fewshot-audio evaluate``: test a trained run again, on its own tasks or on others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, percent, progress_bar, say
from fewshot_audio.cli.train import default_data_root
from fewshot_audio.errors import ConfigError


class Baseline(StrEnum):
    """``baselines.BASELINES``, spelled out: the command line loads no torch to know them."""

    log_mel = "log-mel"
    simpleshot = "simpleshot"
    linear_probe = "linear-probe"


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="A run's folder: experiments/<experiment_folder>/run-<i>.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder of the dataset folders.")] = None,
    n_way: Annotated[int | None, typer.Option(min=2, help="Classes of a task.")] = None,
    n_shot: Annotated[int | None, typer.Option(min=1, help="Support clips per class.")] = None,
    n_query: Annotated[int | None, typer.Option(min=1, help="Query clips per class.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Number of tasks.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset's test classes.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    untrained: Annotated[bool, typer.Option("--untrained", help="The weights that the run started from.")] = False,
    baseline: Annotated[
        Baseline | None, typer.Option(help="A baseline instead: of log-mel statistics, or on the trained encoder.")
    ] = None,
    fresh_views: Annotated[
        bool, typer.Option("--fresh-views", help="Draw test-time views anew for every task: slow; else from a pool.")
    ] = False,
    open_set: Annotated[
        bool, typer.Option("--open-set", help="Test it as a recognizer: calibration, and sounds that are unknown.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers there too.")] = None,
) -> None:
    """Test a run's network on test tasks."""
    if open_set:
        from fewshot_audio.cli.open_set import evaluate_open_set

        if untrained or baseline or n_query is not None:
            raise ConfigError("--open-set judges every clip with the trained network: no other system, no --n-query")
        evaluate_open_set(run_dir, data_root, n_way, n_shot, tasks, dataset, device, json_file)
        return
    from fewshot_audio.config import ExperimentConfig, validate
    from fewshot_audio.experiments.evaluate_run import evaluate_run
    from fewshot_audio.experiments.run_folder import Run
    from fewshot_audio.files import write_json

    run = Run.read(run_dir)
    given = {
        "n_way_test": n_way,
        "n_shot_test": n_shot,
        "n_query_test": n_query,
        "n_testing_tasks": tasks,
        "dataset_name": dataset,
        "device": device,
    }
    if untrained and baseline:
        raise ConfigError("--untrained and --baseline: choose one")
    system = "untrained" if untrained else baseline.value if baseline else "network"
    changes = {key: value for key, value in given.items() if value is not None}
    experiment = validate(ExperimentConfig, run.experiment.model_dump() | changes, "evaluate")
    root = data_root or Path(experiment.data_root or default_data_root)
    with progress_bar() as progress:
        result = evaluate_run(run, root, experiment, system=system, fresh_views=fresh_views, progress=progress)
    if json_file:
        write_json(json_file, result)
    state = {"network": "trained"}.get(system, system)
    say(
        f"{result['dataset']}: {result['n_way']}-way {result['n_shot']}-shot, {result['tasks']} tasks of "
        f"{result['n_query']} queries per class, {state}: {percent(result['accuracy'], result['ci95'])}",
    )
