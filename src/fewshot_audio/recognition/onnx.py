"""A recognizer as one ONNX graph: a waveform segment in, probabilities out; it runs without torch and this package."""

import copy
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio import __version__
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.errors import ConfigError, FewShotError
from fewshot_audio.files import write_bytes
from fewshot_audio.models.embedded_views import EmbeddedViews
from fewshot_audio.models.onnx_trace import import_onnx, trace
from fewshot_audio.recognition.onnx_decision import BackgroundHead, DecisionHead, distances_to
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.torch_embedder import TorchEmbedder, embed_segments

TOLERANCE = 1e-3
"""Largest difference of a probability from torch's with which a graph is written."""


class ExportResult(NamedTuple):
    """The file's size in bytes, and the largest difference of a probability from torch's."""

    size: int
    difference: float


class SegmentClassifier(nn.Module):
    """All that a recognizer does with a clip of one segment, from raw samples on.

    The segment is z-normalized as a clip is; its spectrogram is computed in float64, as in preparation. A segment whose
    samples are all equal, which a ``Recognizer`` refuses, has an infinite unknown score.

    Args:
        recognizer: a recognizer with one enrolled class or more.

    Shape:
        (batch, segment_samples) -> probabilities (batch, classes), unknown scores (batch,).

    Raises:
        ConfigError: the recognizer's views are augmented waveforms.
        DataError: no class is enrolled.
    """

    prototypes: Tensor
    expected_distances: Tensor

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        embedder = recognizer.embedder
        if not isinstance(embedder, TorchEmbedder):
            raise ConfigError("a recognizer is exported by torch: load it without `backend`")
        if recognizer.snapshot().encoders:
            raise ConfigError(
                f"this recognizer decides with {recognizer.encoders} beside its network, which cannot be exported with "
                "it: enroll without --encoder to export"
            )
        if isinstance(embedder.view_maker, EmbeddedViews):
            raise ConfigError("a network on frozen encoders cannot be exported: onnxruntime runs these by themselves")
        if isinstance(embedder.views, WaveformDraw):
            raise ConfigError(
                "views by waveform augmentation cannot be exported (filters and vocoder are no ONNX operators): train "
                "with input_type=spec, or with test_query_augmentations=false and use_attention=false"
            )
        self.network = recognizer.network
        self.views = embedder.views
        self.view_maker = embedder.view_maker
        self.front_end = embedder.preprocessing.front_end(torch.float64) if embedder.input_type == "spec" else None
        self.temperature = recognizer.temperature
        enrolled = recognizer.snapshot()
        self.register_buffer("prototypes", torch.from_numpy(enrolled.prototypes))
        self.register_buffer("expected_distances", torch.from_numpy(enrolled.expected_distances).float())
        self.decision = (
            DecisionHead(enrolled.decision, embedder.preprocessing.sample_rate) if enrolled.decision else None
        )
        threshold = recognizer.unknown_threshold
        self.background: BackgroundHead | None = None
        if enrolled.sounds.has_negatives and threshold is not None:
            is_calibrated = enrolled.decision is not None or recognizer.calibration is not None
            self.background = BackgroundHead(enrolled, threshold, is_calibrated=is_calibrated)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Classify segments."""
        exact = waveform.double()
        silent = waveform.amax(-1) == waveform.amin(-1)
        centered = exact - exact.mean(-1, keepdim=True)
        deviation = torch.where(silent, 1.0, centered.square().mean(-1).sqrt())
        samples = (centered / deviation.unsqueeze(-1)).float()

        raw = samples if self.front_end is None else self.front_end(samples.double()).float()
        rows = embed_segments(self.network, self.view_maker, raw, self.views)  # (batch, rows, width)

        if self.decision is not None:
            probabilities, distances, points = self.decision(rows.mean(1), samples)
        else:
            probabilities = (self._scores(rows) / self.temperature).softmax(-1).mean(1)
            points = rows.mean(1)
            distances = distances_to(self.prototypes, points) / self.expected_distances
        unknown = distances.amin(-1)
        if self.background is not None:
            probabilities, unknown = self.background(probabilities, distances, points)
        return probabilities.float(), torch.where(silent, torch.inf, unknown.float())

    def _scores(self, rows: Tensor) -> Tensor:
        """Shape: (batch, rows, width) -> (batch, rows, classes)."""
        if self.network.relation is None and self.network.distance == "euclidean":
            return -self.network.score_scale * distances_to(self.prototypes, rows)
        return self.network.score(self.prototypes.expand(rows.shape[0], -1, -1), rows)


def export_onnx(recognizer: Recognizer, path: Path) -> ExportResult:
    """Write a recognizer as an ONNX file, after a check in onnxruntime that it answers as torch does.

    Input ``waveform`` (batch, samples): mono float32 segments at the recognizer's ``sample_rate``, of its segment
    length, on any scale. Outputs ``probabilities`` (batch, classes) and ``unknown_score`` (batch,). ``metadata`` is in
    the file.

    Raises:
        ConfigError: the recognizer cannot be exported, or a package for that is not installed.
        DataError: no class is enrolled.
        FewShotError: the graph's answers differ from torch's.
    """
    onnxruntime = import_onnx("onnxruntime")
    classifier = copy.deepcopy(SegmentClassifier(recognizer)).cpu().eval()  # the recognizer itself stays where it is
    signals = _test_signals(recognizer.preprocessing.segment_samples)
    program = trace(classifier, signals, "waveform", ["probabilities", "unknown_score"], any_batch=True)
    for key, value in metadata(recognizer).items():
        program.model.metadata_props[key] = value
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    probabilities, _ = session.run(None, {"waveform": signals.numpy()})
    with torch.inference_mode():
        expected, _ = classifier(signals)
    difference = float(np.abs(probabilities - expected.numpy()).max())
    if not difference <= TOLERANCE:
        raise FewShotError(f"the ONNX graph's probabilities are {difference:.2g} from torch's: it was not written")
    write_bytes(path, content)
    return ExportResult(len(content), difference)


def metadata(recognizer: Recognizer) -> dict[str, str]:
    """What a user of the graph needs, as the ONNX file's metadata: strings; ``classes`` is a JSON list."""
    threshold = recognizer.unknown_threshold
    return {
        "classes": json.dumps(recognizer.classes, ensure_ascii=False),
        "sample_rate": str(recognizer.sample_rate),
        "segment_samples": str(recognizer.preprocessing.segment_samples),
        "unknown_threshold": "" if threshold is None else repr(threshold),
        "temperature": repr(recognizer.temperature),
        "fewshot_audio_version": __version__,
    }


def _test_signals(samples: int) -> Tensor:
    """Noise at two levels, a click and a tone, on which a graph is traced and checked. Shape: (4, samples)."""
    time = torch.arange(samples)
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    return torch.stack([noise, 1e-4 * noise, (time == samples // 3).float(), 0.3 * torch.sin(0.2 * time)])
