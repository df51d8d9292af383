"""Stress tests of a run under other recording conditions, which are made of the waveforms of its dataset."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from fewshot_audio.audio.degrade import Degradation
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.engine.conditions import (
    Condition,
    clean,
    condition_test,
    degraded,
    embed_conditions,
    over_background,
    task_backgrounds,
)
from fewshot_audio.engine.tasks import plan_tasks
from fewshot_audio.errors import ConfigError, plural
from fewshot_audio.experiments.evaluate_run import PreparedTest, open_test
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.statistics import Accuracies
from fewshot_audio.progress import Progress, silent

BackgroundTest: TypeAlias = Literal["swap", "clean", "noisy"]
BACKGROUND_TESTS: tuple[BackgroundTest, ...] = get_args(BackgroundTest)


class ConditionResult(NamedTuple):
    """Accuracy of each task, (tasks,), of a test ("degrade" or "background") in a condition."""

    test: str
    condition: str
    accuracy: Accuracies


def open_waveform_test(run: Run, data_root: Path, experiment: ExperimentConfig, progress: Progress) -> PreparedTest:
    """Open a run's test on the waveforms of the dataset, whose features are computed from them.

    Raises:
        ConfigError: the network adapts to tasks, has test-time views, or reads a frozen encoder that is not installed.
        DataError: the dataset has no waveforms.
    """
    if experiment.algorithm.adapts:
        raise ConfigError(
            f"{run.folder}: algorithm.name is {experiment.algorithm.name!r}: recording conditions are tested on "
            "embeddings, which its network has not"
        )
    if experiment.query_views("test") > 1:
        raise ConfigError(f"{run.folder}: its test clips have views: recording conditions are tested without")
    experiment = experiment.model_copy(update={"input_type": "wav"})
    return open_test(run, data_root, experiment, kept_embeddings=False, progress=progress)


def degradations(
    test: PreparedTest, names: Sequence[Degradation], progress: Progress = silent
) -> Iterator[ConditionResult]:
    """The accuracy if queries are degraded and the support is as recorded; first without degradation."""
    planned = plan_tasks(test.dataset.data.store.index, test.dataset.data.splits.test, test.protocol)
    rate = (test.dataset.preprocessing or Preprocessing()).sample_rate
    conditions = [clean, *(degraded(name, rate) for name in names)]
    embeddings = embed_conditions(test.system, planned, conditions, progress)
    support = np.zeros(planned.classes.shape, np.int64)
    for number, name in enumerate(("as recorded", *names)):
        accuracy = condition_test(test.system, planned, embeddings, support, np.full_like(support, number))
        yield ConditionResult("degrade", name, accuracy)


def background_classes(names: Sequence[str], way: int) -> list[str]:
    """As many of the training classes as a task has classes, evenly spaced: the backgrounds of a test."""
    return [names[number * len(names) // way] for number in range(way)]


def backgrounds(
    test: PreparedTest, tests: Sequence[BackgroundTest], snr: Sequence[float], progress: Progress = silent
) -> Iterator[ConditionResult]:
    """The accuracy if each class's support clips were recorded over a background of its own.

    Backgrounds are training classes, as many as a task has classes. Queries are over that of their own class ("noisy"),
    over that of another class of the task ("swap"), or over none ("clean").

    Raises:
        ConfigError: there are fewer training classes than classes of a task.
    """
    names, way = test.dataset.data.splits.train, test.protocol.n_way
    if len(names) < way:
        raise ConfigError(
            f"--background: {test.dataset.folders} has {plural(len(names), 'training class')} as backgrounds, "
            f"expected {way}, one for each class of a task"
        )
    chosen = background_classes(names, way)
    planned = plan_tasks(test.dataset.data.store.index, test.dataset.data.splits.test, test.protocol)
    conditions: list[Condition] = [clean]
    conditions += [over_background(test.system, name, ratio) for ratio in snr for name in chosen]
    embeddings = embed_conditions(test.system, planned, conditions, progress)
    own = task_backgrounds(*planned.classes.shape)
    none = np.zeros_like(own)
    yield ConditionResult("background", "none", condition_test(test.system, planned, embeddings, none, none))
    for number, ratio in enumerate(snr):
        support = 1 + number * way + own
        query = {"noisy": support, "swap": 1 + number * way + (own + 1) % way, "clean": none}
        for name in tests:
            accuracy = condition_test(test.system, planned, embeddings, support, query[name])
            yield ConditionResult("background", f"{name}, {ratio:g} dB", accuracy)
