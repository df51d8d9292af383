"""Reading a bundle that anybody may have made: nothing in it is executed, and everything in it is checked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from fewshot_audio.audio.timbre import TIMBRE_WIDTH
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.audio_store import AudioStore
from fewshot_audio.recognition.bundle import BUNDLE_FILE
from fewshot_audio.recognition.bundle.decision_tensors import block_widths, decision_shapes, unpack_decision
from fewshot_audio.recognition.bundle.description import explained, in_words, read_description, read_tensor_file
from fewshot_audio.recognition.bundle.encoder_section import open_encoders
from fewshot_audio.recognition.bundle.folder import BundleState, current_digest
from fewshot_audio.recognition.bundle.graph import read_onnx_embedder
from fewshot_audio.recognition.bundle.schema import (
    BACKGROUND,
    TIMBRE,
    BackgroundSection,
    BundleDescription,
    ClipSection,
)
from fewshot_audio.recognition.decision.examples import Block
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.embedder import LARGEST_EMBEDDING, Embedder
from fewshot_audio.recognition.encoder_blocks import encoder_block, encoder_names
from fewshot_audio.recognition.enrolled import (
    LONGEST_SAVED_CLIP_NAME,
    EnrolledClass,
    EnrolledClip,
    EnrolledSounds,
    checked_name,
    is_text,
)
from fewshot_audio.recognition.features import decision_examples
from fewshot_audio.recognition.kept_audio import KeptAudio
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
    sounds, decision = _read_support(folder, description)
    experiment, model = description.experiment, description.model
    encoders = open_encoders(folder, description.encoders)
    audio = AudioStore()
    audio.lies_in(folder)
    parts = RecognizerParts(embedder, experiment, model, description.calibration, sounds, decision, encoders, audio)
    return LoadedBundle(parts, BundleState(digest, description.revision, description.tensor_file("model")[1]))


def _embedder(folder: Path, description: BundleDescription, device: str, backend: Backend) -> Embedder:
    light = read_onnx_embedder(folder, description) if backend == "auto" and device == "cpu" else None
    if light is not None:
        return light
    from fewshot_audio.recognition.bundle.network import read_torch_embedder  # and torch
    from fewshot_audio.runtime.device import resolve_device

    return read_torch_embedder(folder, description, resolve_device(device, 0))


def _read_support(folder: Path, description: BundleDescription) -> tuple[EnrolledSounds, DecisionState | None]:
    """Read what is enrolled, and how it is told apart."""
    experiment = description.experiment
    width = experiment.embedding_width(description.model.out_dim(experiment.encoder_name))
    rows_per_segment = experiment.query_rows("test")
    background = description.background or BackgroundSection()
    sections = {str(number): section.clips for number, section in enumerate(description.classes)}
    if background.clips:
        sections[BACKGROUND] = background.clips
    n_segments = sum(clip.segments for clips in sections.values() for clip in clips)
    encoder_widths = description.encoders.widths if description.encoders else {}
    widths = block_widths(width, encoder_widths)
    parts = ["rows", *map(encoder_block, encoder_widths)]
    expected_names = {f"{prefix}.{part}" for prefix in sections for part in parts}
    optional_names = {prefix + TIMBRE for prefix in sections} if description.features else set[str]()
    expected_names |= {f"{number}.prototype" for number in range(len(description.classes))}
    n_bytes = 4 * width * (n_segments * rows_per_segment + len(description.classes))
    n_bytes += 4 * TIMBRE_WIDTH * n_segments if description.features else 0
    n_bytes += 4 * sum(encoder_widths.values()) * n_segments
    if description.decision and description.decision.fitted:
        shapes = decision_shapes(description.decision.fitted.head, len(description.classes), widths)
        expected_names |= shapes.keys()
        n_bytes += 8 * sum(map(math.prod, shapes.values()))
    largest = n_bytes + LARGEST_HEADER + LARGEST_ENTRY * len(expected_names | optional_names)
    path, content = read_tensor_file(folder, "support", description, largest)
    tensors = _tensors(path, content)
    if not expected_names <= tensors.keys() <= expected_names | optional_names:
        least, most = len(expected_names), len(expected_names | optional_names)
        count = f"{least}" if least == most else f"{least} to {most}"
        raise DataError(f"{path}: holds {len(tensors)} tensors, expected {count}: not those of these classes")

    def clips_of(prefix: str, what: str) -> tuple[EnrolledClip, ...]:
        names = [name for clip in sections[prefix] for name in (clip.name, clip.group)]
        if not all(is_text(name) and len(name) <= LONGEST_SAVED_CLIP_NAME for name in names):
            raise DataError(f"{folder / BUNDLE_FILE}: {what} has a clip without a usable name")
        own = {part: tensors[f"{prefix}.{part}"] for part in [*parts, "timbre"] if f"{prefix}.{part}" in tensors}
        return _read_clips(path, what, sections[prefix], own, rows_per_segment, widths)

    classes: dict[str, EnrolledClass] = {}
    for number, section in enumerate(description.classes):
        checked_name(section.name)
        if section.name in classes:
            raise DataError(f"{folder / BUNDLE_FILE}: class {section.name!r} is there twice")
        clips = clips_of(str(number), f"class {section.name!r}")
        classes[section.name] = _read_class(path, section.name, clips, tensors[f"{number}.prototype"], width)
    for name in background.ignored:
        if name not in classes:
            raise DataError(f"{folder / BUNDLE_FILE}: background.ignored: {name!r} is no enrolled class")
    recordings = clips_of(BACKGROUND, "the background") if background.clips else ()
    keeps_audio = description.clips_audio.keep if description.clips_audio else None
    sounds = EnrolledSounds(classes, recordings, frozenset(background.ignored), keeps_audio)
    if description.decision is None:
        return sounds, None
    saved = description.decision
    if saved.fitted and decision_examples(classes.values()) is None:
        raise DataError(
            f"{folder / BUNDLE_FILE}: decision.fitted: a decision is fitted on the timbre and embeddings of two "
            "classes or more, of two clips or more each, which are not all copies"
        )
    return sounds, explained(path, lambda: unpack_decision(saved, tensors, len(classes), widths))


def _read_clips(
    path: Path,
    what: str,
    sections: list[ClipSection],
    tensors: dict[str, Rows],
    rows_per_segment: int,
    widths: Mapping[Block, int],
) -> tuple[EnrolledClip, ...]:
    """Build the clips of a class, or of the background, from their descriptions and tensors.

    ``path`` and ``what`` are for messages.
    """
    counts = np.array([clip.segments for clip in sections])
    shapes = {block: (counts.sum(), width) for block, width in widths.items()}
    shapes["rows"] = (counts.sum() * rows_per_segment, widths["embedding"])
    for part, value in tensors.items():
        _check_tensor(path, what, value, shapes[part])
    ends = np.cumsum(counts)[:-1]
    rows = np.split(tensors["rows"], ends * rows_per_segment)
    timbre = np.split(tensors["timbre"], ends) if "timbre" in tensors else [None] * len(counts)
    encoded = {name: np.split(tensors[encoder_block(name)], ends) for name in encoder_names(tensors)}
    return tuple(
        EnrolledClip(
            clip.name,
            clip.segments,
            rows[number].copy(),
            clip.silence,
            None if (sound := timbre[number]) is None else sound.copy(),
            clip.group,
            {name: values[number].copy() for name, values in encoded.items()},
            KeptAudio(clip.audio.sha256, clip.audio.size) if clip.audio else None,
        )
        for number, clip in enumerate(sections)
    )


def _read_class(path: Path, name: str, clips: tuple[EnrolledClip, ...], prototype: Rows, width: int) -> EnrolledClass:
    """Build a class of its clips; ``path`` is for messages."""
    _check_tensor(path, f"class {name!r}", prototype, (width,))
    computed = EnrolledClass.of(clips)
    if not np.allclose(computed.prototype, prototype, rtol=1e-3, atol=1e-4):
        raise DataError(f"{path}: the prototype of {name!r} is not the mean of its clips")
    return EnrolledClass(computed.clips, computed.embeddings, prototype.copy())


def _check_tensor(path: Path, what: str, value: Rows, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype != np.float32:
        raise DataError(f"{path}: {what}: {in_words(value)}, expected float32 {shape}")
    if np.abs(value).max() > LARGEST_EMBEDDING:
        raise DataError(f"{path}: {what} has numbers above {LARGEST_EMBEDDING:g}, as no network gives them")


def _tensors(path: Path, content: bytes) -> dict[str, Rows]:
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return tensors
