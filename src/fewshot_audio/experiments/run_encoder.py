"""A trained network as a frozen encoder: an ONNX file from a waveform to the network's embedding of it."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio import __version__
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config.frozen import RUN, frozen_references, in_words
from fewshot_audio.config.model import PRETRAINED
from fewshot_audio.engine.history import WEIGHTS_FILE
from fewshot_audio.errors import ConfigError, DataError, FewShotError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.frozen.check import CheckedEncoder
from fewshot_audio.models.frozen.conversion import sha256
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.installed import install, installed_encoders
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.onnx_trace import trace

TOLERANCE = 1e-3
"""Largest difference of an embedding's numbers from torch's, as a share of the largest of them."""


def run_as_encoder(reference: str) -> EncoderDescription:
    """The encoder of "run:<folder>", which is made of the run's network and kept among this user's encoders.

    Raises:
        DataError: the folder is no run, or lacks its weights.
        ConfigError: its network cannot be an encoder.
        WriteError: it cannot be kept.
    """
    folder = Path(reference.removeprefix(RUN))
    run = Run.read(folder)
    name = f"run-{_key(run)[:12]}"
    installed = installed_encoders()
    return installed[name] if name in installed else install(check_run(run, name))


def check_run(run: Run, name: str) -> CheckedEncoder:
    """Make an encoder of a run's network, under that name. Raises what ``run_as_encoder`` does."""
    experiment = run.experiment
    if frozen_references(experiment.encoder_name) or in_words(experiment.encoder_name).startswith(PRETRAINED):
        raise ConfigError(
            f"{run.folder}: its network is layers on {in_words(experiment.encoder_name)}: name that instead"
        )
    if experiment.use_attention:
        raise ConfigError(f"{run.folder}: use_attention is true: its network embeds a segment with its views only")
    preprocessing = run.preprocessing or Preprocessing()
    if (preprocessing.n_mels, preprocessing.frames) != run.input_shape:
        raise DataError(f"{run.folder}: its preprocessing is not recorded, so that waveforms cannot be embedded")
    module = WaveformEmbedder(run.trained_network(), preprocessing)
    return network_encoder(module, name, f"the run {run.folder.name} of {experiment.experiment_folder}"[:300])


class WaveformEmbedder(nn.Module):
    """A network on segments of a waveform with standard deviation 1, in evaluation mode, without views.

    Args:
        network: the network.
        preprocessing: how recordings became segments and features in training.

    Shape: (n, segment_samples) -> (n, width).
    """

    def __init__(self, network: FewShotNetwork, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing
        self.front_end = preprocessing.front_end(torch.float64)
        self.eval()

    def forward(self, waveforms: Tensor) -> Tensor:
        """Compute the features, and embed them."""
        features = self.network.normalize(self.front_end(waveforms.double()).float())
        return self.network.embed(features.unsqueeze(1)).squeeze(1)


def network_encoder(module: WaveformEmbedder, name: str, source: str) -> CheckedEncoder:
    """Make an encoder of a network, after a check that onnxruntime computes what torch does.

    Args:
        module: the network.
        name: of the encoder.
        source: what is said of where it comes from.

    Raises:
        ConfigError: the network has operators that ONNX lacks, or a package for that is not installed.
        FewShotError: the embeddings differ from torch's.
    """
    samples, rate = module.preprocessing.segment_samples, module.preprocessing.sample_rate
    noise = np.random.default_rng(0).normal(size=(1, samples)).astype(np.float32)
    program = trace(module, torch.from_numpy(noise), "waveform", ["embedding"], any_batch=False)
    content: bytes = program.model_proto.SerializeToString()
    values = {
        "name": name,
        "file": "model.onnx",
        "sha256": sha256(content),
        "sample_rate": rate,
        "level": 1.0,
        "window": samples,
        "hop": samples,
        "input": "waveform",
        "layout": ["one", "samples"],
        "output": "embedding",
        "width": module.network.width,
        "license": "yours",
        "source": source,
    }
    description = EncoderDescription.model_validate(values)
    encoder = FrozenEncoder(description, content)
    start = time.perf_counter()
    embedding = encoder.embed(noise[0], rate)
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        expected = module(torch.from_numpy(noise))[0].numpy()
    difference = float(np.abs(embedding - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise FewShotError(f"the embeddings of the encoder {name!r} are {difference:.2g} from torch's")
    return CheckedEncoder(description, content, sha256(content), seconds)


def _key(run: Run) -> str:
    """A digest of all that a run's embeddings depend on."""
    try:
        weights = sha256((run.folder / WEIGHTS_FILE).read_bytes())
    except OSError as error:
        raise DataError(f"{run.folder / WEIGHTS_FILE}: cannot be read ({error.strerror or error})") from error
    preprocessing = run.preprocessing.model_dump() if run.preprocessing else None
    values = [__version__, weights, run.experiment.model_dump(), run.model.model_dump(), preprocessing]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
