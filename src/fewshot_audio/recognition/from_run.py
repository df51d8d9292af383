"""A trained run as the start of a recognizer."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ModelConfig, Phase
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.seeding import Purpose, numpy_generator, torch_generator
from fewshot_audio.models.views import make_views
from fewshot_audio.progress import Progress
from fewshot_audio.recognition.calibration import LEAST_CLASSES, Calibration, calibrate
from fewshot_audio.recognition.embedder import Embedder, Views
from fewshot_audio.recognition.open_set import Pool
from fewshot_audio.runtime.device import resolve_device

logger = logging.getLogger(__name__)


def open_run(
    folder: Path, device: str, data_root: Path | None, false_alarm: float, progress: Progress
) -> tuple[Embedder, ModelConfig, Calibration | None]:
    """Read a run's network, freeze its views, and calibrate it where its dataset is at hand."""
    run = Run.read(folder)
    dataset = _dataset(run, data_root)
    preprocessing = run.preprocessing or Preprocessing()
    if (preprocessing.n_mels, preprocessing.frames) != run.input_shape:
        raise DataError(
            f"{folder}: trained on segments of {run.input_shape} whose preprocessing is not known; recordings cannot "
            "be turned into the same (the published one gives "
            f"{(preprocessing.n_mels, preprocessing.frames)}): train on a folder that `prepare` made"
        )
    views = _freeze_views(run, preprocessing, dataset)
    embedder = Embedder(run.trained_network(), run.experiment, preprocessing, views, resolve_device(device, 0))
    if dataset is None:
        logger.warning(
            "%s: its dataset is not at hand (give data_root): probabilities stay uncalibrated, and no sound will be "
            "called unknown",
            folder,
        )
        return embedder, run.model, None
    return embedder, run.model, _calibrate(run, embedder, dataset, false_alarm, progress)


def open_pool(
    embedder: Embedder,
    dataset: DatasetFolders,
    phase: Phase,
    progress: Progress,
    classes: Sequence[str] = (),
) -> Pool:
    """Embed the clips of a split of a dataset folder (or of ``classes``), which has the run's preprocessing.

    Raises DataError for a folder that was prepared otherwise.
    """
    experiment = embedder.experiment
    found = dataset.read_preprocessing()
    if found and found != embedder.preprocessing:
        raise DataError(
            f"{dataset}: the preprocessing differs from what the run was trained with: {found} instead of "
            f"{embedder.preprocessing}"
        )
    kind: Literal["features", "waveforms"] = "waveforms" if experiment.input_type == "wav" else "features"
    store = dataset.open_store(kind, progress, groups=experiment.disjoint_groups)
    if store.shape != embedder.segment_shape:
        raise DataError(f"{dataset} has segments of {store.shape}, but the run was trained on {embedder.segment_shape}")
    names = classes or dataset.read_splits()[phase]
    absent = [name for name in names if name not in store.index.by_class]
    if absent:
        raise DataError(f"{dataset} lacks clips of {len(absent)} classes: {', '.join(absent[:5])}")
    random = numpy_generator(experiment.test_seed, phase, 0, 0, Purpose.DRAW)
    return Pool.embed(embedder, store, names, random, progress)


def _calibrate(
    run: Run, embedder: Embedder, dataset: DatasetFolders, false_alarm: float, progress: Progress
) -> Calibration | None:
    classes = len(dataset.read_splits().validation)
    if classes < LEAST_CLASSES:
        logger.warning("%s: %d validation classes are too few to calibrate (3 needed)", dataset, classes)
        return None
    pool = open_pool(embedder, dataset, "validation", progress)
    return calibrate(
        pool,
        embedder,
        way=min(classes, max(LEAST_CLASSES, run.experiment.n_way_validation)),
        shot=run.experiment.n_shot_validation,
        false_alarm=false_alarm,
        random=numpy_generator(run.experiment.test_seed, "validation", 0, 0, Purpose.EPISODE),
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


def _freeze_views(run: Run, preprocessing: Preprocessing, dataset: DatasetFolders | None) -> Views | None:
    """Draw one segment's views, as testing would, where the run is tested with views."""
    if run.experiment.query_views("test") == 1:
        return None
    stats = dataset.read_wave_stats() if dataset else None
    maker = make_views(run.experiment, preprocessing, stats)
    shape: tuple[int, ...] = (preprocessing.n_mels, preprocessing.frames)
    if run.experiment.input_type == "wav":
        shape = (preprocessing.segment_samples,)
    draw: Views = maker.draw(1, shape, torch_generator(run.experiment.test_seed, "test", 0, 0, Purpose.VIEWS))
    return draw
