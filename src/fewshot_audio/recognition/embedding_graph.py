"""The ONNX graph of a network: from a segment's log-mel features to its rows."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio.errors import FewShotError
from fewshot_audio.models.onnx_trace import import_onnx, trace
from fewshot_audio.recognition.torch_embedder import TorchEmbedder, embed_segments

INPUT, OUTPUT = "features", "rows"
TOLERANCE = 1e-4
"""Largest difference of a row's numbers from torch's, as a share of the largest of them."""
CHECKS = 4  # segments on which a graph is compared with torch


class _SegmentEmbedder(nn.Module):
    """Embeds segments as the recognizer does. Shape: (n, *segment_shape) -> (n, rows, width)."""

    def __init__(self, embedder: TorchEmbedder) -> None:
        super().__init__()
        self.network, self.view_maker, self.views = embedder.network, embedder.view_maker, embedder.views

    def forward(self, features: Tensor) -> Tensor:
        """Normalize, make views, encode, fuse, transform."""
        return embed_segments(self.network, self.view_maker, features, self.views)


def embedding_graph(embedder: TorchEmbedder) -> bytes:
    """The graph of an embedder on the CPU, after a check in onnxruntime that it computes what torch does.

    Raises:
        ConfigError: the network has operators that ONNX lacks, or a package for that is not installed.
        FewShotError: the graph's rows differ from torch's.
    """
    generator = torch.Generator().manual_seed(0)
    network = embedder.network
    signals = network.norm_mean + network.norm_std * torch.randn(CHECKS, *embedder.segment_shape, generator=generator)
    program = trace(_SegmentEmbedder(embedder).eval(), signals[:1], INPUT, [OUTPUT], any_batch=False)
    graph: bytes = program.model_proto.SerializeToString()
    session: Any = import_onnx("onnxruntime").InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = np.concatenate([session.run([OUTPUT], {INPUT: signal.numpy()})[0] for signal in torch.split(signals, 1)])
    expected = embedder.rows(signals.numpy())
    difference = float(np.abs(rows - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise FewShotError(f"the graph's rows are {difference:.2g} from torch's")
    return graph
