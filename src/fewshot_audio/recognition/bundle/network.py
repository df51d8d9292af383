"""The network of a bundle that anybody may have made, in torch: its size and cost are bounded before it is built."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fewshot_audio.config import check_configs, check_input
from fewshot_audio.errors import DataError
from fewshot_audio.models.embedded_views import make_views_of_recordings
from fewshot_audio.models.former_names import rename_former
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.bundle.cost import build_bounded, check_network_cost, check_segment_cost
from fewshot_audio.recognition.bundle.description import explained, in_words, read_tensor_file
from fewshot_audio.recognition.bundle.frozen_views import join_views
from fewshot_audio.recognition.bundle.schema import BundleDescription
from fewshot_audio.recognition.torch_embedder import TorchEmbedder

LARGEST_REST = 16 << 20  # bytes that a file of tensors may have for the frozen views and its own header
LARGEST_ENTRY = 400  # bytes of a tensor's entry in that header


def read_torch_embedder(folder: Path, description: BundleDescription, device: torch.device) -> TorchEmbedder:
    """Build the embedder that a bundle describes, with the bundle's weights, on ``device``.

    Raises:
        DataError: the network costs too much, or its file does not hold what the description implies.
    """
    network = _network_without_weights(folder, description)
    state = network.state_dict().values()
    n_bytes = sum(value.numel() * value.element_size() for value in state)
    largest = n_bytes + LARGEST_REST + LARGEST_ENTRY * len(state)
    path, content = read_tensor_file(folder, "model", description, largest)
    return _embedder(network, description, path, content, device)


def torch_embedder(folder: Path, description: BundleDescription, content: bytes, device: torch.device) -> TorchEmbedder:
    """As ``read_torch_embedder`` does, with the content of the network's file; ``folder`` is for messages.

    Raises:
        DataError: the network costs too much, or its file does not hold what the description implies.
    """
    network = _network_without_weights(folder, description)
    return _embedder(network, description, folder / description.tensor_file("model")[0], content, device)


def _embedder(
    network: FewShotNetwork, description: BundleDescription, path: Path, content: bytes, device: torch.device
) -> TorchEmbedder:
    """Give the network its weights; ``path`` is for messages."""
    experiment, preprocessing = description.experiment, description.preprocessing
    tensors = _tensors(path, content)
    views = explained(path, lambda: join_views(experiment, preprocessing, description.views, tensors))
    _load_weights(path, network, tensors)
    model = description.model
    view_maker = explained(path, lambda: make_views_of_recordings(experiment, model, preprocessing, None))
    return TorchEmbedder(network, preprocessing, experiment.input_type, view_maker, views, device)


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return tensors


def _network_without_weights(folder: Path, description: BundleDescription) -> FewShotNetwork:
    """Build the network that is described, on the device "meta", if its size and cost are bounded."""
    experiment, model, preprocessing = description.experiment, description.model, description.preprocessing

    def build() -> FewShotNetwork:
        check_segment_cost(preprocessing)
        check_network_cost(experiment, model, preprocessing)
        check_configs(experiment, model)
        check_input(experiment, model, preprocessing.n_mels, preprocessing.frames)
        return build_bounded(experiment, model, preprocessing)

    return explained(folder / BUNDLE_FILE, build)


def _load_weights(path: Path, network: FewShotNetwork, tensors: dict[str, Tensor]) -> None:
    """Give the network its weights, if they have the names, shapes and types that the config implies."""
    state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    rename_former(state)
    expected_state = network.state_dict()
    for name in sorted(expected_state.keys() | state.keys()):
        expected, actual = expected_state.get(name), state.get(name)
        if expected is None or actual is None or expected.shape != actual.shape or expected.dtype != actual.dtype:
            raise DataError(f"{path}: network.{name} is {in_words(actual)}, expected {in_words(expected)}")
    if not state["norm_std"] > 0:
        raise DataError(f"{path}: network.norm_std is {float(state['norm_std'])}, expected a number above 0")
    others = [name for name in tensors if not name.startswith(("network.", "views."))]
    if others:
        raise DataError(f"{path}: has the tensor {others[0]!r}, which a recognizer does not have")
    network.load_state_dict(state, assign=True)
