"""What a stranger's recognizer would cost: computed from its description and bounded before anything is built."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig, with_widths
from fewshot_audio.config.model import MOST_MEMBERS, CNNConfig, ResNet8Config, ResNet12Config
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.models.build import build_network
from fewshot_audio.models.huggingface import PretrainedEncoder
from fewshot_audio.models.network import FewShotNetwork

LARGEST_COUNT = 2**20  # of channels, units, views ...
MAX_LAYERS = 64
MAX_SAMPLES = 1 << 25  # of a segment: 10 minutes at 48 kHz
MAX_FEATURES = 1 << 24  # numbers in the spectrogram of a segment
MAX_SPECTRUM = 1 << 26  # numbers in its short-time Fourier transform
MAX_ACTIVATIONS = 1 << 28  # numbers in the largest map of a segment and its views
MAX_PARAMETERS = 1 << 31
MAX_WORK = 10**14  # multiplications for a segment, if every weight met every point of the spectrogram


def check_segment_cost(preprocessing: Preprocessing) -> None:
    """Bound what a segment takes before it reaches the network. Raises DataError naming what is too large."""
    frames, samples = preprocessing.frames, preprocessing.segment_samples
    _bound("samples of a segment", samples, MAX_SAMPLES)
    _bound("frames x mel bins of a segment", frames * preprocessing.n_mels, MAX_FEATURES)
    _bound("frames x frequencies of a segment", frames * (preprocessing.n_fft // 2 + 1), MAX_SPECTRUM)


def check_network_cost(experiment: ExperimentConfig, model: ModelConfig, preprocessing: Preprocessing) -> None:
    """Bound the sizes of a network, and the memory and work of one segment in it, by its description alone.

    Raises:
        DataError: names what is too large.
    """
    _bound("model.members", model.members if isinstance(model.members, int) else len(model.members), MOST_MEMBERS)
    views = experiment.query_views("test")
    _bound("views of a segment", views, LARGEST_COUNT)
    name = experiment.encoder_name
    model = with_widths(experiment, model)
    encoders = [model.encoder(member) for member in model.member_kinds(name)]
    sections = [*encoders, model.Attention, model.Projection, model.Relation]
    for section in sections:
        for key, value in section.model_dump(exclude={"definition"}).items():
            for number in value if isinstance(value, list) else [value]:
                if isinstance(number, int):
                    limit = MAX_LAYERS if "layers" in key else LARGEST_COUNT
                    _bound(f"model.{type(section).__name__.removesuffix('Config')}.{key}", number, limit)
    points = preprocessing.n_mels * preprocessing.frames
    for encoder in encoders:
        if isinstance(encoder, CNNConfig):
            _bound("activations of a segment", views * encoder.hidden_channels * points, MAX_ACTIVATIONS)
        elif isinstance(encoder, ResNet8Config | ResNet12Config):
            _bound("activations of a segment", views * max(encoder.widths) * points, MAX_ACTIVATIONS)


def build_bounded(experiment: ExperimentConfig, model: ModelConfig, preprocessing: Preprocessing) -> FewShotNetwork:
    """Build the network without memory for its weights, on the device "meta".

    Raises:
        DataError: it has too many weights, or one segment would take too much memory or work.
        ConfigError: a pretrained encoder's definition is foreign.
    """
    mels, frames = preprocessing.n_mels, preprocessing.frames

    def build() -> FewShotNetwork:
        with torch.device("meta"):
            return build_network(experiment, model, mels, frames)

    network = build()
    parameters = sum(value.numel() for value in network.state_dict().values())
    _bound("weights of the network", parameters, MAX_PARAMETERS)
    if isinstance(network.encoder, PretrainedEncoder):
        _measure(build().encoder.eval(), preprocessing)
    else:
        _bound("multiplications for a segment", parameters * mels * frames, MAX_WORK)
    return network


class _Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stops a forward pass at the first output, or table of attention scores, that is too large."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "scaled_dot_product" in str(func):  # never holds the whole table, but takes the time for it
            query, key = args[0], args[1]
            _bound("activations of a segment", query.numel() // query.shape[-1] * key.shape[-2], MAX_ACTIVATIONS)
        output = func(*args, **(kwargs or {}))
        for value in output if isinstance(output, tuple | list) else (output,):
            if isinstance(value, Tensor):
                _bound("activations of a segment", value.numel(), MAX_ACTIVATIONS)
        return output


def _measure(encoder: nn.Module, preprocessing: Preprocessing) -> None:
    """Follow one segment through a pretrained encoder with tensors that have shapes but no memory.

    The encoder, built on "meta", cannot be used afterwards.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    assert isinstance(encoder, PretrainedEncoder)
    assert encoder.sample_rate is not None
    samples = math.ceil(preprocessing.segment_samples * encoder.sample_rate / preprocessing.sample_rate)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
            _move_from_meta(encoder)
            with _Memory():  # type: ignore[no-untyped-call]
                encoder(torch.zeros(1, samples))
    except FewShotError:
        raise
    except Exception as error:  # transformers and torch raise anything for a contradictory description
        raise DataError(f"model.Pretrained.definition: a segment cannot be embedded by it ({error})") from error


def _move_from_meta(module: nn.Module) -> None:
    """Put a module on the CPU, with new tensors of the same shapes; ``to_empty`` refuses to within a fake mode."""
    part: Any
    for part in module.modules():
        if getattr(part, "enable_fusion", False):  # CLAP's, of recordings longer than its window, which asks for values
            part.enable_fusion = False
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(torch.empty(value.shape, dtype=value.dtype), requires_grad=False)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = torch.empty(value.shape, dtype=value.dtype)


def _bound(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise DataError(f"{what}: {value}, expected at most {limit}")
