"""The rows of the matrix of experiments, and the tables that they are written to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fewshot_audio.files import write_text
from fewshot_audio.studies.reproduce.protocols import Way
from fewshot_audio.studies.reproduce.published import published_figures
from fewshot_audio.studies.tables import csv_table, latex_table, markdown_table

CAPTION = (
    "Accuracy: mean over runs ± 95 % interval over their pooled test tasks, [standard deviation over runs]. "
    "Task: test tasks x queries per class."
)
COLUMNS = ("Dataset", "System", "Encoder", "Task", "Runs", "Accuracy %", "Published %")


@dataclass(frozen=True)
class Row:
    """One line of the results: accuracies are fractions of 1, ``note`` says why there is none.

    ``trained_on`` is empty for what was not trained, ``encoder`` for what has none.
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

    @property
    def own(self) -> bool:
        """Whether nothing but the dataset's own training classes was trained on."""
        return self.trained_on in ("", self.dataset)

    @property
    def where(self) -> str:
        """The dataset, and what was trained on if that is another."""
        return self.dataset if self.own else f"{self.dataset} (trained on {self.trained_on})"

    @property
    def task(self) -> str:
        """Ways and shots."""
        return f"{self.way}-way {self.shot}-shot"


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write ``results.md``, ``results.csv`` and ``results.tex`` and return their paths."""
    lines = [
        (
            row.where,
            row.system,
            row.encoder or "-",
            f"{row.task}, {row.tasks} x {row.n_query}",
            str(row.runs or "-"),
            _accuracy(row),
            _published(row),
        )
        for row in rows
    ]
    sources = sorted({figure.source for row in rows if row.own for figure in published_figures(*_comparable(row))})
    missing = dict.fromkeys(f"No figure for {row.where}: {row.note}" for row in rows if row.note)
    notes = [" ".join(note.split()) for note in (*(f"Published: {source}." for source in sources), *missing)]
    texts = {
        "results.md": "\n".join([f"{CAPTION}\n", markdown_table(COLUMNS, lines), *(f"{note}\n" for note in notes)]),
        "results.csv": csv_table([asdict(row) | {"published": _published(row)} for row in rows]),
        "results.tex": "".join(f"% {note}\n" for note in (CAPTION, *notes)) + latex_table(COLUMNS, lines),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _accuracy(row: Row) -> str:
    if row.accuracy is None or row.ci95 is None:
        return "-"
    spread = f" [{100 * row.std_over_runs:.2f}]" if row.std_over_runs is not None else ""
    return f"{100 * row.accuracy:.2f} ± {100 * row.ci95:.2f}{spread}"


def _comparable(row: Row) -> tuple[str, int, int]:
    return row.dataset, row.way if row.way != "all" else 0, row.shot


def _published(row: Row) -> str:
    if not row.trained_on or not row.own:
        return ""
    return "; ".join(f"{100 * figure.accuracy:.2f} ({figure.what})" for figure in published_figures(*_comparable(row)))
