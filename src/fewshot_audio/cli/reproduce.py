"""``fewshot-audio reproduce``: the matrix of experiments and its table."""

import itertools
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, percent, progress_bar, say, table
from fewshot_audio.cli.configs import Encoder
from fewshot_audio.cli.train import default_data_root
from fewshot_audio.errors import ConfigError

if TYPE_CHECKING:
    from fewshot_audio.studies.reproduce.matrix_tables import Row


class Budget(StrEnum):
    """How long to train; see ``matrix.BUDGETS``."""

    quick = "quick"
    published = "published"


@app.command()
def reproduce(
    datasets: Annotated[
        list[str] | None,
        typer.Option(help="A dataset folder, or A+B to train on both; once for each. Default the five published."),
    ] = None,
    scenarios: Annotated[
        list[str] | None,
        typer.Option(help="1, 2, 3, 4-cpl, 4-angular, 5-cpl, 5-angular, best, fast; default 1, 3, 4-cpl and both 5."),
    ] = None,
    encoders: Annotated[list[Encoder] | None, typer.Option(help="Default Hybrid.")] = None,
    budget: Annotated[Budget, typer.Option(help="quick: 1 run of 40 epochs of 40 tasks; published.")] = Budget.quick,
    data_root: Annotated[Path, typer.Option(help="Folder of the dataset folders.")] = Path(default_data_root),
    output: Annotated[Path, typer.Option(help="Folder for the experiments and the tables.")] = Path("reproduce"),
    ways: Annotated[
        str | None, typer.Option(help="Classes of the test tasks, as 5,10,all; default the experiments', 5.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="Support clips of the test tasks, as 1,5,10,20; default the experiments', 5.")
    ] = None,
    metaaudio: Annotated[bool, typer.Option("--metaaudio", help="Also 5-way 1-shot, 10,000 tasks of 1 query.")] = False,
    test_on: Annotated[list[str] | None, typer.Option(help="Also test on these datasets' test classes.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value over the experiments.")] = None,
) -> None:
    """Run what is missing of dataset x scenario x encoder and put the results beside the published numbers."""
    from fewshot_audio.data.joint import known_name
    from fewshot_audio.engine.train import Interrupted
    from fewshot_audio.studies.reproduce.matrix import DATASETS, SYSTEMS, cells
    from fewshot_audio.studies.reproduce.matrix_tables import write_tables
    from fewshot_audio.studies.reproduce.protocols import METAAUDIO, Protocol, Way
    from fewshot_audio.studies.reproduce.run import Plan, reproduce

    chosen = scenarios or ["1", "3", "4-cpl", "5-cpl", "5-angular"]
    for name in chosen:
        if name not in SYSTEMS:
            raise ConfigError(f"--scenarios {name!r}: expected some of {', '.join(SYSTEMS)}")
    n_ways: list[Way | None] = [None]
    if ways is not None:
        n_ways = ["all" if part.strip() == "all" else _number("--ways", part, 2) for part in ways.split(",")]
    n_shots = [_number("--shots", part, 1) for part in shots.split(",")] if shots is not None else [None]
    protocols = [Protocol(way, shot) for way, shot in itertools.product(n_ways, n_shots)]
    names, further = (
        [known_name(data_root, name) for name in given] for given in (datasets or DATASETS, test_on or ())
    )
    plan = Plan(
        cells=list(cells(list(dict.fromkeys(names)), chosen, [name.value for name in encoders or [Encoder.Hybrid]])),
        budget=budget.value,
        data_root=data_root,
        output=output,
        overrides=overrides or (),
        protocols=[*protocols, METAAUDIO] if metaaudio else protocols,
        test_on=further,
    )
    rows: list[Row] = []
    try:
        with progress_bar() as progress:
            for row in reproduce(plan, progress):
                rows.append(row)
                write_tables(rows, output)  # after every row: what is done is never lost
                result = row.note or _accuracy(row)
                say(f"{row.where}, {row.system}, {row.encoder or '-'}, {row.task}: {result}", errors)
    except (KeyboardInterrupt, Interrupted):
        say("Stopped; every finished test and epoch is kept: the same command goes on.", errors)
        raise typer.Exit(INTERRUPTED) from None
    table(
        f"Budget {budget.value}; the tables lie in {output}",
        ("system", "dataset", "task", "accuracy"),
        [(row.system, row.where, row.task, _accuracy(row)) for row in rows],
    )
    for path in write_tables(rows, output):
        say(str(path))


def _number(option: str, text: str, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        words = ", or all" if option == "--ways" else ""
        raise ConfigError(f"{option} {text!r}: expected whole numbers from {least} on, separated by commas{words}")
    return int(text)


def _accuracy(row: "Row") -> str:
    return "-" if row.accuracy is None else percent(row.accuracy, row.ci95)
