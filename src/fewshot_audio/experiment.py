"""An experiment: checks before any work, then its runs, each trained and tested once, and their results."""

import hashlib
import io
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import read_wave_stats
from fewshot_audio.config import (
    EXPERIMENT_FILE,
    MODEL_CONFIG_FILE,
    PHASES,
    ExperimentConfig,
    ModelConfig,
    Phase,
    check_classes,
    check_configs,
    check_input,
    read_json,
)
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.data.norm import read_norm
from fewshot_audio.data.splits import Splits, read_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.evaluate import TaskScores, evaluate_phase
from fewshot_audio.files import clear_leftovers, write_bytes, write_json
from fewshot_audio.groups import check_groups
from fewshot_audio.history import best_epoch
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.pretrained import check_segment, with_definition
from fewshot_audio.progress import Progress, silent
from fewshot_audio.results import Accuracies, summarize_runs, summarize_tasks
from fewshot_audio.runs import RUN_FILE, Run, versions
from fewshot_audio.runtime import Runtime, resolve_device, start_runtime
from fewshot_audio.train import TrainingData, train_run
from fewshot_audio.views import make_views

logger = logging.getLogger(__name__)

RESULT_FILE, ACCURACIES_FILE, RESULTS_FILE = "result.json", "test_accuracies.npy", "results.json"
# A resumed experiment may be given these anew: they change where and how long it runs, not a run's numbers.
RESUMABLE_KEYS = {"num_runs", "data_root", "device", "gpu_index"}


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
    store = SegmentStore.open(folder, "waveforms" if experiment.input_type == "wav" else "features", progress)
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
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train and test all runs and return what ``results.json`` holds.

    Everything that can be refused is refused before any work. With ``resume`` finished epochs and runs are kept and
    the rest is done, ending bit-equal to an experiment that was never interrupted (on the CPU).
    """
    for warning in check_configs(experiment, model):
        logger.warning(warning)
    model = with_definition(experiment, model)
    folder = output_root / experiment.experiment_folder
    _check_folder(folder, experiment, model, resume=resume, overwrite=overwrite)
    resolve_device(experiment.device, experiment.gpu_index)  # refuses a missing GPU; each run sets itself up
    dataset = open_dataset(data_root, experiment, progress)
    check_input(experiment, model, *dataset.input_shape)
    rate = (dataset.preprocessing or Preprocessing()).sample_rate
    check_segment(experiment, model, dataset.data.store.shape[-1], rate)
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    clear_leftovers(folder)

    results: list[dict[str, Any]] = []
    accuracies: list[Accuracies] = []
    for number in range(1, experiment.num_runs + 1):
        run_folder = folder / f"run-{number}"

        def report(description: str, done: int, total: int, details: str = "", number: int = number) -> None:
            progress(f"run {number}/{experiment.num_runs}: {description}", done, total, details)

        if not (run_folder / RESULT_FILE).exists():
            _do_run(run_folder, experiment, model, experiment.seed + number - 1, dataset, report)
        results.append(read_json(run_folder / RESULT_FILE))
        accuracies.append(np.load(run_folder / ACCURACIES_FILE, allow_pickle=False))
        summary = {
            **summarize_runs(results, accuracies),
            "dataset": dataset.folder.name,
            "config": {"experiment": experiment.model_dump(), "model": model.model_dump()},
            "versions": versions(),
        }
        write_json(folder / RESULTS_FILE, summary)
    return summary


def evaluate_run(
    run: Run, data_root: Path, experiment: ExperimentConfig, *, untrained: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Test a run's network on the test tasks of ``experiment`` (its own config, or one with other episodes).

    With ``untrained`` the network has the weights that the run started from. Returns what ``test`` holds in
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
    scores = _test(network, experiment, dataset, runtime, progress)
    return {**_summary(scores, experiment), "dataset": dataset.folder.name}


def _check_folder(
    folder: Path, experiment: ExperimentConfig, model: ModelConfig, *, resume: bool, overwrite: bool
) -> None:
    """Refuse a folder that holds another experiment, or this one where neither flag was given."""
    if resume and overwrite:
        raise ConfigError("resume keeps former results and overwrite deletes them: choose one")
    if not folder.exists():
        return
    if overwrite:
        ours = (folder / RESULTS_FILE).exists() or any(folder.glob(f"run-*/{EXPERIMENT_FILE}"))
        if not ours and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not an experiment's folder: it will not be overwritten")
        return
    if not resume:
        raise ConfigError(f"{folder} exists: continue it with --resume, replace it with --overwrite, or choose another")
    for run_file in sorted(folder.glob(f"run-*/{RUN_FILE}")):
        for name, config in ((EXPERIMENT_FILE, experiment), (MODEL_CONFIG_FILE, model)):
            before, now = read_json(run_file.parent / name), config.model_dump()
            old, new = _leaves(before), _leaves(now)
            keys = [key for key in new if old.get(key) != new[key] and key not in RESUMABLE_KEYS]
            if keys:
                changed = ", ".join(f"{key} ({old.get(key)!r} -> {new[key]!r})" for key in keys[:3])
                raise ConfigError(f"{run_file.parent / name}: cannot resume with other settings: {changed}")


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _do_run(
    folder: Path, experiment: ExperimentConfig, model: ModelConfig, seed: int, dataset: Dataset, progress: Progress
) -> None:
    if (folder / RUN_FILE).exists():
        run = Run.read(folder)
        if run.dataset != dataset.fingerprint:
            raise DataError(f"{dataset.folder.path} has changed since {folder} was started: it cannot be resumed")
        runtime = start_runtime(experiment, run.runtime)
    else:
        runtime = start_runtime(experiment)
        shape, fingerprint = dataset.input_shape, dataset.fingerprint
        run = Run(folder, experiment, model, seed, shape, fingerprint, dataset.preprocessing, runtime.as_json())
        run.write()
    network = run.untrained_network()
    network.set_normalization(dataset.mean, dataset.std)
    network.set_precision(runtime.precision)
    network.to(runtime.device)
    history = train_run(network, experiment, dataset.data, seed, folder, progress)
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
    network: FewShotNetwork, experiment: ExperimentConfig, dataset: Dataset, runtime: Runtime, progress: Progress
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
        progress=progress,
    )


def _summary(scores: TaskScores, experiment: ExperimentConfig) -> dict[str, Any]:
    return summarize_tasks(scores.accuracy, experiment.n_way_test, experiment.n_shot_test, experiment.n_query_test)
