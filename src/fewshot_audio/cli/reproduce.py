"""``fewshot-audio reproduce``: the matrix of experiments and its table."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, errors, percent, progress_bar, say, table
from fewshot_audio.cli.configs import Encoder
from fewshot_audio.cli.train import default_data_root
from fewshot_audio.errors import ConfigError


class Budget(StrEnum):
    """How long to train; see ``matrix.BUDGETS``."""

    quick = "quick"
    published = "published"


@app.command()
def reproduce(
    datasets: Annotated[list[str] | None, typer.Option(help="Dataset folders; default the five published.")] = None,
    scenarios: Annotated[
        list[str] | None, typer.Option(help="1, 2, 3, 4-cpl, 4-angular, 5-cpl, 5-angular; default all but 2.")
    ] = None,
    encoders: Annotated[list[Encoder] | None, typer.Option(help="Default Hybrid.")] = None,
    budget: Annotated[Budget, typer.Option(help="quick: 1 run of 40 epochs of 40 tasks; published.")] = Budget.quick,
    data_root: Annotated[Path, typer.Option(help="Folder of the dataset folders.")] = Path(default_data_root),
    output: Annotated[Path, typer.Option(help="Folder for the experiments and the tables.")] = Path("reproduce"),
    ways: Annotated[str, typer.Option(help="Classes of the test tasks, as 5,10.")] = "5",
    shots: Annotated[str, typer.Option(help="Support clips of the test tasks, as 1,5,10,20.")] = "5",
    metaaudio: Annotated[bool, typer.Option("--metaaudio", help="Also 5-way 1-shot, 10,000 tasks of 1 query.")] = False,
    test_on: Annotated[list[str] | None, typer.Option(help="Also test on these datasets' test classes.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value over the experiments.")] = None,
) -> None:
    """Run what is missing of dataset x scenario x encoder and put the results beside the published numbers."""
    from fewshot_audio.matrix import DATASETS, SYSTEMS, cells
    from fewshot_audio.reproduce import METAAUDIO, Plan, Protocol, reproduce, write_tables

    chosen = scenarios or [name for name in SYSTEMS if name in ("1", "3", "4-cpl", "5-cpl", "5-angular")]
    for name in chosen:
        if name not in SYSTEMS:
            raise ConfigError(f"--scenarios {name!r}: expected some of {', '.join(SYSTEMS)}")
    protocols = [Protocol(way, shot) for way in _numbers("--ways", ways, 2) for shot in _numbers("--shots", shots, 1)]
    plan = Plan(
        cells=list(cells(datasets or DATASETS, chosen, [name.value for name in encoders or [Encoder.Hybrid]])),
        budget=budget.value,
        data_root=data_root,
        output=output,
        overrides=overrides or (),
        protocols=[*protocols, METAAUDIO] if metaaudio else protocols,
        test_on=test_on or (),
    )
    rows = []
    with progress_bar() as progress:
        for row in reproduce(plan, progress):
            rows.append(row)
            write_tables(rows, output)  # after every row: what is done is never lost
            result = row.note if row.accuracy is None else percent(row.accuracy, row.ci95)
            say(f"{row.dataset}, {row.system}, {row.encoder}, {row.way}-way {row.shot}-shot: {result}", errors)
    table(
        f"Budget {budget.value}; the tables lie in {output}",
        ("system", "dataset", "task", "accuracy"),
        [
            (
                row.system,
                row.dataset,
                f"{row.way}-way {row.shot}-shot",
                "-" if row.accuracy is None else percent(row.accuracy, row.ci95),
            )
            for row in rows
        ],
    )
    for path in write_tables(rows, output):
        say(str(path))


def _numbers(option: str, text: str, least: int) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least:
        raise ConfigError(f"{option} {text!r}: expected whole numbers from {least} on, separated by commas")
    return numbers
