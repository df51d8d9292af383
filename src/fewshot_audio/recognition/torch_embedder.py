"""The embedder that computes in torch: every network, on the CPU and on GPUs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.models.folding import with_folded_norms
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker
from fewshot_audio.recognition.embedder import Embedder, InputType, SavedNetwork
from fewshot_audio.recognition.scoring import Rows

CPU_BLOCK, GPU_BLOCK = 1, 8
"""Segments in every batch, padded if need be: matrix products round differently for another number of rows.

A GPU is idle most of the time with one segment; a CPU is not."""

Views = SpecAugmentDraw | WaveformDraw
EXTRA = "extra."  # begins the names of tensors of transforms from outside: "extra.0.on"


class TorchEmbedder(Embedder):
    """A network in evaluation mode, in torch.

    Args:
        network: the network, which is moved to ``device`` and computes in float32 from now on.
        preprocessing: how recordings became segments and features in training.
        input_type: "spec" if views are made of spectrograms, "wav" if of waveforms.
        view_maker: makes the encoder's input from segments.
        views: the parameters of one segment's augmented views, which are used for every segment; None if the network
            is tested without views.
        device: where the network computes.
    """

    backend = "torch"

    def __init__(
        self,
        network: FewShotNetwork,
        preprocessing: Preprocessing,
        input_type: InputType,
        view_maker: ViewMaker,
        views: Views | None,
        device: torch.device,
    ) -> None:
        super().__init__(preprocessing, input_type, network.distance, network.score_scale)
        self._network = network.to(device).eval().requires_grad_(requires_grad=False)
        self._network.set_precision("fp32")
        self.view_maker = view_maker
        self.views = views
        self._device = device
        self._folded = with_folded_norms(self._network)
        self._block = CPU_BLOCK if device.type == "cpu" else GPU_BLOCK
        # Segments side by side, each on one thread, keep all cores busy; a large network does so by itself.
        self._is_small = device.type == "cpu" and getattr(network.encoder, "sample_rate", None) is None
        self._block_views = repeat_views(views, self._block) if views is not None else None

    @property
    def device(self) -> str:
        """Where the network computes."""
        return str(self._device)

    @property
    def network(self) -> FewShotNetwork:
        """The network."""
        return self._network

    def saved(self) -> SavedNetwork:
        """The network's state and the tensors of the views."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        numbers = None
        if self.views is not None:
            tensors |= {f"views.{name}": value for name, value in view_tensors(self.views).items()}
            numbers = {name: value for name, value in vars(self.views).items() if isinstance(value, int)}
        on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        return SavedNetwork(safetensors.torch.save(on_cpu), numbers)

    def score(self, prototypes: Rows, rows: Rows) -> Rows:
        """Score rows: by the relation head, if the network has one."""
        if self.network.relation is None:
            return super().score(prototypes, rows)
        with torch.inference_mode():
            on_device = (torch.from_numpy(values).to(self._device) for values in (prototypes, rows))
            scores: Rows = self.network.score(*on_device).cpu().numpy()
        return scores

    def _rows(self, features: Samples) -> Rows:
        blocks = [features[start : start + self._block] for start in range(0, len(features), self._block)]
        threads = torch.get_num_threads()
        if not self._is_small or threads == 1:
            return np.concatenate([self._block_rows(block) for block in blocks])
        workers = min(threads, len(blocks))
        try:
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return np.concatenate(list(pool.map(self._block_rows, blocks)))
        finally:
            torch.set_num_threads(threads)  # which also is the number for threads that are begun from now on

    def _block_rows(self, features: Samples) -> Rows:
        """Embed at most a block of segments. Shape: (n, *segment_shape) -> (n, rows, width)."""
        part = torch.from_numpy(np.ascontiguousarray(features))
        with torch.inference_mode():
            raw = part.new_zeros(self._block, *self.segment_shape)
            raw[: len(part)] = part
            embedded = embed_segments(self._folded, self.view_maker, raw.to(self._device), self._block_views)
            rows: Rows = embedded[: len(part)].cpu().numpy()
        return rows


def embed_segments(network: FewShotNetwork, view_maker: ViewMaker, raw: Tensor, views: Views | None) -> Tensor:
    """Rows of raw segments, with views if their parameters are given. Shape: raw (n, *segment) -> (n, rows, width)."""
    if views is None:
        return network.embed(view_maker.plain(network, raw))
    return network.embed(view_maker.views(network, raw, views))


def repeat_views(views: Views, segments: int) -> Views:
    """The parameters of one segment's views for each of several segments."""
    if isinstance(views, WaveformDraw):
        return views[torch.arange(len(views)).repeat(segments)]
    return SpecAugmentDraw(**{name: values.repeat_interleave(segments, 0) for name, values in vars(views).items()})


def view_tensors(views: Views) -> dict[str, Tensor]:
    """The tensors of frozen views by their names in a bundle, without "views."."""
    tensors = {name: value for name, value in vars(views).items() if isinstance(value, Tensor)}
    for number, transform in enumerate(views.extra if isinstance(views, WaveformDraw) else ()):
        tensors |= {f"{EXTRA}{number}.{name}": value for name, value in transform.tensors.items()}
    return tensors
