"""From prepared collections of recordings to the run folder of a network for any sound."""

from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.load import change_configs
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.joint import SEPARATOR, DatasetFolders
from fewshot_audio.engine.history import WEIGHTS_FILE
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.functional.seeding import Purpose, fork_rng, torch_seed
from fewshot_audio.models.build import build_network
from fewshot_audio.progress import Progress, silent
from fewshot_audio.runtime.allocator import keep_pages
from fewshot_audio.runtime.tensor_file import save_tensors
from fewshot_audio.studies.any_sound.pool import read_pool
from fewshot_audio.studies.any_sound.training import AnySoundSettings, train_any_sound

ENCODER = "ResNet8"
DECIBELS = 10.0
"""Of one unit of the encoder's input."""


def build_any_sound(
    folder: Path,
    root: Path,
    collections: Sequence[str],
    *,
    calibrated_on: str,
    excluded: Collection[str] = (),
    settings: AnySoundSettings = AnySoundSettings(),
    progress: Progress = silent,
) -> Run:
    """Train on all classes of some datasets, and write a run folder.

    Args:
        folder: the run folder to write.
        root: holds the dataset folders.
        collections: names of the dataset folders, two or more.
        calibrated_on: the dataset whose validation classes a recognizer made of the run is calibrated on.
        excluded: classes that are left out of training, "collection/class".
        settings: of the training.
        progress: called while the work goes on.

    Raises:
        DataError: the datasets were prepared differently or not with ``fill`` "silence", or a class that is excluded is
            not there.
    """
    keep_pages()
    folders = DatasetFolders.find(root, SEPARATOR.join(collections))
    preprocessing = folders.read_preprocessing()
    if preprocessing is None or preprocessing.fill != "silence":
        raise DataError(
            f"{folders}: prepared with fill {'?' if preprocessing is None else preprocessing.fill!r}, "
            "expected 'silence': the network is to tell a sound from its repetition"
        )
    pool = read_pool(folders, excluded, progress)
    experiment, model = any_sound_configs(calibrated_on)
    with fork_rng(torch_seed(settings.seed, "train", 0, 0, Purpose.INIT), torch.device("cpu")):
        network = build_network(experiment, model, preprocessing.n_mels, preprocessing.frames)
        network.set_normalization(0.0, DECIBELS)
        network.set_precision("bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32")
        train_any_sound(network, pool, settings, progress)
    run = Run(
        folder=folder,
        experiment=experiment,
        model=model,
        seed=settings.seed,
        input_shape=(preprocessing.n_mels, preprocessing.frames),
        dataset=folders.name,
        preprocessing=preprocessing,
        runtime={"device": "cpu", "threads": torch.get_num_threads()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS_FILE, network.state_dict())
    run.write()
    return run


def any_sound_configs(dataset: str) -> tuple[ExperimentConfig, ModelConfig]:
    """Configs that build the network; of the experiment's keys, only those matter by which embeddings are compared."""
    changes = {"encoder_name": ENCODER, "embedding_transform": "center_l2", "num_runs": 1}
    return change_configs(*scenario_configs(dataset, 1), changes, "the network for any sound")
