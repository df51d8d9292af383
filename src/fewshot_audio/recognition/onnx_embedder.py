"""The embedder that computes in onnxruntime, which is imported ten times as fast as torch."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.config.experiment import Distance
from fewshot_audio.recognition.embedder import Embedder, SavedNetwork
from fewshot_audio.recognition.scoring import Rows
from fewshot_audio.runtime.cores import usable_cores

if TYPE_CHECKING:
    from fewshot_audio.models.network import FewShotNetwork


class OnnxEmbedder(Embedder):
    """A network as an ONNX graph from a segment's log-mel features to its rows, on the CPU.

    Args:
        graph: input ``features`` (1, mels, frames), output ``rows`` (1, rows, width).
        preprocessing: how recordings became segments and features in training.
        distance: how rows are compared with prototypes.
        scale: factor of distances or similarities in the scores.
        saved: what a bundle keeps of the network.
        network: builds the network in torch, for those who ask for it.
    """

    backend = "auto"

    def __init__(
        self,
        graph: bytes,
        preprocessing: Preprocessing,
        distance: Distance,
        scale: float,
        saved: SavedNetwork,
        network: "Callable[[], FewShotNetwork]",
    ) -> None:
        super().__init__(preprocessing, "spec", distance, scale)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # segments run side by side instead
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._saved = saved
        self._build_network = network
        self._network: FewShotNetwork | None = None

    @property
    def device(self) -> str:
        """The CPU."""
        return "cpu"

    @property
    def network(self) -> "FewShotNetwork":
        """The network in torch, built when it is asked for first."""
        if self._network is None:
            self._network = self._build_network()
        return self._network

    def saved(self) -> SavedNetwork:
        """What the bundle held that the graph was built of."""
        return self._saved

    def _rows(self, features: Samples) -> Rows:
        if len(features) == 1:
            return self._one(features)
        with ThreadPoolExecutor(min(len(features), usable_cores())) as threads:
            return np.concatenate(list(threads.map(self._one, np.split(features, len(features)))))

    def _one(self, features: Samples) -> Rows:
        """Shape: (1, mels, frames) -> (1, rows, width)."""
        (rows,) = self._session.run(["rows"], {"features": np.ascontiguousarray(features)})
        embedded: Rows = rows
        return embedded
