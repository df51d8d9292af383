"""The results of a search: the best pair of configs, a table of the trials, and plots."""

from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, ExperimentConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.files import write_atomic, write_json, write_text
from fewshot_audio.runtime.figures import new_figure, plot_label, plot_labels, write_figure
from fewshot_audio.studies.tune.search import Search
from fewshot_audio.studies.tune.study import REASON, RETRY_OF

TRIALS_FILE, HISTORY_PLOT, IMPORTANCE_PLOT = "trials.csv", "history.png", "importance.png"
MIN_TRIALS_FOR_IMPORTANCE = 4


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a result, the best first; of equal results the earliest first."""
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (-(trial.value or 0), trial.number))


def write_outcome(search: Search, study: optuna.Study, experiment: ExperimentConfig) -> Path | None:
    """Write ``trials.csv`` and the best pair of configs.

    Args:
        search: the search.
        study: its study.
        experiment: the base with the epochs of a full training; the values of the best trial are applied to it.

    Returns:
        The folder of the best pair, ``best/``; None if no trial has a result.
    """
    write_text(search.folder / TRIALS_FILE, _table(search, study))
    ranking = complete_trials(study)
    if not ranking:
        return None
    folder = search.folder / "best"
    folder_name = {"experiment_folder": f"{experiment.experiment_folder}_tuned"}
    pair = change_configs(experiment, search.model, {**ranking[0].params, **folder_name}, "best trial")
    for name, config in zip((EXPERIMENT_FILE, MODEL_CONFIG_FILE), pair, strict=True):
        write_json(folder / name, config.model_dump())
    return folder


def importances(study: optuna.Study) -> dict[str, float]:
    """Importance of each key for a trial to be among the best (PED-ANOVA, Watanabe et al. 2023); largest first.

    Empty if there are too few trials.
    """
    if len(complete_trials(study)) < MIN_TRIALS_FOR_IMPORTANCE:
        return {}
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def write_plots(search: Search, study: optuna.Study) -> list[Path]:
    """Plot the accuracies of the trials in their order, and the importance of each key.

    Returns:
        The files; none if no trial has a result.

    Raises:
        FewShotError: matplotlib is not installed.
    """
    history = new_figure(8, 4.5)  # even if there is nothing to plot: a missing matplotlib is an error then, too
    paths = []
    if complete_trials(study):
        paths.append(_save(_history(history, study), search.folder / HISTORY_PLOT))
    if shares := importances(study):
        paths.append(_save(_importance(new_figure(8, 1 + 0.4 * len(shares)), shares), search.folder / IMPORTANCE_PLOT))
    return paths


def _history(figure: Any, study: optuna.Study) -> Any:
    axes = figure.add_subplot()
    complete = sorted(complete_trials(study), key=lambda trial: trial.number)
    pruned = [trial for trial in study.get_trials(states=(TrialState.PRUNED,)) if trial.intermediate_values]
    best, so_far = 0.0, []
    for trial in complete:
        best = max(best, trial.value or 0)
        so_far.append(100 * best)
    numbers = [trial.number for trial in complete]
    axes.plot(numbers, so_far, drawstyle="steps-post", color="#35618e", label="best so far")
    axes.scatter(numbers, [100 * (trial.value or 0) for trial in complete], color="#35618e", label="finished")
    if pruned:
        accuracies = [100 * max(trial.intermediate_values.values()) for trial in pruned]
        axes.scatter([trial.number for trial in pruned], accuracies, marker="x", color="#b0533c", label="stopped early")
    axes.set(xlabel="trial", ylabel="validation accuracy, %", title=plot_label(study.study_name))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _importance(figure: Any, shares: dict[str, float]) -> Any:
    axes = figure.add_subplot()
    keys = list(shares)[::-1]
    axes.barh(range(len(keys)), [shares[key] for key in keys], color="#35618e")
    axes.set_yticks(range(len(keys)), plot_labels(keys))
    axes.set(xlabel="importance (shares of 1)", title="What separates the better trials from the others")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _save(figure: Any, path: Path) -> Path:
    write_atomic(path, lambda stream: write_figure(figure, stream, "png", dpi=120))
    return path


def _table(search: Search, study: optuna.Study) -> str:
    keys = list(search.space.dimensions)
    rows = []
    for trial in study.get_trials(deepcopy=False):
        accuracies, complete = trial.intermediate_values, trial.state == TrialState.COMPLETE
        row = {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "validation_accuracy": trial.value if complete else max(accuracies.values(), default=None),
            "epochs": len(accuracies),
            "retry_of": trial.user_attrs.get(RETRY_OF),
            "reason": trial.user_attrs.get(REASON),
        }
        rows.append(row | {key: trial.params.get(key) for key in keys})
    return csv_table(["trial", "state", "validation_accuracy", "epochs", "retry_of", "reason", *keys], rows)
