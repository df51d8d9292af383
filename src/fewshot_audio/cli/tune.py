"""``fewshot-audio tune``: search config keys by validation accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import EXIT_INTERRUPTED, app
from fewshot_audio.cli.console import percent, print_line, print_table, progress_bar, stderr
from fewshot_audio.cli.options import DataRoot, ExperimentFile, ModelFile, Overrides, find_data_root
from fewshot_audio.files import check_writable


@app.command()
def tune(
    experiment: ExperimentFile,
    model: ModelFile,
    trials: Annotated[int, typer.Option(min=1, help="Number of finished trials after which the study is done.")],
    space: Annotated[
        Path | None,
        typer.Option(help="Keys to search (JSON, see docs/tune.md); default: those of the published tables."),
    ] = None,
    data_root: DataRoot = None,
    overrides: Overrides = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of a trial; default: the experiment's num_epochs.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="sqlite:///FILE, postgresql://USER@HOST/NAME or a journal file; default: OUTPUT/study.log."),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Name of the study in its storage; default: the experiment_folder.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds after which to stop.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    stale_after: Annotated[
        float, typer.Option(min=1, help="Seconds without a heartbeat after which the worker of a trial counts as lost.")
    ] = 60.0,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("tune"),
) -> None:
    """Search config keys for the best validation accuracy, without looking at the test classes.

    Started again, it continues; started several times, on machines that share the storage, these share the work.
    """
    from fewshot_audio.config import ExperimentConfig, read_configs, validate
    from fewshot_audio.errors import FewShotError, Interrupted

    try:
        import optuna
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise FewShotError("tune needs Optuna: pip install 'fewshot-audio[tune]'") from error
    from fewshot_audio.studies.tune.outcome import TRIALS_FILE, complete_trials, importances, write_outcome, write_plots
    from fewshot_audio.studies.tune.search import Search, run_search
    from fewshot_audio.studies.tune.space import default_space, read_space, values_as_text

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base, base_model = read_configs(experiment, model, overrides or [])
    short = validate(ExperimentConfig, base.model_dump() | {"num_epochs": epochs or base.num_epochs}, "tune")
    search_space = read_space(space) if space else default_space(short)
    root = find_data_root(data_root, base.data_root)
    check_writable(output / TRIALS_FILE)
    if storage and "://" not in storage:
        check_writable(Path(storage))
    search = Search(output, root, short, base_model, search_space, seed, stale_after)
    origin, name = str(space or "default space"), study or base.experiment_folder
    stopped = False
    with progress_bar() as progress:
        optuna_study, dataset = search.open(storage or str(output / "study.log"), name, origin, progress)
        try:
            run_search(search, optuna_study, dataset, trials, timeout, progress)
        except (KeyboardInterrupt, Interrupted):
            stopped = True
    best = write_outcome(search, optuna_study, base)
    ranking = complete_trials(optuna_study)
    rows = [(f"{trial.number}: {values_as_text(trial.params)}", percent(trial.value or 0)) for trial in ranking[:5]]
    print_table(
        f"{name}: {len(ranking)} of {len(optuna_study.trials)} trials have a result", ("trial", "validation"), rows
    )
    if shares := importances(optuna_study):
        print_line("Importance: " + ", ".join(f"{key} {share:.2f}" for key, share in shares.items()))
    if best:
        print_line(f"Best pair of configs: {best}")
        try:
            for path in write_plots(search, optuna_study):
                print_line(f"Plot: {path}")
        except FewShotError as error:
            print_line(str(error), stderr)
    if stopped:
        print_line("Stopped; the unfinished trial is queued again: the same command continues.", stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
