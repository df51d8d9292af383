"""Results of several experiments as tidy rows: one for each run."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fewshot_audio.config.frozen import in_words
from fewshot_audio.data.csv_files import csv_table
from fewshot_audio.errors import FewShotError
from fewshot_audio.experiments.results import ExperimentResults, read_experiment_results


@dataclass(frozen=True)
class ResultRow:
    """One run of an experiment.

    Attributes:
        experiment: name of the experiment's folder.
        dataset: name of the dataset.
        algorithm: the algorithm, as the experiment file names it.
        encoder: the encoder, likewise.
        run: number of the run, from 1.
        seed: of the run.
        n_way: classes of a test task.
        n_shot: support clips of a class.
        n_query: query clips of a class.
        tasks: number of test tasks.
        accuracy: mean over the tasks, a fraction of 1.
        ci95: half width of its 95 % interval.
        std: standard deviation over the tasks.
        val_accuracy: validation accuracy of the kept epoch; None if there was no validation.
        epochs: epochs of the training.
        kept_epoch: the epoch (from 1) whose weights were tested.
        seconds: duration of training and test.
    """

    experiment: str
    dataset: str
    algorithm: str
    encoder: str
    run: int
    seed: int
    n_way: int
    n_shot: int
    n_query: int
    tasks: int
    accuracy: float
    ci95: float
    std: float
    val_accuracy: float | None
    epochs: int
    kept_epoch: int
    seconds: float


COLUMNS = tuple(field.name for field in fields(ResultRow))


def read_results(*experiments: Path | str, frame: bool = False) -> Any:
    """Read the results of experiments as tidy rows, one for each finished run.

    Args:
        experiments: experiment folders, those that hold a ``results.json``.
        frame: return a pandas data frame, which needs pandas.

    Returns:
        A list of ``ResultRow``, in the order of the folders and of their runs; or with ``frame`` a data frame whose
        columns are its attributes.

    Raises:
        ConfigError: a file cannot be read.
        DataError: the numbers of a file contradict each other.
        FewShotError: ``frame`` without pandas.

    Example:
        >>> rows = read_results()  # of no experiments; else read_results("experiments/mine", "experiments/other")
        >>> sum(row.accuracy for row in rows)
        0
    """
    rows = [row for folder in experiments for row in result_rows(Path(folder).absolute().name, _read(folder))]
    if not frame:
        return rows
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise FewShotError("a data frame needs pandas: pip install pandas; or take the rows (frame=False)") from error
    return pandas.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))


def result_rows(name: str, results: ExperimentResults) -> list[ResultRow]:
    """The rows of an experiment of that name."""
    experiment = results.experiment
    return [
        ResultRow(
            experiment=name,
            dataset=results.dataset,
            algorithm=experiment.algorithm.name,
            encoder=in_words(experiment.encoder_name),
            run=run.seed - experiment.seed + 1,
            seed=run.seed,
            n_way=run.test.n_way,
            n_shot=run.test.n_shot,
            n_query=run.test.n_query,
            tasks=run.test.tasks,
            accuracy=run.test.accuracy,
            ci95=run.test.ci95,
            std=run.test.std,
            val_accuracy=run.val_accuracy,
            epochs=run.epochs,
            kept_epoch=run.kept_epoch,
            seconds=run.seconds,
        )
        for run in results.runs
    ]


def results_csv(rows: Sequence[ResultRow]) -> str:
    """The rows as CSV with a header."""
    return csv_table(COLUMNS, [asdict(row) for row in rows])


def _read(folder: Path | str) -> ExperimentResults:
    return read_experiment_results(Path(folder))
