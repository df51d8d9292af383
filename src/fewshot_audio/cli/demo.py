"""``fewshot-audio demo``: prepare, train and test once, on synthetic sounds."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.configs import configs
from fewshot_audio.cli.console import percent, print_line, print_table, progress_bar
from fewshot_audio.cli.prepare import prepare
from fewshot_audio.cli.train import train

# Chosen on the validation classes of the synthetic sounds, to take a minute or two on two cores.
EXPERIMENT = "synthetic"
SETTINGS = (
    "num_runs=1",
    "num_epochs=8",
    "n_training_tasks=60",
    "lr=0.001",
    "scheduler_milestones=[6]",
    "n_testing_tasks=1000",
    f"experiment_folder={EXPERIMENT}",
)


@app.command()
def demo(output: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo")) -> None:
    """Prepare synthetic sounds, train, test, and compare with the same network untrained."""
    from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE
    from fewshot_audio.experiments.evaluate_run import evaluate_run
    from fewshot_audio.experiments.run_folder import Run

    data, files, experiments = output / "data", output / "config", output / "experiments"
    prepare("synthetic", data_root=data)
    configs("synthetic", files, scenario=1)
    results = train(
        files / EXPERIMENT_FILE,
        files / MODEL_CONFIG_FILE,
        data_root=data,
        overrides=list(SETTINGS),
        overwrite=True,
        output=experiments,
    )
    run = Run.read(experiments / EXPERIMENT / "run-1")
    with progress_bar() as progress:
        untrained = evaluate_run(run, data, run.experiment, system="untrained", progress=progress)
    trained = results["runs"][0]["test"]
    rows = [
        ("untrained", percent(untrained["accuracy"], untrained["ci95"])),
        ("trained", percent(trained["accuracy"], trained["ci95"])),
    ]
    print_table(
        f"The same {trained['tasks']} test tasks, 5-way 5-shot, classes never trained on", ("network", "accuracy"), rows
    )
    print_line(f"Dataset: {data / 'synthetic'}")
    print_line(f"Configs: {files}   (edit them, then `fewshot-audio train -e ... -m ...`)")
    print_line(f"Run (weights, metrics, TensorBoard): {run.folder}")
