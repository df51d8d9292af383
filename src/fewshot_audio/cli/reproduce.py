"""``fewshot-audio reproduce``: run the experiments of the paper and tabulate their results."""

import itertools
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import percent, print_line, print_table, progress_bar, stderr
from fewshot_audio.cli.options import DATA_ROOT, check_overrides, parse_number
from fewshot_audio.errors import DataError
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.studies.reproduce.matrix_tables import MatrixRow


Budget: TypeAlias = Literal["quick", "published"]  # the names of `studies.reproduce.matrix.BUDGETS`


class Encoder(StrEnum):
    """``options.EncoderName``: Typer has no lists of a Literal."""

    CNN = "CNN"
    Hybrid = "Hybrid"
    ResNet12 = "ResNet12"


@app.command()
def reproduce(
    datasets: Annotated[
        list[str] | None,
        typer.Option(help="A dataset folder, or A+B to train on both; repeatable. Default: the five published ones."),
    ] = None,
    scenarios: Annotated[
        list[str] | None,
        typer.Option(
            help="1, 2, 3, 4-cpl, 4-angular, 5-cpl, 5-angular, best, fast, fo-maml, fo-meta-curvature, "
            "meta-baseline, simpleshot; default: 1, 3, 4-cpl and both 5."
        ),
    ] = None,
    encoders: Annotated[list[Encoder] | None, typer.Option(help="Encoder; repeatable. Default: Hybrid.")] = None,
    budget: Annotated[
        Budget, typer.Option(help="quick: 1 run of 40 epochs with 40 tasks each; published: as in the paper.")
    ] = "quick",
    data_root: Annotated[Path, typer.Option(help="Folder that holds the dataset folders.")] = DATA_ROOT,
    output: Annotated[Path, typer.Option(help="Folder for the experiments and the tables.")] = Path("reproduce"),
    ways: Annotated[
        str | None, typer.Option(help="Classes of the test tasks, such as 5,10,all; default: as in the configs (5).")
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            help="Support clips per class of the test tasks, such as 1,5,10,20; default: as in the configs (5)."
        ),
    ] = None,
    metaaudio: Annotated[
        bool,
        typer.Option("--metaaudio", help="Also test 5-way 1-shot and 5-shot on 10,000 tasks with 1 query per class."),
    ] = False,
    test_on: Annotated[
        list[str] | None, typer.Option(help="Also test on this dataset's test classes; repeatable.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", callback=check_overrides, help="key.sub=value: changes a key of all experiments; repeatable."
        ),
    ] = None,
) -> None:
    """Run the missing experiments of dataset x scenario x encoder and compare them with the published numbers.

    The exit code is 1 if a row of the tables has no result; the reason is printed.
    """
    from fewshot_audio.data.joint import DatasetFolders, folder_name
    from fewshot_audio.errors import Interrupted
    from fewshot_audio.studies.reproduce.matrix import DATASETS, SYSTEMS, cells
    from fewshot_audio.studies.reproduce.matrix_tables import write_tables
    from fewshot_audio.studies.reproduce.protocols import METAAUDIO, TaskChanges, Way
    from fewshot_audio.studies.reproduce.run import MatrixPlan, reproduce

    systems = scenarios or ["1", "3", "4-cpl", "5-cpl", "5-angular"]
    n_ways: list[Way | None] = [None]
    for name in systems:
        if name not in SYSTEMS:
            raise typer.BadParameter(f"--scenarios {name!r}: expected some of {', '.join(SYSTEMS)}")
    if ways is not None:
        n_ways = [
            "all" if part.strip() == "all" else parse_number("--ways", part, 2, or_else=", or all")
            for part in ways.split(",")
        ]
    n_shots = [parse_number("--shots", part, 1) for part in shots.split(",")] if shots is not None else [None]
    protocols = [TaskChanges(way, shot) for way, shot in itertools.product(n_ways, n_shots)]
    for name in (*(datasets or ()), *(test_on or ())):
        DatasetFolders.find(data_root, name)  # one that was asked for by name must be there
    check_writable(output / "results.md")
    names, further = (
        [folder_name(data_root, name) for name in group] for group in (datasets or DATASETS, test_on or ())
    )
    plan = MatrixPlan(
        cells=cells(list(dict.fromkeys(names)), systems, [encoder.value for encoder in encoders or [Encoder.Hybrid]]),
        budget=budget,
        data_root=data_root,
        output=output,
        overrides=overrides or (),
        protocols=[*protocols, *METAAUDIO] if metaaudio else protocols,
        test_on=further,
    )
    rows: list[MatrixRow] = []
    try:
        with progress_bar() as progress:
            for row in reproduce(plan, progress):
                rows.append(row)
                write_tables(rows, output)  # after every row, so that no result is lost
                result = row.note or _accuracy(row)
                print_line(f"{row.dataset_label}, {row.system}, {row.encoder or '-'}, {row.task}: {result}", stderr)
    except (KeyboardInterrupt, Interrupted):
        print_line("Stopped; every finished test and epoch is kept: the same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_table(
        f"Budget {budget}; the tables are in {output}",
        ("system", "dataset", "task", "accuracy"),
        [(row.system, row.dataset_label, row.task, _accuracy(row)) for row in rows],
    )
    for path in write_tables(rows, output):
        print_line(str(path))
    missing = dict.fromkeys(f"{row.dataset_label}: {row.note}" for row in rows if row.note)
    if missing:
        raise DataError("\n".join(["there are rows without a result:", *missing]))


def _accuracy(row: "MatrixRow") -> str:
    return "-" if row.accuracy is None else percent(row.accuracy, row.ci95)
