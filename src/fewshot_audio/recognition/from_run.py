"""A trained run as the start of a recogniser."""

import logging
from pathlib import Path

import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import read_wave_stats
from fewshot_audio.config import ModelConfig
from fewshot_audio.data.layout import DatasetFolder, find_dataset
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress
from fewshot_audio.randomness import Purpose, torch_generator
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder, Views
from fewshot_audio.runs import Run
from fewshot_audio.runtime import resolve_device
from fewshot_audio.views import make_views

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
    embedder = Embedder(run.trained_network(), run.experiment, preprocessing, views, _device(device))
    return embedder, run.model, None


def _device(name: str) -> torch.device:
    return resolve_device(name, 0)


def _dataset(run: Run, data_root: Path | None) -> DatasetFolder | None:
    root = data_root or (Path(run.experiment.data_root) if run.experiment.data_root else None)
    try:
        return find_dataset(root, run.experiment.dataset_name) if root else None
    except DataError:
        if data_root:
            raise
        return None


def _freeze_views(run: Run, preprocessing: Preprocessing, dataset: DatasetFolder | None) -> Views | None:
    """Draw one segment's views, as testing would, where the run is tested with views."""
    if run.experiment.query_views("test") == 1:
        return None
    stats = read_wave_stats(dataset.wave_stats) if dataset and dataset.wave_stats.is_file() else None
    maker = make_views(run.experiment, preprocessing, stats)
    shape: tuple[int, ...] = (preprocessing.n_mels, preprocessing.frames)
    if run.experiment.input_type == "wav":
        shape = (preprocessing.segment_samples,)
    draw: Views = maker.draw(1, shape, torch_generator(run.experiment.test_seed, "test", 0, 0, Purpose.VIEWS))
    return draw
