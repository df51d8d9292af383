"""``fewshot-audio demo``: the whole way once, on synthetic sounds."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, percent, progress_bar, say, table
from fewshot_audio.cli.configs import Encoder, Loss, configs
from fewshot_audio.cli.prepare import SourceName, prepare
from fewshot_audio.cli.train import run_training

# Chosen on the validation classes of the synthetic sounds, for a job of a minute or two on two cores.
SETTINGS = (
    "num_runs=1",
    "num_epochs=8",
    "n_training_tasks=60",
    "lr=0.001",
    "scheduler_milestones=[6]",
    "n_testing_tasks=1000",
    'experiment_folder="synthetic"',
)


@app.command()
def demo(output: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo")) -> None:
    """Prepare synthetic sounds, train, test, and compare with the same network untrained."""
    from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE
    from fewshot_audio.experiments.evaluate_run import evaluate_run
    from fewshot_audio.experiments.run_folder import Run

    data, files, experiments = output / "data", output / "config", output / "experiments"
    prepare(SourceName.synthetic, data_root=data)
    configs("synthetic", files, scenario=1, loss=Loss.cpl, encoder=Encoder.Hybrid)
    results = run_training(
        files / EXPERIMENT_FILE, files / MODEL_CONFIG_FILE, data, list(SETTINGS), False, True, experiments
    )
    run = Run.read(experiments / json.loads(SETTINGS[-1].partition("=")[2]) / "run-1")
    with progress_bar() as progress:
        untrained = evaluate_run(run, data, run.experiment, system="untrained", progress=progress)
    trained = results["runs"][0]["test"]
    rows = [
        ("untrained", percent(untrained["accuracy"], untrained["ci95"])),
        ("trained", percent(trained["accuracy"], trained["ci95"])),
    ]
    table(
        f"The same {trained['tasks']} test tasks, 5-way 5-shot, classes never trained on", ("network", "accuracy"), rows
    )
    say(f"Dataset: {data / 'synthetic'}")
    say(f"Configs: {files}   (edit them, then `fewshot-audio train -e ... -m ...`)")
    say(f"Run (weights, metrics, TensorBoard): {run.folder}")
