"""The ONNX graph of the event network."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio.errors import FewShotError
from fewshot_audio.models.event_network import N_BANDS, EventNetwork
from fewshot_audio.models.onnx_trace import import_onnx, trace

INPUT, OUTPUTS = "pairs", ("embeddings", "presence")
"""Names in the graph: pairs (frames / 2, 2, N_BANDS) -> embeddings (1, frames, WIDTH), presence (1, frames)."""
TOLERANCE = 1e-4
"""Largest difference from torch's numbers, as a share of the largest of them."""
_CHECKS = (64, 301)
"""Pairs of frames on which a graph is compared with torch."""


class _OfPairs(nn.Module):
    """The network, of frames in pairs, so that their number is even."""

    def __init__(self, network: EventNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        embeddings, presence = self.network(pairs.reshape(1, -1, N_BANDS))
        return embeddings, presence


def event_graph(network: EventNetwork) -> bytes:
    """The graph of a network for inference, after a check in onnxruntime that it computes what torch does.

    Raises:
        ConfigError: a package for that is not installed.
        FewShotError: the graph's numbers differ from torch's.
    """
    module, generator = _OfPairs(network).eval(), torch.Generator().manual_seed(0)
    signals = [4.0 * torch.rand(count, 2, N_BANDS, generator=generator) - 0.5 for count in _CHECKS]
    program = trace(module, signals[0], INPUT, OUTPUTS, any_batch=True)
    graph: bytes = program.model_proto.SerializeToString()
    session: Any = import_onnx("onnxruntime").InferenceSession(graph, providers=["CPUExecutionProvider"])
    for signal in signals:
        with torch.inference_mode():
            expected = [values.numpy() for values in module(signal)]
        for own, other in zip(session.run(OUTPUTS, {INPUT: signal.numpy()}), expected, strict=True):
            difference = float(np.abs(own - other).max() / np.abs(other).max())
            if not difference <= TOLERANCE:
                raise FewShotError(f"the event network's graph is {difference:.2g} from torch")
    return graph
