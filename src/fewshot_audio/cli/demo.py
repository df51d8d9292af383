"""``fewshot-audio demo``: prepare, train and test once, on synthetic sounds."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.configs import configs
from fewshot_audio.cli.console import accuracy_with_interval, print_line, print_table, progress_bar
from fewshot_audio.cli.prepare import prepare
from fewshot_audio.cli.train import train
from fewshot_audio.errors import DataError, format_names
from fewshot_audio.files import check_writable

# Chosen on the validation classes of the synthetic sounds, to take a minute on two cores. Spectrograms are the smallest
# that four poolings by 3 allow, 81 x 81: half of the work of the usual ones, with the same accuracy.
EXPERIMENT = "synthetic"
MELS, HOP = 81, 600
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
    from fewshot_audio.experiments.results import read_experiment_results
    from fewshot_audio.experiments.run_folder import Run

    data, files, experiments = output / "data", output / "config", output / "experiments"
    _check_output(output)
    prepare("synthetic", data_root=data, n_mels=MELS, hop=HOP)
    configs("synthetic", files, scenario=1)
    train(
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
    trained = read_experiment_results(experiments / EXPERIMENT).runs[0].test
    rows = [
        (name, accuracy_with_interval(test.accuracy, test.ci95, test.tasks))
        for name, test in (("untrained", untrained), ("trained", trained))
    ]
    print_table(
        f"The same {trained.tasks} test tasks, 5-way 5-shot, classes never trained on", ("network", "accuracy"), rows
    )
    print_line(f"Dataset: {data / 'synthetic'}")
    print_line(f"Run (weights, metrics, TensorBoard): {run.folder}")
    pair = ["-e", files / EXPERIMENT_FILE, "-m", files / MODEL_CONFIG_FILE]
    words = [_program(), "train", *pair, "--data-root", data, "--output", experiments]
    print_line(f"Configs: {files}; edit them, then train again:")
    print_line(f"  {shlex.join(map(str, words))}")


def _check_output(output: Path) -> None:
    """Raise DataError for a folder that holds anything but what a former demo made."""
    check_writable(output / EXPERIMENT)
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    if names and not (names <= {"data", "config", "experiments"} and (output / "data" / EXPERIMENT).is_dir()):
        raise DataError(
            f"{output} holds something else than a demo ({format_names(sorted(names))}): choose another folder with "
            "--output"
        )


def _program() -> str:
    """How to call this program: by its name, or where a virtual environment that is not active has it."""
    if shutil.which("fewshot-audio"):
        return "fewshot-audio"
    script = Path(sys.executable).with_name("fewshot-audio")
    if not script.is_file():
        return "fewshot-audio"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)
