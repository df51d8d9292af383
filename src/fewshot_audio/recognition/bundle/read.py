"""Reading a bundle that anybody may have made: nothing in it is executed, and everything in it is checked."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.config import ExperimentConfig, ModelConfig, check_configs, check_input
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork, rename_former
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.bundle import BUNDLE_FILE, MODEL_FILE, SUPPORT_FILE, is_bundle
from fewshot_audio.recognition.bundle.schema import FORMAT, KIND, BundleDescription, ClassSection, file_hash
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder, Views
from fewshot_audio.recognition.enrolled import EnrolledClass, EnrolledClip, check_name
from fewshot_audio.runtime.device import resolve_device

LARGEST_JSON = 64 << 20  # bytes
LARGEST_SEGMENT = 1 << 26  # numbers in the waveform or spectrogram of a segment


def load_bundle(
    folder: Path, device: str = "cpu"
) -> tuple[Embedder, ExperimentConfig, ModelConfig, Calibration | None, dict[str, EnrolledClass]]:
    """Read a bundle.

    Returns:
        The embedder on ``device``, the two configs, the calibration if there is one, and the enrolled classes.

    Raises:
        DataError: it is no bundle, damaged, of a later version, or holds what ``save_bundle`` does not write.
        ConfigError: the device is not usable.
    """
    torch_device = resolve_device(device, 0)
    description = _read_description(folder)
    experiment, model, preprocessing = description.experiment, description.model, description.preprocessing
    tensors = _read_tensors(folder, MODEL_FILE, description)
    views = _join_views(folder, description, tensors)
    network = _build_network(folder, description, tensors)
    classes = _read_classes(folder, description)
    view_maker = make_views(experiment, preprocessing, None)
    embedder = Embedder(network, preprocessing, experiment.input_type, view_maker, views, torch_device)
    return embedder, experiment, model, description.calibration, classes


def _read_description(folder: Path) -> BundleDescription:
    path = folder / BUNDLE_FILE
    if not is_bundle(folder):
        raise DataError(f"{folder}: not a recognizer's folder (it has no {BUNDLE_FILE})")
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise DataError(f"{path}: {path.stat().st_size} bytes, expected at most {LARGEST_JSON}")
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise DataError(f"{path}: not a recognizer (it should say kind {KIND!r})")
    if isinstance(values.get("format"), int) and values["format"] > FORMAT:
        raise DataError(
            f"{path}: format {values['format']}, but this version of fewshot-audio reads up to {FORMAT}: upgrade it"
        )
    try:
        description = BundleDescription.model_validate(values)
        preprocessing = description.preprocessing
        check_configs(description.experiment, description.model)
        check_input(description.experiment, description.model, preprocessing.n_mels, preprocessing.frames)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error
    if max(preprocessing.segment_samples, preprocessing.n_mels * preprocessing.frames) > LARGEST_SEGMENT:
        raise DataError(f"{path}: segments of {preprocessing.segment_seconds:g} s are too long")
    return description


def _read_tensors(folder: Path, name: str, description: BundleDescription) -> dict[str, Tensor]:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: missing")
    if description.sha256.get(name) != file_hash(path):
        raise DataError(f"{path}: damaged, or of another recognizer (its SHA-256 is not the one in {BUNDLE_FILE})")
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return tensors


def _build_network(folder: Path, description: BundleDescription, tensors: dict[str, Tensor]) -> FewShotNetwork:
    """Build the network, if the tensors have the names, shapes and types that the config implies."""
    path, experiment, model = folder / MODEL_FILE, description.experiment, description.model
    state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    rename_former(state)
    layers = model.Hybrid.seq_layers if experiment.encoder_name == "Hybrid" else 0
    if layers > len(state):
        raise DataError(f"{folder / BUNDLE_FILE}: {layers} recurrent layers, but the model has {len(state)} tensors")
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes a stranger's config names
            network = build_network(
                experiment, model, description.preprocessing.n_mels, description.preprocessing.frames
            )
    except ConfigError as error:
        raise DataError(f"{folder / BUNDLE_FILE}: {error}") from error
    expected_state = network.state_dict()
    for name in sorted(expected_state.keys() | state.keys()):
        expected, actual = expected_state.get(name), state.get(name)
        if expected is None or actual is None or expected.shape != actual.shape or expected.dtype != actual.dtype:
            raise DataError(f"{path}: network.{name} is {_in_words(actual)}, expected {_in_words(expected)}")
    if not state["norm_std"] > 0:
        raise DataError(f"{path}: network.norm_std is {float(state['norm_std'])}, expected a number above 0")
    network.load_state_dict(state, assign=True)
    return network


def _join_views(folder: Path, description: BundleDescription, tensors: dict[str, Tensor]) -> Views | None:
    """Join the frozen views' tensors and numbers again; refuse what drawing views cannot give."""
    experiment, section, path = description.experiment, description.views, folder / MODEL_FILE
    parts: dict[str, Any] = {k.removeprefix("views."): v for k, v in tensors.items() if k.startswith("views.")}
    if (section is not None) != (experiment.query_views("test") > 1) or (parts and section is None):
        raise DataError(f"{path}: frozen views and the config do not agree")
    if section is None:
        return None
    if section.kind != experiment.input_type:
        raise DataError(f"{folder / BUNDLE_FILE}: views of kind {section.kind!r}, expected {experiment.input_type!r}")
    draw: type[WaveformDraw] | type[SpecAugmentDraw] = WaveformDraw if section.kind == "wav" else SpecAugmentDraw
    numbers: dict[str, Any] = section.numbers
    try:
        views: Views = draw(**parts, **numbers)
    except TypeError as error:
        raise DataError(f"{path}: views: {error}") from error
    rows = experiment.waveaug_params.aug_num if section.kind == "wav" else 1
    for name, value in parts.items():
        if value.ndim not in (1, 2) or len(value) != rows:
            raise DataError(f"{path}: views.{name} is {_in_words(value)}, expected {rows} rows")
    return views


def _read_classes(folder: Path, description: BundleDescription) -> dict[str, EnrolledClass]:
    tensors = _read_tensors(folder, SUPPORT_FILE, description)
    path, experiment = folder / SUPPORT_FILE, description.experiment
    width = experiment.embedding_width(description.model.out_dim(experiment.encoder_name))
    rows_per_segment = experiment.query_rows("test")
    expected_names = {
        f"{number}.{part}" for number in range(len(description.classes)) for part in ("rows", "prototype")
    }
    if tensors.keys() != expected_names:
        raise DataError(
            f"{path}: holds {len(tensors)} tensors, expected {len(expected_names)}: not those of these classes"
        )
    classes: dict[str, EnrolledClass] = {}
    for number, section in enumerate(description.classes):
        check_name(section.name)
        if section.name in classes:
            raise DataError(f"{folder / BUNDLE_FILE}: class {section.name!r} is there twice")
        if not all(clip.name.isprintable() for clip in section.clips):
            raise DataError(f"{folder / BUNDLE_FILE}: class {section.name!r} has a clip with an unprintable name")
        rows, prototype = tensors[f"{number}.rows"], tensors[f"{number}.prototype"]
        classes[section.name] = _read_class(path, section, rows, prototype, rows_per_segment, width)
    return classes


def _read_class(
    path: Path, section: ClassSection, rows: Tensor, prototype: Tensor, rows_per_segment: int, width: int
) -> EnrolledClass:
    """Build a class from its description and tensors; ``path`` is for messages."""
    counts = [clip.segments * rows_per_segment for clip in section.clips]
    for value, shape in ((rows, (sum(counts), width)), (prototype, (width,))):
        if value.shape != shape or value.dtype != torch.float32:
            raise DataError(f"{path}: {section.name!r}: {_in_words(value)}, expected float32 {shape}")
    parts = zip(section.clips, torch.split(rows, counts), strict=True)
    computed = EnrolledClass.of(
        tuple(EnrolledClip(clip.name, clip.segments, part.clone(), clip.silence) for clip, part in parts)
    )
    if not torch.allclose(computed.prototype, prototype, rtol=1e-3, atol=1e-4):
        raise DataError(f"{path}: the prototype of {section.name!r} is not the mean of its clips")
    return EnrolledClass(computed.clips, computed.embeddings, prototype)


def _in_words(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")
