"""``fewshot-audio evaluate``: test a trained run again, on its own tasks or on other ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import accuracy_with_interval, print_line, progress_bar
from fewshot_audio.cli.options import DataRoot, Device, JsonFile, find_data_root
from fewshot_audio.cli.stress import StressOptions, print_stress
from fewshot_audio.errors import plural
from fewshot_audio.files import check_writable

# The names of `engine.baselines.BASELINES`, which needs torch.
Baseline: TypeAlias = Literal["log-mel", "simpleshot", "linear-probe"]


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(help="A run's folder: experiments/<experiment_folder>/run-<i>.")],
    data_root: DataRoot = None,
    n_way: Annotated[int | None, typer.Option(min=2, help="Classes of a task.")] = None,
    n_shot: Annotated[int | None, typer.Option(min=1, help="Support clips per class.")] = None,
    n_query: Annotated[int | None, typer.Option(min=1, help="Query clips per class.")] = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Number of tasks.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset's test classes.")] = None,
    device: Device = "auto",
    untrained: Annotated[bool, typer.Option("--untrained", help="Test the weights that the run started from.")] = False,
    baseline: Annotated[
        Baseline | None, typer.Option(help="Test a baseline: of log-mel statistics, or on the trained encoder.")
    ] = None,
    fresh_views: Annotated[
        bool,
        typer.Option(
            "--fresh-views",
            help="Draw new test-time views for every task, which is slow, instead of taking them from a pool.",
        ),
    ] = False,
    open_set: Annotated[
        bool, typer.Option("--open-set", help="Test it as a recognizer: its calibration, and unknown sounds.")
    ] = False,
    shots: Annotated[
        str | None, typer.Option(help="Stress: test with each of these numbers of support clips, such as 1,2,5,10,20.")
    ] = None,
    noisy_labels: Annotated[
        str | None, typer.Option(help="Stress: test with these shares of wrong support labels, such as 0,0.2,0.4.")
    ] = None,
    class_incremental: Annotated[
        int | None, typer.Option(min=1, help="Stress: add this many test classes at a time, until all are there.")
    ] = None,
    degrade: Annotated[
        str | None, typer.Option(help="Stress: degrade the queries' waveforms, by some of codec,band,room,gain,clip.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="Stress: the support of each class over a background; queries over the same (noisy), over that of "
            "another class (swap) or over none (clean)."
        ),
    ] = None,
    snr: Annotated[str | None, typer.Option(help="Ratios of sound to --background, dB; default: 0,10.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Test a run's network on test tasks."""
    if open_set and (untrained or baseline or n_query is not None):
        raise typer.BadParameter(
            "--open-set tests the trained network, with every clip that is not enrolled as a query: "
            "no other system, no --n-query"
        )
    if untrained and baseline:
        raise typer.BadParameter("--untrained and --baseline: choose one")
    stress = StressOptions(shots, noisy_labels, class_incremental, degrade, background, snr)
    if stress.given and (untrained or baseline or open_set or fresh_views):
        raise typer.BadParameter(
            "stress tests are of the trained network: no --untrained, --baseline, --open-set or --fresh-views"
        )
    stress.check(n_way, n_shot)
    if json_file:
        check_writable(json_file)

    from fewshot_audio.experiments.run_folder import Run

    run = Run.read(run_dir)
    root = find_data_root(data_root, run.experiment.data_root)
    if open_set:
        from fewshot_audio.cli.open_set import print_open_set

        print_open_set(run_dir, root, n_way, n_shot, tasks, dataset, device, json_file)
        return

    from fewshot_audio.config import ExperimentConfig, validate
    from fewshot_audio.experiments.evaluate_run import evaluate_run
    from fewshot_audio.files import write_json

    options = {
        "n_way_test": n_way,
        "n_shot_test": n_shot,
        "n_query_test": n_query,
        "n_testing_tasks": tasks,
        "dataset_name": dataset,
        "device": device,
    }
    system = "untrained" if untrained else baseline or "network"
    changes = {key: value for key, value in options.items() if value is not None}
    experiment = validate(ExperimentConfig, run.experiment.model_dump() | changes, "evaluate")
    if stress.given:
        print_stress(run, root, experiment, stress.plan(), json_file)
        return
    with progress_bar() as progress:
        result = evaluate_run(run, root, experiment, system=system, fresh_views=fresh_views, progress=progress)
    if json_file:
        write_json(json_file, asdict(result))
    name = "trained" if system == "network" else system
    print_line(
        f"{result.dataset}: {result.n_way}-way {result.n_shot}-shot, {plural(result.tasks, 'task')} of "
        f"{result.n_query} {'query' if result.n_query == 1 else 'queries'} per class, {name}: "
        f"{accuracy_with_interval(result.accuracy, result.ci95, result.tasks)}"
    )
