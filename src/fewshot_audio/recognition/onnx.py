"""A recognizer as one ONNX graph: a waveform segment in, probabilities out; it runs without torch and this package."""

import copy
import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fewshot_audio import __version__
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.errors import ConfigError, FewShotError
from fewshot_audio.files import write_bytes
from fewshot_audio.recognition.embedder import embed_segments
from fewshot_audio.recognition.onnx_decision import DecisionHead, distances_to
from fewshot_audio.recognition.recognizer import Recognizer

OPSET = 18
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
        if isinstance(embedder.views, WaveformDraw):
            raise ConfigError(
                "views by waveform augmentation cannot be exported (filters and vocoder are no ONNX operators): train "
                "with input_type=spec, or with test_query_augmentations=false and use_attention=false"
            )
        self.network = recognizer.network
        self.views = embedder.views
        self.view_maker = embedder.view_maker
        self.log_mel = embedder.preprocessing.log_mel(torch.float64) if embedder.input_type == "spec" else None
        self.temperature = recognizer.temperature
        enrolled = recognizer.snapshot()
        self.register_buffer("prototypes", enrolled.prototypes)
        self.register_buffer("expected_distances", torch.from_numpy(enrolled.expected_distances).float())
        self.decision = DecisionHead(enrolled.decision, recognizer.sample_rate) if enrolled.decision else None

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Classify segments."""
        exact = waveform.double()
        silent = waveform.amax(-1) == waveform.amin(-1)
        centered = exact - exact.mean(-1, keepdim=True)
        deviation = torch.where(silent, 1.0, centered.square().mean(-1).sqrt())
        samples = (centered / deviation.unsqueeze(-1)).float()

        raw = samples if self.log_mel is None else self.log_mel(samples.double()).float()
        rows = embed_segments(self.network, self.view_maker, raw, self.views)  # (batch, rows, width)

        if self.decision is not None:
            probabilities, unknown = self.decision(rows.mean(1), samples)
        else:
            probabilities = (self._scores(rows) / self.temperature).softmax(-1).mean(1)
            unknown = (distances_to(self.prototypes, rows.mean(1)) / self.expected_distances).amin(-1)
        return probabilities, torch.where(silent, torch.inf, unknown)

    def _scores(self, rows: Tensor) -> Tensor:
        """Shape: (batch, rows, width) -> (batch, rows, classes)."""
        if self.network.relation is None and self.network.distance == "euclidean":
            return -self.network.scale * distances_to(self.prototypes, rows)
        return self.network.score(self.prototypes.expand(rows.shape[0], -1, -1), rows)


def export_onnx(recognizer: Recognizer, path: Path) -> ExportResult:
    """Write a recognizer as an ONNX file, after a check in onnxruntime that it answers as torch does.

    Input ``waveform`` (batch, samples): mono float32 segments at the recognizer's rate, of its segment length, on any
    scale. Outputs ``probabilities`` (batch, classes) and ``unknown_score`` (batch,). ``metadata`` is in the file.

    Raises:
        ConfigError: the recognizer cannot be exported, or a package for that is not installed.
        DataError: no class is enrolled.
        FewShotError: the graph's answers differ from torch's.
    """
    onnxruntime = _import("onnxruntime")
    classifier = copy.deepcopy(SegmentClassifier(recognizer)).cpu().eval()  # the recognizer itself stays where it is
    signals = _test_signals(recognizer.preprocessing.segment_samples)
    program = _trace(classifier, signals)
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


def _trace(classifier: SegmentClassifier, signals: Tensor) -> Any:
    optimizer = _import("onnxscript.optimizer")
    with _quiet(), _unfused_attention():
        try:
            program = torch.onnx.export(
                classifier,
                (signals,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["waveform"],
                output_names=["probabilities", "unknown_score"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                optimize=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise ConfigError(f"this network cannot be exported to ONNX: {reason}") from error
        # Not all that the exporter would do: one of its rules takes the log-mel's 2e-16 for 0 and removes it.
        assert program is not None
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
        return program


def _test_signals(samples: int) -> Tensor:
    """Noise at two levels, a click and a tone, on which a graph is traced and checked. Shape: (4, samples)."""
    time = torch.arange(samples)
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    return torch.stack([noise, 1e-4 * noise, (time == samples // 3).float(), 0.3 * torch.sin(0.2 * time)])


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"export needs {module.partition('.')[0]}: pip install 'fewshot-audio[onnx]'") from error


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Trace transformer layers as the operators that they consist of."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, none of which a user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
