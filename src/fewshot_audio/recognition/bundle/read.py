"""Reading a bundle that anybody may have made: nothing in it is executed, and everything in it is checked."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.bundle.description import in_words, read_description, read_tensor_file
from fewshot_audio.recognition.bundle.folder import BundleState, current_digest
from fewshot_audio.recognition.bundle.graph import read_onnx_embedder
from fewshot_audio.recognition.bundle.schema import BundleDescription, ClassSection
from fewshot_audio.recognition.embedder import LARGEST_EMBEDDING, Embedder
from fewshot_audio.recognition.enrolled import (
    LONGEST_SAVED_CLIP_NAME,
    EnrolledClass,
    EnrolledClip,
    checked_name,
    is_text,
)
from fewshot_audio.recognition.options import Backend
from fewshot_audio.recognition.parts import RecognizerParts
from fewshot_audio.recognition.scoring import Rows

LARGEST_HEADER = 16 << 20  # bytes that the file of the support has beside its numbers, and for each of its tensors:
LARGEST_ENTRY = 400
READ_ATTEMPTS = 10


class LoadedBundle(NamedTuple):
    """A recognizer's parts as a bundle's folder holds them, and its state."""

    parts: RecognizerParts
    state: BundleState


def load_bundle(folder: Path, device: str = "cpu", backend: Backend = "torch") -> LoadedBundle:
    """Read a bundle, also while another program writes it.

    Args:
        folder: the bundle.
        device: where the network computes: "cpu", "cuda" or "auto".
        backend: "auto" computes in onnxruntime on the CPU if this user has the network's graph.

    Returns:
        The parts, with the embedder on ``device``, and the state of the folder.

    Raises:
        DataError: it is no bundle, damaged, of a later version, or holds what ``save_bundle`` does not write.
        ConfigError: the device is not usable.
    """
    for attempt in range(READ_ATTEMPTS):
        digest = current_digest(folder)
        try:
            return _load(folder, device, backend)
        except DataError:
            # A writer has replaced the description, and removed the tensors that the former one names.
            if attempt + 1 == READ_ATTEMPTS or current_digest(folder) == digest:
                raise
    raise AssertionError


def _load(folder: Path, device: str, backend: Backend) -> LoadedBundle:
    description, digest = read_description(folder)
    embedder = _embedder(folder, description, device, backend)
    classes = _read_classes(folder, description)
    parts = RecognizerParts(embedder, description.experiment, description.model, description.calibration, classes)
    return LoadedBundle(parts, BundleState(digest, description.revision, description.tensor_file("model")[1]))


def _embedder(folder: Path, description: BundleDescription, device: str, backend: Backend) -> Embedder:
    light = read_onnx_embedder(folder, description) if backend == "auto" and device == "cpu" else None
    if light is not None:
        return light
    from fewshot_audio.recognition.bundle.network import read_torch_embedder  # and torch
    from fewshot_audio.runtime.device import resolve_device

    return read_torch_embedder(folder, description, resolve_device(device, 0))


def _read_classes(folder: Path, description: BundleDescription) -> dict[str, EnrolledClass]:
    experiment = description.experiment
    width = experiment.embedding_width(description.model.out_dim(experiment.encoder_name))
    rows_per_segment = experiment.query_rows("test")
    n_rows = sum(clip.segments for section in description.classes for clip in section.clips) * rows_per_segment
    n_bytes = 4 * width * (n_rows + len(description.classes))
    largest = n_bytes + LARGEST_HEADER + 2 * LARGEST_ENTRY * len(description.classes)
    path, content = read_tensor_file(folder, "support", description, largest)
    tensors = _tensors(path, content)
    expected_names = {
        f"{number}.{part}" for number in range(len(description.classes)) for part in ("rows", "prototype")
    }
    if tensors.keys() != expected_names:
        raise DataError(
            f"{path}: holds {len(tensors)} tensors, expected {len(expected_names)}: not those of these classes"
        )
    classes: dict[str, EnrolledClass] = {}
    for number, section in enumerate(description.classes):
        checked_name(section.name)
        if section.name in classes:
            raise DataError(f"{folder / BUNDLE_FILE}: class {section.name!r} is there twice")
        if not all(is_text(clip.name) and len(clip.name) <= LONGEST_SAVED_CLIP_NAME for clip in section.clips):
            raise DataError(f"{folder / BUNDLE_FILE}: class {section.name!r} has a clip without a usable name")
        rows, prototype = tensors[f"{number}.rows"], tensors[f"{number}.prototype"]
        classes[section.name] = _read_class(path, section, rows, prototype, rows_per_segment, width)
    return classes


def _read_class(
    path: Path, section: ClassSection, rows: Rows, prototype: Rows, rows_per_segment: int, width: int
) -> EnrolledClass:
    """Build a class from its description and tensors; ``path`` is for messages."""
    counts = [clip.segments * rows_per_segment for clip in section.clips]
    for value, shape in ((rows, (sum(counts), width)), (prototype, (width,))):
        if value.shape != shape or value.dtype != np.float32:
            raise DataError(f"{path}: {section.name!r}: {in_words(value)}, expected float32 {shape}")
    if np.abs(rows).max() > LARGEST_EMBEDDING:
        raise DataError(f"{path}: {section.name!r} has numbers above {LARGEST_EMBEDDING:g}, as no network gives them")
    parts = zip(section.clips, np.split(rows, np.cumsum(counts)[:-1]), strict=True)
    computed = EnrolledClass.of(
        tuple(EnrolledClip(clip.name, clip.segments, part.copy(), clip.silence) for clip, part in parts)
    )
    if not np.allclose(computed.prototype, prototype, rtol=1e-3, atol=1e-4):
        raise DataError(f"{path}: the prototype of {section.name!r} is not the mean of its clips")
    return EnrolledClass(computed.clips, computed.embeddings, prototype.copy())


def _tensors(path: Path, content: bytes) -> dict[str, Rows]:
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return tensors
