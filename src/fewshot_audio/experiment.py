"""An experiment: checks before any work, then its runs, each trained and tested once, and their results."""

import hashlib
import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import read_wave_stats
from fewshot_audio.config import (
    PHASES,
    ExperimentConfig,
    ModelConfig,
    Phase,
    check_classes,
    check_configs,
    check_input,
    check_steps,
)
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import read_norm
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.evaluate import TaskScores, evaluate_phase
from fewshot_audio.experiment_folder import ACCURACIES_FILE, RESULT_FILE, ExperimentFolder
from fewshot_audio.files import write_bytes, write_json
from fewshot_audio.groups import check_groups
from fewshot_audio.history import Row, best_epoch
from fewshot_audio.loading import TrainingData
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.ranks import ALONE, Ranks
from fewshot_audio.results import summarize_tasks
from fewshot_audio.runs import RUN_FILE, Run
from fewshot_audio.runtime import Runtime, resolve_device, start_runtime
from fewshot_audio.views import make_views

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """An opened dataset folder."""

    folder: DatasetFolder
    data: TrainingData
    mean: float
    std: float
    preprocessing: Preprocessing | None

    @property
    def fingerprint(self) -> str:
        """Changes with the clips, their segments, the splits and the normalisation numbers."""
        store, splits = self.data.store, self.data.splits
        names = [splits[phase] for phase in PHASES], store.classes, store.clips, self.mean, self.std
        digest = hashlib.sha256(repr(names).encode("utf-8", "surrogateescape"))
        digest.update(store.class_of.tobytes() + store.index.offsets.tobytes())
        return digest.hexdigest()

    @property
    def input_shape(self) -> tuple[int, int]:
        """Mel bins and frames that the network sees."""
        return self.data.views.input_shape(self.data.store.shape)


def open_dataset(
    root: Path, experiment: ExperimentConfig, progress: Progress = silent, phases: Sequence[Phase] = PHASES
) -> Dataset:
    """Open the experiment's dataset and check that it offers what the episodes of ``phases`` ask for.

    Raises DataError or ConfigError naming the file, class or key.
    """
    folder = find_dataset(root, experiment.dataset_name)
    splits = read_splits(folder.splits)
    mean, std = read_norm(folder.norm_stats)
    kind: Literal["features", "waveforms"] = "waveforms" if experiment.input_type == "wav" else "features"
    store = SegmentStore.open(folder, kind, progress, experiment.store_precision)
    absent = [name for name in splits.classes if name not in store.index.by_class]
    if absent:
        listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise DataError(f"{folder.splits} names {len(absent)} classes that {folder.features} lacks: {listed}")
    counts = {phase: {name: len(store.index.by_class[name]) for name in splits[phase]} for phase in phases}
    check_classes(experiment, counts)
    if experiment.disjoint_groups:
        _use_groups(store, folder, splits, experiment, phases)
    known = folder.preprocessing.is_file()
    text = folder.preprocessing.read_text(encoding="utf-8") if known else ""
    preprocessing = Preprocessing.from_json(text, str(folder.preprocessing)) if known else None
    stats = read_wave_stats(folder.wave_stats) if folder.wave_stats.is_file() else None
    views = make_views(experiment, preprocessing, stats)
    return Dataset(folder, TrainingData(store, splits, views), mean, std, preprocessing)


def _use_groups(
    store: SegmentStore, folder: DatasetFolder, splits: Splits, experiment: ExperimentConfig, phases: Sequence[Phase]
) -> None:
    """Let the store know its clips' source recordings, and check that there are enough of them."""
    if not store.read_groups(folder.clips):
        logger.warning("disjoint_groups is true, but %s knows no source recordings: it has no effect", folder.clips)
    groups = store.index.groups
    if groups is not None:
        for phase in phases:
            by_class = {name: store.index.by_class[name] for name in splits[phase]}
            check_groups(groups, by_class, experiment.shot(phase), experiment.query(phase), phase)


def run_experiment(
    experiment: ExperimentConfig,
    model: ModelConfig,
    data_root: Path,
    output_root: Path = Path("experiments"),
    *,
    resume: bool = False,
    overwrite: bool = False,
    runs: Sequence[int] | None = None,
    ranks: Ranks = ALONE,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and test all runs, or those numbered in ``runs`` (from 1), and return what ``results.json`` holds.

    Everything that can be refused is refused before any work. With ``resume`` finished epochs and runs are kept and
    the rest is done, ending bit-equal to an experiment that was never interrupted (on the CPU). ``ranks`` train each
    run together; all call this function alike, and rank zero alone writes and tests.
    """
    folder = ExperimentFolder(output_root / experiment.experiment_folder)
    chosen = range(1, experiment.num_runs + 1) if runs is None else runs

    def check() -> None:
        for warning in check_configs(experiment, model):
            logger.warning(warning)
        check_steps(experiment, ranks.size)
        if not set(chosen) <= set(range(1, experiment.num_runs + 1)):
            raise ConfigError(f"runs are numbered from 1 to num_runs, which is {experiment.num_runs}: got {chosen}")
        folder.check(experiment, model, resume=resume, overwrite=overwrite)
        resolve_device(experiment.device, experiment.gpu_index)  # refuses a missing GPU; each run sets itself up

    ranks.decide(check)
    dataset = ranks.together(lambda: open_dataset(data_root, experiment, progress if ranks.leads else silent))
    ranks.together(lambda: check_input(experiment, model, *dataset.input_shape))
    if overwrite:
        ranks.decide(folder.delete)

    summary: dict[str, Any] = {}
    for number in chosen:

        def report(description: str, done: int, total: int, details: str = "", number: int = number) -> None:
            progress(f"run {number}/{experiment.num_runs}: {description}", done, total, details)

        if not ranks.decide(partial(folder.done, number)):
            with _locked(folder, number, ranks):
                seed = experiment.seed + number - 1
                _do_run(folder.run(number), experiment, model, seed, dataset, ranks, report)
        summary = ranks.decide(partial(folder.summarize, experiment, model, dataset.folder.name))
    return summary


@contextmanager
def _locked(folder: ExperimentFolder, number: int, ranks: Ranks) -> Iterator[None]:
    """Have rank zero keep other processes off a run."""
    with ExitStack() as held:

        def lock() -> None:
            held.enter_context(folder.working_on(number))

        ranks.decide(lock)
        yield


def evaluate_run(
    run: Run,
    data_root: Path,
    experiment: ExperimentConfig,
    *,
    untrained: bool = False,
    fresh_views: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Test a run's network on the test tasks of ``experiment`` (its own config, or one with other episodes).

    With ``untrained`` the network has the weights that the run started from; with ``fresh_views`` test-time views are
    drawn anew for every task instead of from a pool. Returns what ``test`` holds in
    ``results.json``, and the dataset's name.
    """
    runtime = start_runtime(experiment)
    dataset = open_dataset(data_root, experiment, progress, phases=("test",))
    if run.preprocessing and dataset.preprocessing and run.preprocessing != dataset.preprocessing:
        raise DataError(
            f"{dataset.folder.preprocessing} differs from the preprocessing that the run was trained with: "
            f"{dataset.preprocessing} instead of {run.preprocessing}"
        )
    if dataset.input_shape != run.input_shape:
        raise DataError(
            f"{dataset.folder.path} has segments of {dataset.input_shape}, but the run was trained on {run.input_shape}"
        )
    if dataset.fingerprint != run.dataset and experiment.dataset_name.lower() == run.experiment.dataset_name.lower():
        logger.warning("%s has changed since the run was trained on it: are its test classes new?", dataset.folder.path)
    network = run.untrained_network() if untrained else run.trained_network()
    if untrained:
        network.set_normalization(dataset.mean, dataset.std)
    scores = _test(network, experiment, dataset, runtime, progress, fresh_views)
    return {**_summary(scores, experiment), "dataset": dataset.folder.name}


def _do_run(
    folder: Path,
    experiment: ExperimentConfig,
    model: ModelConfig,
    seed: int,
    dataset: Dataset,
    ranks: Ranks,
    progress: Progress,
) -> None:
    from fewshot_audio.train import train_run  # Lightning takes seconds to import: testing does without

    run = ranks.decide(lambda: _recorded(folder, dataset, ranks))
    runtime = ranks.together(lambda: start_runtime(ranks.placed(experiment), run.runtime if run else None))
    if run is None:
        shape, fingerprint = dataset.input_shape, dataset.fingerprint
        recorded = {**runtime.as_json(), "processes": ranks.size}
        run = Run(folder, experiment, model, seed, shape, fingerprint, dataset.preprocessing, recorded)
        ranks.decide(run.write)
    network = run.untrained_network()
    network.set_normalization(dataset.mean, dataset.std)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    history = train_run(network, experiment, dataset.data, seed, folder, progress, ranks)
    ranks.decide(lambda: _finish(folder, network, experiment, seed, dataset, runtime, history, progress))


def _recorded(folder: Path, dataset: Dataset, ranks: Ranks) -> Run | None:
    """The run as it was started, if it was. Raises where it cannot go on to the same end."""
    if not (folder / RUN_FILE).exists():
        return None
    run = Run.read(folder)
    if run.dataset != dataset.fingerprint:
        raise DataError(f"{dataset.folder.path} has changed since {folder} was started: it cannot be resumed")
    processes = run.runtime.get("processes", 1)
    if processes != ranks.size:
        raise ConfigError(
            f"{folder} was started with {processes} processes (devices x nodes), a step's episodes each; it cannot go "
            f"on with {ranks.size}"
        )
    return run


def _finish(
    folder: Path,
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    seed: int,
    dataset: Dataset,
    runtime: Runtime,
    history: list[Row],
    progress: Progress,
) -> None:
    """Test a trained run and write its result."""
    without = sum(row["episodes_without_pairs"] for row in history)
    if without:
        logger.warning(
            "%d of %d training episodes had no mined triplet", without, len(history) * experiment.n_training_tasks
        )
    testing_began = time.perf_counter()
    scores = _test(network, experiment, dataset, runtime, progress)
    buffer = io.BytesIO()
    np.save(buffer, scores.accuracy)
    write_bytes(folder / ACCURACIES_FILE, buffer.getvalue())
    best = best_epoch(history)
    result = {
        "seed": seed,
        "best_epoch": best,
        "epochs": len(history),
        "val_accuracy": history[best - 1]["val_accuracy"],
        "test": _summary(scores, experiment),
        "seconds": round(sum(row["seconds"] for row in history) + time.perf_counter() - testing_began, 1),
    }
    write_json(folder / RESULT_FILE, result)  # comes last: it marks the run as done


def _test(
    network: FewShotNetwork,
    experiment: ExperimentConfig,
    dataset: Dataset,
    runtime: Runtime,
    progress: Progress,
    fresh_views: bool = False,
) -> TaskScores:
    network.set_precision("fp32")  # whatever training used, reported numbers are computed in full
    network.to(torch.device(runtime.device))
    return evaluate_phase(
        network,
        experiment,
        dataset.data.store,
        dataset.data.views,
        dataset.data.splits.test,
        "test",
        seed=experiment.test_seed,
        tasks=experiment.n_testing_tasks,
        fresh_views=fresh_views,
        progress=progress,
    )


def _summary(scores: TaskScores, experiment: ExperimentConfig) -> dict[str, Any]:
    return summarize_tasks(scores.accuracy, experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test)
