"""``fewshot-audio tune``: search config keys by validation accuracy."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import INTERRUPTED, app, errors, percent, progress_bar, say, table
from fewshot_audio.cli.train import default_data_root


@app.command()
def tune(
    experiment: Annotated[Path, typer.Option("-e", "--experiment", help="Experiment file (JSON) to start from.")],
    model: Annotated[Path, typer.Option("-m", "--model", help="Model file (JSON) to start from.")],
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study shall have.")],
    space: Annotated[
        Path | None, typer.Option(help="What to search (JSON, docs/tune.md); default what the published tables name.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the dataset folders; before the config's data_root.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value, over the files.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a trial; default the experiment's.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="sqlite:///FILE, postgresql://USER@HOST/NAME or a journal file; default OUTPUT/study.log."),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="The study's name in its storage; default the experiment_folder.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds after which to stop.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    stale_after: Annotated[
        float, typer.Option(min=1, help="Seconds without a sign of life after which a trial's worker counts as lost.")
    ] = 60.0,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path("tune"),
) -> None:
    """Search config keys for the best validation accuracy; test classes are out of reach.

    Started again it goes on; started several times, on machines that share the storage, it shares the work.
    """
    from fewshot_audio.config import ExperimentConfig, read_configs, validate
    from fewshot_audio.errors import FewShotError

    try:
        import optuna
        import sqlalchemy  # noqa: F401
    except ImportError as error:
        raise FewShotError("tune needs Optuna: pip install 'fewshot-audio[tune]'") from error
    from fewshot_audio.engine.train import Interrupted
    from fewshot_audio.studies.tune.outcome import complete_trials, importances, write_outcome, write_plots
    from fewshot_audio.studies.tune.search import Search, run_search
    from fewshot_audio.studies.tune.space import default_space, describe, read_space

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base, base_model = read_configs(experiment, model, overrides or [])
    short = validate(ExperimentConfig, base.model_dump() | {"num_epochs": epochs or base.num_epochs}, "tune")
    searched = read_space(space) if space else default_space(short)
    root = data_root or Path(base.data_root or default_data_root)
    search = Search(output, root, short, base_model, searched, seed, stale_after)
    where, name = str(space or "default space"), study or base.experiment_folder
    stopped = False
    with progress_bar() as progress:
        opened, dataset = search.open(storage or str(output / "study.log"), name, where, progress)
        try:
            run_search(search, opened, dataset, trials, timeout, progress)
        except (KeyboardInterrupt, Interrupted):
            stopped = True
    best = write_outcome(search, opened, base)
    ranking = complete_trials(opened)
    rows = [(f"{trial.number}: {describe(trial.params)}", percent(trial.value or 0)) for trial in ranking[:5]]
    table(f"{name}: {len(ranking)} of {len(opened.trials)} trials have a result", ("trial", "validation"), rows)
    if shares := importances(opened):
        say("Importance: " + ", ".join(f"{key} {share:.2f}" for key, share in shares.items()))
    if best:
        say(f"Best pair of configs: {best}")
        try:
            for path in write_plots(search, opened):
                say(f"Plot: {path}")
        except FewShotError as error:
            say(str(error), errors)
    if stopped:
        say("Stopped; the trial under way is queued again: the same command goes on.", errors)
        raise typer.Exit(INTERRUPTED)
