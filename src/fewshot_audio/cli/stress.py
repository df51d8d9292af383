"""``fewshot-audio evaluate`` with stress: fewer shots, wrong labels, classes that are added over time."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fewshot_audio.cli.console import percent, print_line, print_table, progress_bar
from fewshot_audio.cli.options import parse_number

if TYPE_CHECKING:
    from fewshot_audio.config import ExperimentConfig
    from fewshot_audio.experiments.run_folder import Run
    from fewshot_audio.experiments.stress import StressPlan


def read_plan(shots: str | None, noisy_labels: str | None, class_incremental: int | None) -> "StressPlan":
    """What the options ask for. Raises BadParameter."""
    from fewshot_audio.experiments.stress import StressPlan

    return StressPlan(
        shots=[parse_number("--shots", part, 1) for part in shots.split(",")] if shots is not None else (),
        wrong_labels=[_share(part) for part in noisy_labels.split(",")] if noisy_labels is not None else (),
        per_session=class_incremental,
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"--noisy-labels {text!r}: expected shares from 0 to 1, separated by commas")
    return share


def print_stress(
    run: "Run", root: Path, experiment: "ExperimentConfig", plan: "StressPlan", json_file: Path | None
) -> None:
    """Print a table of the results, which are kept in the run's folder."""
    from fewshot_audio.experiments.stress import STRESS_FILE, stress_run
    from fewshot_audio.files import write_json

    with progress_bar() as progress:
        points = stress_run(run, root, experiment, plan, progress)
    if json_file:
        write_json(json_file, {"points": [asdict(point) for point in points]})
    rows = [
        (point.test, point.condition, f"{point.n_way}-way {point.n_shot}-shot", percent(point.value, point.ci95))
        for point in points
    ]
    print_table(
        f"{points[0].dataset}, {points[0].tasks} test tasks of {points[0].n_query} queries per class",
        ("test", "condition", "task", "accuracy (95 % interval)"),
        rows,
    )
    print_line(f"Kept in {run.folder / STRESS_FILE}, for reports")
