"""A recognizer on disk: two files of tensors and one of JSON, written as a whole and read without trusting them."""

import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig, check_configs, check_input
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import versions
from fewshot_audio.files import write_json
from fewshot_audio.models.network import FewShotNetwork, current_names
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder, Views
from fewshot_audio.recognition.enrolled import EnrolledClass, EnrolledClip, check_name
from fewshot_audio.runtime.device import resolve_device

MODEL_FILE, SUPPORT_FILE, BUNDLE_FILE = "model.safetensors", "support.safetensors", "recognizer.json"
KIND: Literal["fewshot-audio recognizer"] = "fewshot-audio recognizer"
FORMAT: Literal[1] = 1
LARGEST_JSON = 64 << 20  # bytes
LARGEST_SEGMENT = 1 << 26  # numbers in the waveform or spectrogram of a segment


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Clip(_Part):
    name: str
    segments: Annotated[int, Field(ge=1)]
    silence: Annotated[float, Field(ge=0, le=1)]


class _Class(_Part):
    name: str
    clips: Annotated[list[_Clip], Field(min_length=1)]


class _Views(_Part):
    kind: Literal["spec", "wav"]
    numbers: dict[str, int]


class _Bundle(_Part):
    """What ``recognizer.json`` holds."""

    kind: Literal["fewshot-audio recognizer"]
    format: Literal[1]
    preprocessing: Preprocessing
    classes: list[_Class]
    calibration: Calibration | None
    views: _Views | None
    experiment: ExperimentConfig
    model: ModelConfig
    training_config_sha256: str
    sha256: dict[str, str]
    versions: dict[str, str]


def save_bundle(
    folder: Path,
    embedder: Embedder,
    model: ModelConfig,
    calibration: Calibration | None,
    classes: Mapping[str, EnrolledClass],
) -> None:
    """Write a bundle beside its place, then put it there; an older bundle is replaced, anything else is refused."""
    folder = folder.resolve()
    if folder.exists() and not (folder / BUNDLE_FILE).is_file() and not _is_empty(folder):
        raise DataError(f"{folder} exists and is no recognizer: it will not be replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", suffix=".tmp", dir=folder.parent))
    try:
        tensors, views = _views_out(embedder.views)
        state = {f"network.{name}": value for name, value in embedder.network.state_dict().items()}
        _write_tensors(partial / MODEL_FILE, state | tensors)
        support = {}
        for number, known in enumerate(classes.values()):
            support[f"{number}.rows"] = torch.cat([clip.rows for clip in known.clips])
            support[f"{number}.prototype"] = known.prototype
        _write_tensors(partial / SUPPORT_FILE, support)
        described = _Bundle(
            kind=KIND,
            format=FORMAT,
            preprocessing=embedder.preprocessing,
            classes=[
                _Class(
                    name=name,
                    clips=[_Clip(name=c.name, segments=c.segments, silence=c.silence) for c in known.clips],
                )
                for name, known in classes.items()
            ],
            calibration=calibration,
            views=views,
            experiment=embedder.experiment,
            model=model,
            training_config_sha256=config_hash(embedder.experiment, model),
            sha256={name: _sha256(partial / name) for name in (MODEL_FILE, SUPPORT_FILE)},
            versions=versions(),
        )
        write_json(partial / BUNDLE_FILE, described.model_dump())
        partial.chmod(0o755)
        _put(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load_bundle(
    folder: Path, device: str = "cpu"
) -> tuple[Embedder, ModelConfig, Calibration | None, dict[str, EnrolledClass]]:
    """Read a bundle that anybody may have made; nothing in it is executed. Raises DataError saying what is wrong."""
    place = resolve_device(device, 0)
    described = _read_json(folder)
    try:
        check_configs(described.experiment, described.model)
        shape = described.preprocessing.n_mels, described.preprocessing.frames
        check_input(described.experiment, described.model, *shape)
    except ConfigError as error:
        raise DataError(f"{folder / BUNDLE_FILE}: {error}") from error
    if max(described.preprocessing.segment_samples, shape[0] * shape[1]) > LARGEST_SEGMENT:
        raise DataError(
            f"{folder / BUNDLE_FILE}: segments of {described.preprocessing.segment_seconds:g} s are too long"
        )
    tensors = _read_tensors(folder, MODEL_FILE, described)
    views = _views_in(folder, described, tensors)
    network = _network(folder, described, shape, tensors)
    classes = _classes(folder, described, _read_tensors(folder, SUPPORT_FILE, described))
    embedder = Embedder(network, described.experiment, described.preprocessing, views, place)
    return embedder, described.model, described.calibration, classes


def config_hash(experiment: ExperimentConfig, model: ModelConfig) -> str:
    """SHA-256 of the two training configs as canonical JSON."""
    values = {"experiment": experiment.model_dump(), "model": model.model_dump()}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    safetensors.torch.save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o644)  # it is written as a private file; bundles are meant to be passed on


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _put(new: Path, place: Path) -> None:
    """Put a folder at its place, whether or not there is one: a reader finds the old or the new one, whole."""
    if not place.exists() or _is_empty(place):
        new.replace(place)
    elif not _exchange(new, place):
        old = Path(tempfile.mkdtemp(prefix=f".{place.name[:50]}.", suffix=".tmp", dir=place.parent)) / "old"
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise
        finally:
            shutil.rmtree(old.parent, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step, as Linux can; returns whether it was done."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _read_json(folder: Path) -> _Bundle:
    path = folder / BUNDLE_FILE
    if not folder.is_dir() or not path.is_file():
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
        return _Bundle.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _read_tensors(folder: Path, name: str, described: _Bundle) -> dict[str, Tensor]:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{path}: missing")
    if described.sha256.get(name) != _sha256(path):
        raise DataError(f"{path}: damaged, or of another recognizer (its SHA-256 is not the one in {BUNDLE_FILE})")
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a safetensors file ({error})") from error
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise DataError(f"{path}: {key} holds values that are not finite")
    return tensors


def _network(folder: Path, described: _Bundle, shape: tuple[int, int], tensors: dict[str, Tensor]) -> FewShotNetwork:
    """Build the network, after the file has shown that it holds what the config asks for."""
    path = folder / MODEL_FILE
    state = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    state = current_names(state)
    layers = described.model.Hybrid.seq_layers if described.experiment.encoder_name == "Hybrid" else 0
    if layers > len(state):
        raise DataError(f"{folder / BUNDLE_FILE}: {layers} recurrent layers, but the model has {len(state)} tensors")
    try:
        with torch.device("meta"):  # takes no memory, whatever sizes a stranger's config names
            network = FewShotNetwork(described.experiment, described.model, *shape)
    except ConfigError as error:
        raise DataError(f"{folder / BUNDLE_FILE}: {error}") from error
    expected = network.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        wanted, found = expected.get(name), state.get(name)
        if wanted is None or found is None or wanted.shape != found.shape or wanted.dtype != found.dtype:
            raise DataError(f"{path}: network.{name} is {_described(found)}, expected {_described(wanted)}")
    if not state["norm_std"] > 0:
        raise DataError(f"{path}: network.norm_std is {float(state['norm_std'])}, expected a number above 0")
    network.load_state_dict(state, assign=True)
    return network


def _described(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")


def _classes(folder: Path, described: _Bundle, tensors: dict[str, Tensor]) -> dict[str, EnrolledClass]:
    path = folder / SUPPORT_FILE
    experiment = described.experiment
    width = experiment.embedding_width(described.model.out_dim(experiment.encoder_name))
    per_segment = 1 if experiment.use_attention else experiment.query_views("test")
    wanted = {f"{number}.{part}" for number in range(len(described.classes)) for part in ("rows", "prototype")}
    if tensors.keys() != wanted:
        raise DataError(f"{path}: holds {len(tensors)} tensors, expected {len(wanted)}: not those of these classes")
    classes: dict[str, EnrolledClass] = {}
    for number, entry in enumerate(described.classes):
        check_name(entry.name)
        if entry.name in classes:
            raise DataError(f"{folder / BUNDLE_FILE}: class {entry.name!r} is there twice")
        rows, prototype = tensors[f"{number}.rows"], tensors[f"{number}.prototype"]
        counts = [clip.segments * per_segment for clip in entry.clips]
        for value, size in ((rows, (sum(counts), width)), (prototype, (width,))):
            if value.shape != size or value.dtype != torch.float32:
                raise DataError(f"{path}: {entry.name!r}: {_described(value)}, expected float32 {size}")
        if not all(clip.name.isprintable() for clip in entry.clips):
            raise DataError(f"{folder / BUNDLE_FILE}: class {entry.name!r} has a clip with an unprintable name")
        parts = zip(entry.clips, torch.split(rows, counts), strict=True)
        known = EnrolledClass.of(tuple(EnrolledClip(c.name, c.segments, part.clone(), c.silence) for c, part in parts))
        if not torch.allclose(known.prototype, prototype, rtol=1e-3, atol=1e-4):
            raise DataError(f"{path}: the prototype of {entry.name!r} is not the mean of its clips")
        classes[entry.name] = EnrolledClass(known.clips, known.embeddings, prototype)
    return classes


def _views_out(views: Views | None) -> tuple[dict[str, Tensor], _Views | None]:
    """Split frozen views into tensors and plain numbers."""
    if views is None:
        return {}, None
    tensors = {f"views.{name}": value for name, value in vars(views).items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in vars(views).items() if isinstance(value, int)}
    return tensors, _Views(kind="wav" if isinstance(views, WaveformDraw) else "spec", numbers=numbers)


def _views_in(folder: Path, described: _Bundle, tensors: dict[str, Tensor]) -> Views | None:
    """Put frozen views together again, refusing what their maker would not have drawn."""
    experiment, path = described.experiment, folder / MODEL_FILE
    stored: dict[str, Any] = {k.removeprefix("views."): v for k, v in tensors.items() if k.startswith("views.")}
    if described.views is None or experiment.query_views("test") == 1:
        if stored or described.views is not None or experiment.query_views("test") != 1:
            raise DataError(f"{path}: frozen views and the config do not agree")
        return None
    wav = experiment.input_type == "wav"
    if described.views.kind != experiment.input_type:
        raise DataError(
            f"{folder / BUNDLE_FILE}: views of kind {described.views.kind!r}, expected {experiment.input_type!r}"
        )
    values: dict[str, Any] = described.views.numbers
    kind: type[WaveformDraw] | type[SpecAugmentDraw] = WaveformDraw if wav else SpecAugmentDraw
    try:
        views: Views = kind(**stored, **values)
    except TypeError as error:
        raise DataError(f"{path}: views: {error}") from error
    rows = experiment.waveaug_params.aug_num if wav else 1
    for name, value in stored.items():
        if not isinstance(value, Tensor) or value.ndim not in (1, 2) or len(value) != rows:
            raise DataError(f"{path}: views.{name} is {_described(value)}, expected {rows} rows")
    return views
