"""Recognizers from trained runs: the network, its frozen views and its calibration."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig, Phase
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import ConfigError, DataError, plural
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.seeding import Purpose, numpy_generator, torch_generator
from fewshot_audio.models.embedded_views import make_views_of_recordings
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.progress import Progress
from fewshot_audio.recognition.calibration import LEAST_CLASSES, Calibration, calibrate
from fewshot_audio.recognition.embedder import Embedder, segment_shape
from fewshot_audio.recognition.open_set_tasks import Pool
from fewshot_audio.recognition.torch_embedder import TorchEmbedder, Views
from fewshot_audio.runtime.device import resolve_device

logger = logging.getLogger(__name__)


def open_run(
    folder: Path, device: str, data_root: Path | None, false_alarm: float, progress: Progress
) -> tuple[Embedder, ExperimentConfig, ModelConfig, Calibration | None]:
    """Read a run's network, freeze its views, and calibrate it if its dataset is found.

    Args:
        folder: the run's folder.
        device: "cpu", "cuda" or "auto".
        data_root: folder of the dataset folders; None takes the run's own, and a dataset that is missing there is no
            error.
        false_alarm: share of clips of enrolled classes that may be called unknown.
        progress: reports the clips embedded and the tasks done.

    Returns:
        The embedder, the run's two configs, and the calibration; None if there is no dataset or it has too few
        validation classes.

    Raises:
        DataError: it is no run, its preprocessing is not recorded, or ``data_root`` lacks the dataset.
        ConfigError: the device is not usable.
    """
    run = Run.read(folder)
    if run.experiment.algorithm.adapts:
        raise ConfigError(
            f"{folder}: algorithm.name is {run.experiment.algorithm.name!r}: its network is adapted to each task "
            "and has no embeddings to enroll clips with; train with another algorithm"
        )
    dataset = _dataset(run, data_root)
    preprocessing = run.preprocessing or Preprocessing()
    if (preprocessing.n_mels, preprocessing.frames) != run.input_shape:
        raise DataError(
            f"{folder}: the run's segments have shape {run.input_shape}, and their preprocessing is not recorded; the "
            f"published one gives {(preprocessing.n_mels, preprocessing.frames)}, so recordings cannot be prepared as "
            "in training: train on a folder that `prepare` made"
        )
    has_views = run.experiment.query_views("test") > 1
    stats = dataset.read_wave_stats() if dataset and has_views and run.experiment.input_type == "wav" else None
    view_maker = make_views_of_recordings(run.experiment, run.model, preprocessing, stats)
    embedder = TorchEmbedder(
        run.trained_network(),
        preprocessing,
        run.experiment.input_type,
        view_maker,
        _freeze_views(run.experiment, preprocessing, view_maker) if has_views else None,
        resolve_device(device, 0),
    )
    if dataset is None:
        logger.warning(
            "%s: its dataset %s was not found (--data-root names the folder that holds it): probabilities stay "
            "uncalibrated, and no sound will be called unknown",
            folder,
            run.experiment.dataset_name,
        )
        return embedder, run.experiment, run.model, None
    calibration = _calibrate(run.experiment, embedder, dataset, false_alarm, progress)
    return embedder, run.experiment, run.model, calibration


def open_pool(
    embedder: Embedder,
    experiment: ExperimentConfig,
    dataset: DatasetFolders,
    phase: Phase,
    classes: Sequence[str],
    progress: Progress,
) -> Pool:
    """Embed the clips of some classes of a dataset folder.

    Args:
        embedder: embeds the clips.
        experiment: the run's config, whose seed draws a share of each class if there are too many clips.
        dataset: the dataset folder, prepared as the run's.
        phase: the phase that the classes are used in; it seeds the draw too.
        classes: names of the classes.
        progress: reports the clips embedded.

    Raises:
        DataError: the folder was prepared otherwise, or lacks clips of a class.
    """
    preprocessing = dataset.read_preprocessing()
    if preprocessing and preprocessing != embedder.preprocessing:
        raise DataError(
            f"{dataset}: the preprocessing differs from what the run was trained with: {preprocessing} instead of "
            f"{embedder.preprocessing}"
        )
    kind: Literal["features", "waveforms"] = "waveforms" if embedder.input_type == "wav" else "features"
    store = dataset.open_store(kind, progress, groups=experiment.disjoint_groups)
    if store.shape != embedder.segment_shape:
        raise DataError(f"{dataset} has segments of {store.shape}, but the run was trained on {embedder.segment_shape}")
    absent = [name for name in classes if name not in store.index.by_class]
    if absent:
        raise DataError(f"{dataset} lacks clips of {len(absent)} classes: {', '.join(absent[:5])}")
    random = numpy_generator(experiment.test_seed, phase, 0, 0, Purpose.DRAW)
    return Pool.embed(embedder, store, classes, random, progress)


def _calibrate(
    experiment: ExperimentConfig, embedder: Embedder, dataset: DatasetFolders, false_alarm: float, progress: Progress
) -> Calibration | None:
    classes = dataset.read_splits().validation
    if len(classes) < LEAST_CLASSES:
        logger.warning(
            "%s: not calibrated: its splits have %s for validation, %d are needed",
            dataset,
            plural(len(classes), "class"),
            LEAST_CLASSES,
        )
        return None
    return calibrate(
        open_pool(embedder, experiment, dataset, "validation", classes, progress),
        embedder,
        experiment.tie_strategy,
        way=min(len(classes), max(LEAST_CLASSES, experiment.n_way_validation)),
        shot=experiment.n_shot_validation,
        false_alarm=false_alarm,
        random=numpy_generator(experiment.test_seed, "validation", 0, 0, Purpose.EPISODE),
        progress=progress,
    )


def _dataset(run: Run, data_root: Path | None) -> DatasetFolders | None:
    root = data_root or (Path(run.experiment.data_root) if run.experiment.data_root else None)
    try:
        return DatasetFolders.find(root, run.experiment.dataset_name) if root else None
    except DataError:
        if data_root:
            raise
        return None


def _freeze_views(experiment: ExperimentConfig, preprocessing: Preprocessing, view_maker: ViewMaker) -> Views:
    """Draw one segment's views, as testing would."""
    shape = segment_shape(preprocessing, experiment.input_type)
    draw: Views = view_maker.draw(1, shape, torch_generator(experiment.test_seed, "test", 0, 0, Purpose.VIEWS))
    return draw
