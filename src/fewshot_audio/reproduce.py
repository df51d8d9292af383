"""Run what is missing of the matrix of experiments, and lay the results beside the published ones."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewshot_audio.config import read_json
from fewshot_audio.data.layout import find_dataset
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.experiment import run_experiment
from fewshot_audio.files import write_json, write_text
from fewshot_audio.matrix import NAMES, Cell
from fewshot_audio.progress import Progress, silent
from fewshot_audio.published import published_figures
from fewshot_audio.runs import Run
from fewshot_audio.tables import csv_table, latex_table, markdown_table
from fewshot_audio.testing import evaluate_run

logger = logging.getLogger(__name__)

EVALUATIONS = "evaluations"
BASELINE_NAMES = {
    "log-mel": "log-mel statistics, nearest centroid",
    "untrained": "untrained network",
    "simpleshot": "SimpleShot (CL2N) on {}",
    "linear-probe": "linear probe on {}",
}


@dataclass(frozen=True)
class Protocol:
    """How networks are tested."""

    way: int = 5
    shot: int = 5
    n_query: int = 5
    tasks: int = 2000

    @property
    def changes(self) -> dict[str, int]:
        """As keys of the experiment file."""
        return {
            "n_way_test": self.way,
            "n_shot_test": self.shot,
            "n_query_test": self.n_query,
            "n_testing_tasks": self.tasks,
        }

    def __str__(self) -> str:
        return f"{self.way}-way {self.shot}-shot, {self.tasks} tasks of {self.n_query} queries"


STANDARD = Protocol()
METAAUDIO = Protocol(shot=1, n_query=1, tasks=10_000)


@dataclass(frozen=True)
class Row:
    """One line of the results: accuracies are fractions of 1, ``note`` says why there is none."""

    dataset: str
    trained_on: str
    system: str
    encoder: str
    way: int
    shot: int
    n_query: int
    tasks: int
    runs: int = 0
    accuracy: float | None = None
    ci95: float | None = None
    std_over_runs: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """What to run and where. ``test_on`` names further datasets whose test classes the trained networks meet."""

    cells: Sequence[Cell]
    budget: str
    data_root: Path
    output: Path
    overrides: Sequence[str] = ()
    protocols: Sequence[Protocol] = (STANDARD,)
    test_on: Sequence[str] = ()


def reproduce(plan: Plan, progress: Progress = silent) -> Iterator[Row]:
    """Train and test what is missing, cell by cell, and yield the rows of each cell as soon as it is done.

    Finished runs and evaluations are kept; a dataset that is missing or too small is a row that says so.
    """
    with_baselines: set[tuple[str, str]] = set()
    for cell in plan.cells:
        experiment, model = cell.configs(plan.budget, plan.overrides)
        try:
            find_dataset(plan.data_root, cell.dataset)
        except DataError as error:
            yield from (_empty(cell, protocol, cell.dataset, str(error)) for protocol in plan.protocols)
            continue
        title = f"{cell.dataset} {NAMES[cell.system]} {cell.encoder}"

        def report(description: str, done: int, total: int, details: str = "", title: str = title) -> None:
            progress(f"{title}, {description}", done, total, details)

        results = run_experiment(experiment, model, plan.data_root, plan.output, resume=True, progress=report)
        folder = plan.output / experiment.experiment_folder
        runs = [Run.read(folder / f"run-{number}") for number in range(1, len(results["runs"]) + 1)]
        systems = ["network"]
        if (cell.dataset, cell.encoder) not in with_baselines:  # once for each encoder, beside its first system
            with_baselines.add((cell.dataset, cell.encoder))
            systems += BASELINE_NAMES
        for dataset in (cell.dataset, *(name for name in plan.test_on if name.lower() != cell.dataset.lower())):
            for protocol in plan.protocols:
                for system in systems:
                    yield _row(cell, runs, plan.data_root, dataset, protocol, system, report)


def _row(
    cell: Cell, runs: Sequence[Run], root: Path, dataset: str, protocol: Protocol, system: str, progress: Progress
) -> Row:
    name = NAMES[cell.system] if system == "network" else BASELINE_NAMES[system].format(NAMES[cell.system])
    try:
        tests = [_evaluation(run, root, dataset, protocol, system, progress) for run in runs]
    except FewShotError as error:  # another dataset's shape, fewer classes than the protocol's way
        return _empty(cell, protocol, dataset, str(error), name)
    return Row(
        dataset=dataset,
        trained_on=cell.dataset,
        system=name,
        encoder=cell.encoder,
        **asdict(protocol),
        runs=len(tests),
        **pooled(tests),
    )


def _evaluation(
    run: Run, root: Path, dataset: str, protocol: Protocol, system: str, progress: Progress
) -> dict[str, Any]:
    """A run's test under a protocol, from its folder if it is there."""
    values = asdict(protocol)
    path = run.folder / EVALUATIONS / f"{dataset}_{system}_{'-'.join(map(str, values.values()))}.json"
    if path.is_file():
        return read_json(path)
    experiment = run.experiment.model_copy(update={**protocol.changes, "dataset_name": dataset})
    result = evaluate_run(run, root, experiment, system=system, progress=progress)
    write_json(path, result)
    return result


def pooled(tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over runs, interval over the pooled tasks, spread over runs, from the runs' summaries of equal tasks."""
    means = [test["accuracy"] for test in tests]
    mean = sum(means) / len(means)
    variance = sum(test["std"] ** 2 + (test["accuracy"] - mean) ** 2 for test in tests) / len(tests)
    spread = math.sqrt(sum((value - mean) ** 2 for value in means) / (len(means) - 1)) if len(means) > 1 else None
    tasks = sum(test["tasks"] for test in tests)
    return {"accuracy": mean, "ci95": 1.96 * math.sqrt(variance / tasks), "std_over_runs": spread}


def _empty(cell: Cell, protocol: Protocol, dataset: str, note: str, system: str | None = None) -> Row:
    return Row(dataset, cell.dataset, system or NAMES[cell.system], cell.encoder, **asdict(protocol), note=note)


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write ``results.md``, ``results.csv`` and ``results.tex`` and return their paths."""
    columns = ("Dataset", "System", "Encoder", "Task", "Runs", "Accuracy %", "Published %")
    lines = [
        (
            row.dataset if row.trained_on == row.dataset else f"{row.dataset} (trained on {row.trained_on})",
            row.system,
            row.encoder,
            f"{row.way}-way {row.shot}-shot, {row.tasks} x {row.n_query}",
            str(row.runs),
            _accuracy(row),
            _published(row),
        )
        for row in rows
    ]
    sources = sorted({figure.source for row in rows for figure in published_figures(row.dataset, row.way, row.shot)})
    notes = "".join(f"\nPublished: {source}.\n" for source in sources)
    caption = (
        "Accuracy: mean over runs ± 95 % interval over their pooled test tasks, [standard deviation over runs]. "
        "Task: test tasks x queries per class.\n\n"
    )
    texts = {
        "results.md": caption + markdown_table(columns, lines) + notes,
        "results.csv": csv_table([asdict(row) | {"published": _published(row)} for row in rows]),
        "results.tex": latex_table(columns, lines),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _accuracy(row: Row) -> str:
    if row.accuracy is None or row.ci95 is None:
        return row.note
    spread = f" [{100 * row.std_over_runs:.2f}]" if row.std_over_runs is not None else ""
    return f"{100 * row.accuracy:.2f} ± {100 * row.ci95:.2f}{spread}"


def _published(row: Row) -> str:
    if row.trained_on != row.dataset:
        return ""
    figures = published_figures(row.dataset, row.way, row.shot)
    return "; ".join(f"{100 * figure.accuracy:.2f} ({figure.what})" for figure in figures)
