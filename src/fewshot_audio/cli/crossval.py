"""``fewshot-audio crossval``: compare recipes without looking at a test class."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import (
    DataRoot,
    ExperimentFile,
    ModelFile,
    Overrides,
    find_data_root,
    parse_number,
    usage_errors,
)
from fewshot_audio.files import check_writable


@app.command()
def crossval(
    experiment: ExperimentFile,
    model: ModelFile,
    candidates: Annotated[Path, typer.Option(help='JSON list of {"name": ..., "set": {"dotted.key": value}}.')],
    data_root: DataRoot = None,
    overrides: Overrides = None,
    folds: Annotated[int, typer.Option(min=2, help="Number of parts that the classes are divided into.")] = 5,
    fold_seed: Annotated[int, typer.Option(min=0, help="Seed of that division.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of a training; default: the base's num_epochs.")
    ] = None,
    halving: Annotated[
        str | None, typer.Option(help="Instead of --epochs: rungs of folds x epochs, such as 2x10,5x10,5x40.")
    ] = None,
    keep: Annotated[float, typer.Option(help="Share of the candidates that go on to the next rung.")] = 0.5,
    seeds: Annotated[str, typer.Option(help="Seeds to train with on each fold, such as 0,1.")] = "0",
    shots: Annotated[
        str, typer.Option(help="Support clips per class of the tasks; the first number decides the ranking.")
    ] = "5,1",
    tasks: Annotated[int, typer.Option(min=1, help="Tasks for each fold and number of shots.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes, which share the cores.")] = 1,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("crossval"),
) -> None:
    """Compare candidates by class-wise cross-validation inside the training and validation classes.

    Started again, it continues where it stopped; started several times at once, the processes share the work.
    """
    from fewshot_audio.config import read_configs
    from fewshot_audio.errors import Interrupted
    from fewshot_audio.studies.crossval.compare import markdown
    from fewshot_audio.studies.crossval.plan import CrossvalProtocol, Rung, make_plan, parse_rungs, read_candidates
    from fewshot_audio.studies.crossval.work import TABLE_FILE, cross_validate

    if halving is not None and epochs is not None:
        raise typer.BadParameter("--halving names its own epochs: leave out --epochs")
    seed_numbers = tuple(parse_number("--seeds", part) for part in seeds.split(","))
    shot_numbers = tuple(parse_number("--shots", part, 1) for part in shots.split(","))
    with usage_errors():
        protocol = CrossvalProtocol(folds, fold_seed, seed_numbers, shot_numbers, tasks, keep)
        named_rungs = parse_rungs(halving) if halving is not None else None
    base, base_model = read_configs(experiment, model, overrides or [])
    rungs = named_rungs or (Rung(folds, epochs or base.num_epochs),)
    check_writable(output / TABLE_FILE)
    root = find_data_root(data_root, base.data_root)
    try:
        with progress_bar() as progress:
            candidate_list = read_candidates(candidates, base, base_model)
            plan = make_plan(output, root, candidate_list, rungs, protocol, progress)
            summary = cross_validate(plan, workers, progress)
    except (KeyboardInterrupt, Interrupted):
        print_line("Stopped; every finished training and epoch is kept: the same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_line(markdown(summary))
    print_line(f"Table: {output / TABLE_FILE}")
