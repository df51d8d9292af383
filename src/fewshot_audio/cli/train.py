"""``fewshot-audio train``: the main job."""

import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import (
    DATA_ROOT,
    EXPERIMENTS,
    DataRoot,
    ExperimentFile,
    LoggerName,
    ModelFile,
    Overrides,
    find_data_root,
)
from fewshot_audio.cli.results import print_results
from fewshot_audio.files import check_writable
from fewshot_audio.progress import Progress, silent

# src/train_test.py sets these two: its own data root, and how it was called.
default_data_root = str(DATA_ROOT)
command = ["fewshot-audio", "train"]


@app.command()
def train(
    experiment_file: ExperimentFile,
    model_file: ModelFile,
    data_root: DataRoot = None,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where this experiment was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete this experiment's former results.")] = False,
    output: Annotated[Path, typer.Option(help="Folder that holds the experiment folders.")] = EXPERIMENTS,
    runs: Annotated[
        str | None, typer.Option(help="Do only these runs, such as 3 or 1-2,5; `gather` collects them from machines.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Processes on each machine that train together, each on its own GPU.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together.")] = 1,
    logger: Annotated[LoggerName, typer.Option(help="Where curves are logged, beside metrics.csv.")] = "tensorboard",
) -> None:
    """Meta-train a few-shot network on episodes and test it, as two JSON files describe.

    Without a terminal, a line is logged for each epoch.
    """
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps former results and --overwrite deletes them: choose one")
    numbers = _run_numbers(runs) if runs is not None else None
    from fewshot_audio.config import read_configs
    from fewshot_audio.config.plugins import named_packages

    experiment, model = read_configs(experiment_file, model_file, overrides or ())
    from fewshot_audio.errors import Interrupted
    from fewshot_audio.experiments.results import RESULTS_FILE
    from fewshot_audio.experiments.run_experiment import run_experiment
    from fewshot_audio.runtime.distributed import launch_ranks

    root = find_data_root(data_root, experiment.data_root, default_data_root)
    is_rank_zero = True
    try:
        with launch_ranks(experiment.device, experiment.gpu_index, devices, nodes) as ranks:
            is_rank_zero = ranks.is_rank_zero
            results_file = output / experiment.experiment_folder / RESULTS_FILE
            ranks.on_rank_zero(partial(check_writable, results_file))
            with progress_bar() as bar, _logged_without_terminal(bar, is_rank_zero) as progress:
                results = run_experiment(
                    experiment,
                    model,
                    root,
                    output,
                    resume=resume,
                    overwrite=overwrite,
                    runs=numbers,
                    ranks=ranks,
                    progress=progress,
                    logger_name=logger,
                )
    except (KeyboardInterrupt, Interrupted):
        if is_rank_zero:
            words = [*command, "-e", str(experiment_file), "-m", str(model_file)]
            words += ["--data-root", str(root), "--output", str(output)]
            words += ["--runs", ",".join(map(str, numbers))] if numbers else []
            words += ["--devices", str(devices)] if devices > 1 else []
            words += ["--nodes", str(nodes)] if nodes > 1 else []
            words += ["--logger", logger] if logger != "tensorboard" else []
            for override in overrides or ():
                words += ["--set", override]
            for package in named_packages():
                words += ["--plugin", package]
            print_line("Stopped; every finished epoch is kept. Continue with:", stderr)
            print_line(f"  {shlex.join([*words, '--resume'])}", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not is_rank_zero:
        raise typer.Exit
    print_results(results)
    print_line(f"Results: {results_file}")


@contextmanager
def _logged_without_terminal(bar: Progress, is_rank_zero: bool) -> Iterator[Progress]:
    """Yield the bar; where stderr is no terminal, which would show it, log each step and each epoch instead."""
    if not is_rank_zero:
        yield silent
        return
    if stderr.is_terminal:
        yield bar
        return
    steps: set[str] = set()

    def report(description: str, done: int, total: int, details: str = "") -> None:  # noqa: ARG001 - Progress
        if description not in steps:
            steps.add(description)
            print_line(description, stderr)

    logger = logging.getLogger("fewshot_audio.engine.checkpoint")
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield report
    finally:
        logger.setLevel(level)


def _run_numbers(text: str) -> list[int]:
    """Read "1-2,5" as [1, 2, 5]."""
    numbers: set[int] = set()
    if re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text):
        for part in text.split(","):
            first, _, last = part.partition("-")
            numbers |= set(range(int(first), int(last or first) + 1))
    if not numbers:
        raise typer.BadParameter(f"{text!r}: expected numbers and ranges of runs, such as 3 or 1-2,5")
    return sorted(numbers)
