"""Reading a bundle that anybody may have made: nothing in it is executed, and everything in it is checked."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

from fewshot_audio.audio.timbre import TIMBRE_WIDTH
from fewshot_audio.config import check_configs, check_input, parse_json
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.models.network import FewShotNetwork, rename_former
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.bundle import BUNDLE_FILE, ROLES, Role, former_file, is_bundle
from fewshot_audio.recognition.bundle.cost import build_bounded, check_network_cost, check_numbers, check_segment_cost
from fewshot_audio.recognition.bundle.decision_tensors import decision_shapes, unpack_decision
from fewshot_audio.recognition.bundle.folder import BundleState, current_digest
from fewshot_audio.recognition.bundle.frozen_views import in_words, join_views
from fewshot_audio.recognition.bundle.schema import FORMAT, KIND, BundleDescription, ClassSection, file_hash
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.embedder import LARGEST_EMBEDDING, Embedder
from fewshot_audio.recognition.enrolled import (
    LONGEST_SAVED_CLIP_NAME,
    EnrolledClass,
    EnrolledClip,
    checked_name,
    is_text,
)
from fewshot_audio.recognition.parts import RecognizerParts
from fewshot_audio.runtime.device import resolve_device

LARGEST_JSON = 64 << 20  # bytes
LARGEST_REST = 16 << 20  # bytes that a file of tensors may have for the frozen views and its own header
LARGEST_ENTRY = 400  # bytes of a tensor's entry in that header
READ_ATTEMPTS = 10

T = TypeVar("T")


class LoadedBundle(NamedTuple):
    """A recognizer's parts as a bundle's folder holds them, and its state."""

    parts: RecognizerParts
    state: BundleState


def load_bundle(folder: Path, device: str = "cpu") -> LoadedBundle:
    """Read a bundle, also while another program writes it.

    Returns:
        The parts, with the embedder on ``device``, and the state of the folder.

    Raises:
        DataError: it is no bundle, damaged, of a later version, or holds what ``save_bundle`` does not write.
        ConfigError: the device is not usable.
    """
    torch_device = resolve_device(device, 0)
    for attempt in range(READ_ATTEMPTS):
        digest = current_digest(folder)
        try:
            return _load(folder, torch_device)
        except DataError:
            # A writer has replaced the description, and removed the tensors that the former one names.
            if attempt + 1 == READ_ATTEMPTS or current_digest(folder) == digest:
                raise
    raise AssertionError


def _load(folder: Path, device: torch.device) -> LoadedBundle:
    description, digest = _read_description(folder)
    experiment, model, preprocessing = description.experiment, description.model, description.preprocessing
    network = _network_without_weights(folder, description)
    state = network.state_dict().values()
    n_bytes = sum(value.numel() * value.element_size() for value in state)
    path, tensors = _read_tensors(folder, "model", description, n_bytes, len(state))
    views = _explain(path, lambda: join_views(experiment, preprocessing, description.views, tensors))
    _load_weights(path, network, tensors)
    classes, decision = _read_support(folder, description)
    view_maker = make_views(experiment, preprocessing, None)
    embedder = Embedder(network, preprocessing, experiment.input_type, view_maker, views, device)
    parts = RecognizerParts(embedder, experiment, model, description.calibration, classes, decision)
    return LoadedBundle(parts, BundleState(digest, description.revision, description.tensor_file("model")[1]))


def _read_description(folder: Path) -> tuple[BundleDescription, str]:
    """Read and check ``recognizer.json``; returns it with its SHA-256."""
    path = folder / BUNDLE_FILE
    if not is_bundle(folder):
        raise DataError(f"{folder}: not a recognizer's folder (it has no {BUNDLE_FILE})")
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_JSON + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) > LARGEST_JSON:
        raise DataError(f"{path}: more than {LARGEST_JSON} bytes")
    values = _explain(path, lambda: parse_json(content, str(path)))
    if values.get("kind") != KIND:
        raise DataError(f"{path}: not a recognizer (it should say kind {KIND!r})")
    number = values.get("format")
    if type(number) is not int:  # true is 1 for Python
        raise DataError(f"{path}: format is {number!r}, expected a number up to {FORMAT}")
    if number > FORMAT:
        raise DataError(f"{path}: format {number}, but this version of fewshot-audio reads up to {FORMAT}: upgrade it")
    _explain(path, lambda: check_numbers(values))
    description = _explain(path, lambda: BundleDescription.model_validate(values))
    names = {former_file(role) if description.format == 1 else role for role in ROLES}
    if description.sha256.keys() != names or (description.format == 1 and description.revision):
        raise DataError(f"{path}: sha256 has {sorted(description.sha256)}, expected {sorted(names)}")
    return description, hashlib.sha256(content).hexdigest()


def _network_without_weights(folder: Path, description: BundleDescription) -> FewShotNetwork:
    """Build the network that is described, on the device "meta", if its size and cost are bounded."""
    experiment, model, preprocessing = description.experiment, description.model, description.preprocessing

    def build() -> FewShotNetwork:
        check_segment_cost(preprocessing)
        check_network_cost(experiment, model, preprocessing)
        check_configs(experiment, model)
        check_input(experiment, model, preprocessing.n_mels, preprocessing.frames)
        return build_bounded(experiment, model, preprocessing)

    return _explain(folder / BUNDLE_FILE, build)


def _load_weights(path: Path, network: FewShotNetwork, tensors: dict[str, Tensor]) -> None:
    """Give the network its weights, if they have the names, shapes and types that the config implies."""
    state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    rename_former(state)
    expected_state = network.state_dict()
    for name in sorted(expected_state.keys() | state.keys()):
        expected, actual = expected_state.get(name), state.get(name)
        if expected is None or actual is None or expected.shape != actual.shape or expected.dtype != actual.dtype:
            raise DataError(f"{path}: network.{name} is {in_words(actual)}, expected {in_words(expected)}")
    if not state["norm_std"] > 0:
        raise DataError(f"{path}: network.norm_std is {float(state['norm_std'])}, expected a number above 0")
    others = [name for name in tensors if not name.startswith(("network.", "views."))]
    if others:
        raise DataError(f"{path}: has the tensor {others[0]!r}, which a recognizer does not have")
    network.load_state_dict(state, assign=True)


def _read_support(
    folder: Path, description: BundleDescription
) -> tuple[dict[str, EnrolledClass], DecisionState | None]:
    """Read the enrolled classes, and how they are told apart."""
    experiment = description.experiment
    width = experiment.embedding_width(description.model.out_dim(experiment.encoder_name))
    rows_per_segment = experiment.query_rows("test")
    n_segments = sum(clip.segments for section in description.classes for clip in section.clips)
    parts = ("rows", "prototype", "timbre") if description.features else ("rows", "prototype")
    expected_names = {f"{number}.{part}" for number in range(len(description.classes)) for part in parts}
    n_bytes = 4 * width * (n_segments * rows_per_segment + len(description.classes))
    n_bytes += 4 * TIMBRE_WIDTH * n_segments if description.features else 0
    if description.decision and description.decision.fitted:
        shapes = decision_shapes(description.decision.fitted.head, len(description.classes), width)
        expected_names |= shapes.keys()
        n_bytes += 8 * sum(map(math.prod, shapes.values()))
    path, tensors = _read_tensors(folder, "support", description, n_bytes, len(expected_names))
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
        own = {part: tensors[f"{number}.{part}"] for part in parts}
        classes[section.name] = _read_class(path, section, own, rows_per_segment, width)
    if description.decision is None:
        return classes, None
    saved = description.decision
    return classes, _explain(path, lambda: unpack_decision(saved, tensors, len(classes), width))


def _read_class(
    path: Path, section: ClassSection, tensors: dict[str, Tensor], rows_per_segment: int, width: int
) -> EnrolledClass:
    """Build a class from its description and tensors; ``path`` is for messages."""
    counts = [clip.segments for clip in section.clips]
    shapes = {
        "rows": (sum(counts) * rows_per_segment, width),
        "prototype": (width,),
        "timbre": (sum(counts), TIMBRE_WIDTH),
    }
    for part, value in tensors.items():
        if value.shape != shapes[part] or value.dtype != torch.float32:
            raise DataError(f"{path}: {section.name!r}: {in_words(value)}, expected float32 {shapes[part]}")
        if value.abs().max() > LARGEST_EMBEDDING:
            raise DataError(
                f"{path}: {section.name!r} has numbers above {LARGEST_EMBEDDING:g}, as no network gives them"
            )
    rows, prototype = torch.split(tensors["rows"], [count * rows_per_segment for count in counts]), tensors["prototype"]
    timbre = torch.split(tensors["timbre"], counts) if "timbre" in tensors else [None] * len(counts)
    computed = EnrolledClass.of(
        tuple(
            EnrolledClip(
                clip.name, clip.segments, own.clone(), clip.silence, None if sound is None else sound.clone().numpy()
            )
            for clip, own, sound in zip(section.clips, rows, timbre, strict=True)
        )
    )
    if not torch.allclose(computed.prototype, prototype, rtol=1e-3, atol=1e-4):
        raise DataError(f"{path}: the prototype of {section.name!r} is not the mean of its clips")
    return EnrolledClass(computed.clips, computed.embeddings, prototype)


def _read_tensors(
    folder: Path, role: Role, description: BundleDescription, n_bytes: int, n_tensors: int
) -> tuple[Path, dict[str, Tensor]]:
    """Read a file of tensors that have about ``n_bytes`` in all; returns its path, too."""
    name, digest = description.tensor_file(role)
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: missing")
    size, limit = path.stat().st_size, n_bytes + LARGEST_REST + LARGEST_ENTRY * n_tensors
    if size > limit:
        raise DataError(f"{path}: {size} bytes, expected at most {limit} for what {BUNDLE_FILE} describes")
    if file_hash(path) != digest:
        raise DataError(f"{path}: damaged, or of another recognizer (its SHA-256 is not the one in {BUNDLE_FILE})")
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return path, tensors


def _explain(path: Path, work: Callable[[], T]) -> T:
    """Call ``work``; its errors name the file."""
    try:
        return work()
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ConfigError, DataError) as error:
        message = str(error)
        raise DataError(message if message.startswith(str(path)) else f"{path}: {message}") from error
