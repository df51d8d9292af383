"""The result rows of the matrix of experiments, and the tables that they are written to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.files import write_text
from fewshot_audio.studies.reproduce.protocols import Way
from fewshot_audio.studies.reproduce.published import PublishedFigure, published_figures
from fewshot_audio.studies.tables import latex_table, markdown_table

CAPTION = (
    "Accuracy: mean over runs ± 95 % interval over their pooled test tasks, [standard deviation over runs]. "
    "Task: test tasks x queries per class."
)
COLUMNS = ("Dataset", "System", "Encoder", "Task", "Runs", "Accuracy %", "Published %")


@dataclass(frozen=True)
class MatrixRow:
    """One line of the results.

    Attributes:
        dataset: the dataset whose test classes were used.
        trained_on: the dataset of the training; empty for a system that was not trained.
        system: the name of the system, as the tables show it.
        encoder: the name of the encoder; empty for a system without one.
        way: classes of a task; "all" if the dataset, and so its number of test classes, is missing.
        shot: support clips per class.
        n_query: queries per class.
        tasks: test tasks of each run.
        runs: trained runs that were tested.
        accuracy: mean over runs, a fraction of 1; None if there is no result.
        ci95: half width of the 95 % interval over the pooled test tasks.
        std_over_runs: standard deviation of the runs' accuracies; None for fewer than two runs.
        note: why there is no result.
        algorithm: of the experiment, by its name in the experiment file.
    """

    dataset: str
    trained_on: str
    system: str
    encoder: str
    way: Way
    shot: int
    n_query: int
    tasks: int
    runs: int = 0
    accuracy: float | None = None
    ci95: float | None = None
    std_over_runs: float | None = None
    note: str = ""
    algorithm: str = "prototypes"

    @property
    def within_dataset(self) -> bool:
        """Whether all training was on the training classes of the tested dataset."""
        return self.trained_on in ("", self.dataset)

    @property
    def dataset_label(self) -> str:
        """The dataset, with the dataset of the training if that is another."""
        return self.dataset if self.within_dataset else f"{self.dataset} (trained on {self.trained_on})"

    @property
    def task(self) -> str:
        """Way and shot, as in "5-way 1-shot"."""
        return f"{self.way}-way {self.shot}-shot"


def write_tables(rows: Sequence[MatrixRow], folder: Path) -> list[Path]:
    """Write ``results.md``, ``results.csv`` and ``results.tex`` and return their paths."""
    cells = [
        (
            row.dataset_label,
            row.system,
            row.encoder or "-",
            f"{row.task}, {row.tasks} x {row.n_query}",
            str(row.runs or "-"),
            _accuracy(row),
            _published(row),
        )
        for row in rows
    ]
    sources = sorted({figure.source for row in rows for figure in _figures(row)})
    failures = dict.fromkeys(f"No figure for {row.dataset_label}: {row.note}" for row in rows if row.note)
    notes = [" ".join(note.split()) for note in (*(f"Published: {source}." for source in sources), *failures)]
    texts = {
        "results.md": "\n".join([f"{CAPTION}\n", markdown_table(COLUMNS, cells), *(f"{note}\n" for note in notes)]),
        "results.csv": csv_table(
            [*(field.name for field in fields(MatrixRow)), "published"],
            [asdict(row) | {"published": _published(row)} for row in rows],
        ),
        "results.tex": "".join(f"% {note}\n" for note in (CAPTION, *notes)) + latex_table(COLUMNS, cells),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _accuracy(row: MatrixRow) -> str:
    if row.accuracy is None:
        return "-"
    interval = f" ± {100 * row.ci95:.2f}" if row.ci95 is not None else ""
    spread = f" [{100 * row.std_over_runs:.2f}]" if row.std_over_runs is not None else ""
    return f"{100 * row.accuracy:.2f}{interval}{spread}"


def _figures(row: MatrixRow) -> list[PublishedFigure]:
    if not row.within_dataset or row.way == "all":
        return []
    return published_figures(row.dataset, row.way, row.shot, row.algorithm)


def _published(row: MatrixRow) -> str:
    """The published figures for a trained system."""
    figures = _figures(row) if row.trained_on else []
    return "; ".join(f"{100 * figure.accuracy:.2f} ({figure.what})" for figure in figures)
