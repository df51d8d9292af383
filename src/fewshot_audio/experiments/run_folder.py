"""A run's folder: its description, written at the start of the run, and its network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import (
    EXPERIMENT_FILE,
    MODEL_CONFIG_FILE,
    ExperimentConfig,
    ModelConfig,
    read_json,
    validate,
)
from fewshot_audio.engine.history import WEIGHTS_FILE, read_weights
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_json
from fewshot_audio.functional.seeding import Purpose, fork_rng, torch_seed
from fewshot_audio.models.build import build_network
from fewshot_audio.models.huggingface import PretrainedEncoder
from fewshot_audio.models.network import FewShotNetwork

RUN_FILE = "run.json"
MAX_SIZE = 1 << 20  # mel bins or frames of a segment


@dataclass(frozen=True)
class Run:
    """A run as its folder describes it.

    Attributes:
        folder: the run's folder.
        experiment: the experiment config.
        model: the model config, complete.
        seed: of this run; ``experiment.seed`` is that of the first run.
        input_shape: mel bins and frames of a segment.
        dataset: fingerprint of the dataset of the training.
        preprocessing: of that dataset, if it is known.
        runtime: device, precision, threads and processes of the training.
    """

    folder: Path
    experiment: ExperimentConfig
    model: ModelConfig
    seed: int
    input_shape: tuple[int, int]
    dataset: str
    preprocessing: Preprocessing | None
    runtime: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read a run's folder. Raises DataError or ConfigError naming the file that is missing or wrong."""
        if not (folder / RUN_FILE).is_file():
            raise DataError(f"{folder}: not a run folder (it has no {RUN_FILE})")
        values = read_json(folder / RUN_FILE)
        try:
            mels, frames = map(int, values["input_shape"])
            if not (0 < mels <= MAX_SIZE and 0 < frames <= MAX_SIZE):
                raise ValueError(f"input_shape is {values['input_shape']}")
            preprocessing = values["preprocessing"]
            return cls(
                folder,
                validate(ExperimentConfig, read_json(folder / EXPERIMENT_FILE), str(folder / EXPERIMENT_FILE)),
                validate(ModelConfig, read_json(folder / MODEL_CONFIG_FILE), str(folder / MODEL_CONFIG_FILE)),
                int(values["seed"]),
                (mels, frames),
                str(values["dataset"]),
                Preprocessing.of(**preprocessing) if preprocessing is not None else None,
                dict(values["runtime"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{folder / RUN_FILE}: not as this program writes it ({error!r})") from error

    def write(self) -> None:
        """Write the folder's configs, and last ``run.json``, which marks it as a run folder."""
        write_json(self.folder / EXPERIMENT_FILE, self.experiment.model_dump())
        write_json(self.folder / MODEL_CONFIG_FILE, self.model.model_dump())
        values = {
            "seed": self.seed,
            "input_shape": self.input_shape,
            "dataset": self.dataset,
            "preprocessing": self.preprocessing.model_dump() if self.preprocessing else None,
            "runtime": self.runtime,
        }
        write_json(self.folder / RUN_FILE, values)

    def untrained_network(self) -> FewShotNetwork:
        """The network with the initial weights of the run's seed, and those of a pretrained encoder.

        Raises:
            ConfigError: the files of a pretrained encoder are missing.
        """
        network = self._network()
        if isinstance(network.encoder, PretrainedEncoder):
            network.encoder.load_pretrained()
        return network

    def trained_network(self) -> FewShotNetwork:
        """The network with the run's best weights, on the CPU.

        Raises:
            DataError: the file of weights is missing, damaged, or of another network.
        """
        network = self._network()
        try:
            network.load_state_dict(read_weights(self.folder))
        except (RuntimeError, TypeError) as error:
            raise DataError(f"{self.folder / WEIGHTS_FILE}: does not fit the run's configs ({error})") from error
        return network

    def _network(self) -> FewShotNetwork:
        with fork_rng(torch_seed(self.seed, "train", 0, 0, Purpose.INIT), torch.device("cpu")):
            return build_network(self.experiment, self.model, *self.input_shape)
