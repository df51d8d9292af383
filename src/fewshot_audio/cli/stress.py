"""``fewshot-audio evaluate`` with stress: fewer shots, wrong labels, added classes, other recordings."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import typer

from fewshot_audio.cli.console import percent, print_line, print_table, progress_bar
from fewshot_audio.cli.options import parse_number
from fewshot_audio.errors import plural

if TYPE_CHECKING:
    from fewshot_audio.config import ExperimentConfig
    from fewshot_audio.experiments.run_folder import Run
    from fewshot_audio.experiments.stress import StressPlan

# The names of `audio.degrade` and `experiments.stress_conditions`, which need torch.
Degradation: TypeAlias = Literal["codec", "band", "room", "gain", "clip"]
Background: TypeAlias = Literal["swap", "clean", "noisy"]
DEFAULT_SNR = "0,10"


class StressOptions(NamedTuple):
    """The options of `evaluate` that ask for stress tests, as they were given."""

    shots: str | None
    noisy_labels: str | None
    class_incremental: int | None
    degrade: str | None
    background: str | None
    snr: str | None

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return any(value is not None for value in self)

    def check(self, n_way: int | None, n_shot: int | None) -> None:
        """Refuse options that would have no effect. Raises BadParameter."""
        if self.snr is not None and self.background is None:
            raise typer.BadParameter("--snr is the ratio of --background, which is not given")
        others = self.noisy_labels, self.degrade, self.background
        if n_shot is not None and self.shots is not None and all(value is None for value in others):
            raise typer.BadParameter("--shots and --n-shot: choose one")
        if n_way is not None and self.class_incremental is not None and all(v is None for v in (*others, self.shots)):
            raise typer.BadParameter("--class-incremental takes all test classes: no --n-way")

    def plan(self) -> "StressPlan":
        """What they ask for. Raises BadParameter."""
        from fewshot_audio.experiments.stress import StressPlan

        return StressPlan(
            shots=[parse_number("--shots", part, 1) for part in _parts(self.shots)],
            wrong_labels=[_number("--noisy-labels", part, 0, 1) for part in _parts(self.noisy_labels)],
            per_session=self.class_incremental,
            degradations=[_name("--degrade", part, get_args(Degradation)) for part in _parts(self.degrade)],
            backgrounds=[_name("--background", part, get_args(Background)) for part in _parts(self.background)],
            snr=[_number("--snr", part, -40, 80) for part in _parts(self.snr or DEFAULT_SNR)],
        )


def _parts(text: str | None) -> list[str]:
    return text.split(",") if text is not None else []


def _number(option: str, text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise typer.BadParameter(f"{option} {text!r}: expected numbers from {low} to {high}, separated by commas")
    return number


def _name(option: str, text: str, names: Sequence[str]) -> Any:
    if text.strip() not in names:
        raise typer.BadParameter(f"{option} {text!r}: expected some of {', '.join(names)}, separated by commas")
    return text.strip()


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
        f"{points[0].dataset}, {plural(points[0].tasks, 'test task')}, queries per class: {points[0].n_query}",
        ("test", "condition", "task", "accuracy (95 % interval)"),
        rows,
    )
    print_line(f"Kept in {run.folder / STRESS_FILE}, for reports")
