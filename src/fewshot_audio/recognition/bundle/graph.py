"""The network of a bundle without torch: the graph that was built of it on this machine, if there is one."""

import hashlib
import importlib.util
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import safetensors
import safetensors.numpy

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.model import ENCODERS
from fewshot_audio.errors import DataError
from fewshot_audio.models.former_names import rename_former
from fewshot_audio.recognition.bundle.description import read_tensor_file
from fewshot_audio.recognition.bundle.schema import BundleDescription
from fewshot_audio.recognition.embedder import Embedder, SavedNetwork
from fewshot_audio.recognition.graphs import LARGEST_WEIGHTS, NO_GRAPH, graph_key, read_graph

if TYPE_CHECKING:
    from fewshot_audio.models.network import FewShotNetwork

log = logging.getLogger(__name__)

VARIABLE = "FEWSHOT_AUDIO_BACKEND"
"""If this environment variable is "torch", graphs are neither used nor built."""


class NamedNetwork(NamedTuple):
    """A bundle's network: the name of its graph, and the file of its weights as this version writes it."""

    key: str
    content: bytes


def name_network(folder: Path, description: BundleDescription) -> NamedNetwork | None:
    """Name the graph of a bundle's network; None if the network can have none, or is not as the description says."""
    if os.environ.get(VARIABLE) == "torch" or not _is_simple(description.experiment):
        return None
    try:
        _, content = read_tensor_file(folder, "model", description, LARGEST_WEIGHTS)
        digest = description.tensor_file("model")[1]
        if description.format == 1:
            content = _as_written_now(content)
            digest = hashlib.sha256(content).hexdigest()
    except (DataError, safetensors.SafetensorError, ValueError, KeyError, TypeError):
        return None  # reading it in torch says why
    parts = description.model_dump(include={"views", "experiment", "model", "preprocessing"})
    return NamedNetwork(graph_key(digest, **parts), content)


def read_onnx_embedder(folder: Path, description: BundleDescription) -> Embedder | None:
    """Read the embedder that a bundle describes by its graph; None if there is none, or no onnxruntime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    network = name_network(folder, description)
    graph = read_graph(network.key) if network else None
    if network is None or graph is None or graph == NO_GRAPH:
        return None
    content, views, experiment = network.content, description.views, description.experiment

    def build_network() -> "FewShotNetwork":
        import torch

        from fewshot_audio.recognition.bundle.network import torch_embedder

        return torch_embedder(folder, description, content, torch.device("cpu")).network

    try:
        from fewshot_audio.recognition.onnx_embedder import OnnxEmbedder

        return OnnxEmbedder(
            graph,
            description.preprocessing,
            experiment.distance,
            experiment.score_scale,
            SavedNetwork(content, views.numbers if views else None),
            build_network,
        )
    except Exception:
        log.info("%s: its graph cannot be used", folder, exc_info=True)
        return None


def _is_simple(experiment: ExperimentConfig) -> bool:
    """Whether the embedding is a function of the spectrogram, and scores one of distances."""
    # Only the code of built-in encoders is told by this package's version, which is part of a graph's name.
    is_built_in = isinstance(experiment.encoder_name, str) and experiment.encoder_name in ENCODERS.built_in
    return experiment.input_type == "spec" and is_built_in and not experiment.relation_head


def _as_written_now(content: bytes) -> bytes:
    """A file of weights of format 1 as this version writes it: a bundle that is made of it has the same graph."""
    tensors = safetensors.numpy.load(content)
    rename_former(tensors, "network.")
    return safetensors.numpy.save(tensors)
