"""What a search found: the best pair of configs, a table of the trials, and plots."""

import csv
import io
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, ExperimentConfig, ModelConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.errors import FewShotError
from fewshot_audio.files import write_json, write_text
from fewshot_audio.studies.tune.search import Search
from fewshot_audio.studies.tune.study import REASON, RETRY_OF

TRIALS_FILE, HISTORY_PLOT, IMPORTANCE_PLOT = "trials.csv", "history.png", "importance.png"
LEAST_FOR_IMPORTANCE = 4


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a result, the best first, the earliest of equals."""
    trials = study.get_trials(states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: (-(trial.value or 0), trial.number))


def write_outcome(search: Search, study: optuna.Study, experiment: ExperimentConfig) -> Path | None:
    """Write ``best/`` (a pair of configs), ``trials.csv`` and plots; returns the pair's folder, None without a result.

    ``experiment`` is the base as it is to be trained in earnest: with all its epochs.
    """
    write_text(search.folder / TRIALS_FILE, _table(search, study))
    best = complete_trials(study)
    if not best:
        return None
    folder = search.folder / "best"
    folder_name = {"experiment_folder": f"{experiment.experiment_folder}_tuned"}
    pair: tuple[ExperimentConfig, ModelConfig] = change_configs(
        experiment, search.model, {**best[0].params, **folder_name}, "best trial"
    )
    for name, config in zip((EXPERIMENT_FILE, MODEL_CONFIG_FILE), pair, strict=True):
        write_json(folder / name, config.model_dump())
    return folder


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of each key in what separates good trials from all (PED-ANOVA, Watanabe et al. 2023); largest first.

    Empty with too few trials to tell.
    """
    if len(complete_trials(study)) < LEAST_FOR_IMPORTANCE:
        return {}
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def write_plots(search: Search, study: optuna.Study) -> list[Path]:
    """Draw the accuracies of the trials in their order, and the importance of each key.

    Raises FewShotError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FewShotError("plots need matplotlib: pip install 'fewshot-audio[plots]'") from error
    written = []
    if complete_trials(study):
        written.append(_save(_history(Figure((8, 4.5), layout="constrained"), study), search.folder / HISTORY_PLOT))
    if shares := importances(study):
        size = (8, 1 + 0.4 * len(shares))
        written.append(_save(_importance(Figure(size, layout="constrained"), shares), search.folder / IMPORTANCE_PLOT))
    return written


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
        reached = [100 * max(trial.intermediate_values.values()) for trial in pruned]
        axes.scatter([trial.number for trial in pruned], reached, marker="x", color="#b0533c", label="stopped early")
    axes.set(xlabel="trial", ylabel="validation accuracy, %", title=study.study_name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def _importance(figure: Any, shares: dict[str, float]) -> Any:
    axes = figure.add_subplot()
    keys = list(shares)[::-1]
    axes.barh(keys, [shares[key] for key in keys], color="#35618e")
    axes.set(xlabel="importance (shares of 1)", title="What separates the better trials from the others")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    return path


def _table(search: Search, study: optuna.Study) -> str:
    keys = list(search.space.dimensions)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", "validation_accuracy", "epochs", "retry_of", "reason", *keys])
    for trial in study.get_trials(deepcopy=False):
        reported = trial.intermediate_values
        value = trial.value if trial.state == TrialState.COMPLETE else max(reported.values(), default="")
        attributes = trial.user_attrs.get(RETRY_OF, ""), trial.user_attrs.get(REASON, "")
        row = [trial.number, trial.state.name.lower(), value, len(reported), *attributes]
        rows.writerow([*row, *(trial.params.get(key, "") for key in keys)])
    return text.getvalue()
