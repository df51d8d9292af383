"""Writing a bundle: as a whole or not at all, and never over what another program wrote meanwhile."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from fewshot_audio.experiments.versions import versions
from fewshot_audio.files import write_bytes, write_json
from fewshot_audio.models.frozen.encoder import read_weights
from fewshot_audio.models.frozen.installed import weights_file
from fewshot_audio.recognition.audio_store import AudioStore
from fewshot_audio.recognition.bundle import BUNDLE_FILE, Role, encoder_file, tensor_file
from fewshot_audio.recognition.bundle.decision_sections import FeaturesSection
from fewshot_audio.recognition.bundle.decision_tensors import pack_decision
from fewshot_audio.recognition.bundle.encoder_section import encoders_section
from fewshot_audio.recognition.bundle.folder import BundleState, current_digest, superseded_files, writing
from fewshot_audio.recognition.bundle.schema import (
    BACKGROUND,
    FORMAT,
    KIND,
    TIMBRE,
    AudioSection,
    BackgroundSection,
    BundleDescription,
    ClassSection,
    ClipsAudioSection,
    ClipSection,
    ViewsSection,
    config_hash,
    file_hash,
)
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.enrolled import EnrolledClass, EnrolledClip, EnrolledSounds
from fewshot_audio.recognition.kept_audio import AUDIO_FILE
from fewshot_audio.recognition.parts import RecognizerParts


def save_bundle(
    folder: Path, parts: RecognizerParts, expected: BundleState | None = None, *, is_new: bool = False
) -> BundleState:
    """Write a bundle into its folder; other files there stay as they are.

    Args:
        folder: the bundle's folder; folders above it are made.
        parts: what the recognizer consists of.
        expected: the state of the folder that ``parts`` continue; None replaces any.
        is_new: the folder has held no bundle so far.

    Returns:
        The state that the folder holds now.

    Raises:
        DataError: ``folder`` exists and is neither empty nor a bundle, or another program keeps it locked.
        BundleChanged: the folder holds another state than ``expected``, or one although ``is_new``.
        WriteError: a file cannot be written; the folder holds the state that it held before.
    """
    folder = folder.resolve()
    network, kind = parts.embedder.saved(), parts.embedder.input_type
    sounds = parts.sounds
    clips = [clip for own in sounds.classes.values() for clip in own.clips]
    is_decidable = bool(sounds.clips) and all(clip.timbre is not None for clip in clips)
    decision, decision_arrays = pack_decision(parts.decision) if parts.decision and is_decidable else (None, {})
    support = _support_arrays(sounds, parts.encoders.descriptions) | decision_arrays
    contents: dict[Role, bytes] = {"model": network.content, "support": safetensors.numpy.save(support)}
    with writing(folder, expected, is_new=is_new) as revision:
        new_files: list[Path] = []
        try:
            digests = {role: _write_tensors(folder, role, content, new_files) for role, content in contents.items()}
            description = BundleDescription(
                kind=KIND,
                format=FORMAT,
                revision=revision + 1,
                preprocessing=parts.embedder.preprocessing,
                classes=[_class_section(name, enrolled_class) for name, enrolled_class in sounds.classes.items()],
                calibration=parts.calibration,
                views=None if network.view_numbers is None else ViewsSection(kind=kind, numbers=network.view_numbers),
                experiment=parts.experiment,
                model=parts.model,
                training_config_sha256=config_hash(parts.experiment, parts.model),
                sha256={str(role): digest for role, digest in digests.items()},
                versions=versions(),
                features=FeaturesSection() if any(name.endswith(TIMBRE) for name in support) else None,
                decision=decision,
                encoders=encoders_section(parts.encoders),
                background=_background_section(sounds) if sounds.has_negatives else None,
                clips_audio=None if sounds.keeps_audio is None else ClipsAudioSection(keep=sounds.keeps_audio),
            )
            current = {tensor_file(role, digest) for role, digest in digests.items()}
            current |= _write_encoders(folder, parts.encoders, new_files)
            current |= _write_audio(folder, sounds, parts.audio, new_files)
            superseded = superseded_files(folder, current)
            write_json(folder / BUNDLE_FILE, _without_empty(description), sync=True)
        except BaseException:
            for path in new_files:
                path.unlink(missing_ok=True)
            raise
        for path in superseded:
            if parts.audio and AUDIO_FILE.fullmatch(path.name):
                parts.audio.hold(path)
            with suppress(OSError):  # the new state is complete; the next save tries again
                path.unlink(missing_ok=True)
        digest = current_digest(folder)
    assert digest is not None
    return BundleState(digest, description.revision, digests["model"])


def _class_section(name: str, enrolled_class: EnrolledClass) -> ClassSection:
    return ClassSection(name=name, clips=[_clip_section(clip) for clip in enrolled_class.clips])


def _background_section(sounds: EnrolledSounds) -> BackgroundSection:
    clips = [_clip_section(clip) for clip in sounds.background]
    return BackgroundSection(clips=clips, ignored=[name for name in sounds.classes if name in sounds.ignored])


def _clip_section(clip: EnrolledClip) -> ClipSection:
    audio = AudioSection(sha256=clip.audio.sha256, size=clip.audio.size) if clip.audio else None
    return ClipSection(name=clip.name, segments=clip.segments, silence=clip.silence, group=clip.group, audio=audio)


def _without_empty(description: BundleDescription) -> dict[str, Any]:
    """What a description says; empty optional parts are left out, since versions that know none of them refuse them."""
    names = ("features", "decision", "encoders", "background", "clips_audio")
    optional = {name for name in names if getattr(description, name) is None}
    content = description.model_dump(exclude=optional)
    sections = [*content["classes"], *filter(None, [content.get("background")])]
    for clip in (clip for section in sections for clip in section["clips"]):
        for key in ("group", "audio"):
            if not clip[key]:
                del clip[key]
    return content


def _support_arrays(sounds: EnrolledSounds, encoders: Iterable[str]) -> dict[str, NDArray[Any]]:
    encoders = list(encoders)
    arrays: dict[str, NDArray[Any]] = {}
    for number, enrolled_class in enumerate(sounds.classes.values()):
        arrays |= _clip_arrays(str(number), enrolled_class.clips, encoders)
        arrays[f"{number}.prototype"] = enrolled_class.prototype
    if sounds.background:
        arrays |= _clip_arrays(BACKGROUND, sounds.background, encoders)
    return arrays


def _clip_arrays(prefix: str, clips: Sequence[EnrolledClip], encoders: Iterable[str]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {f"{prefix}.rows": np.concatenate([clip.rows for clip in clips])}
    timbre = [clip.timbre for clip in clips if clip.timbre is not None]
    if len(timbre) == len(clips):
        arrays[prefix + TIMBRE] = np.concatenate(timbre)
    for name in encoders:
        arrays[f"{prefix}.{encoder_block(name)}"] = np.concatenate([clip.encoded[name] for clip in clips])
    return arrays


def _write_tensors(folder: Path, role: Role, content: bytes, new_files: list[Path]) -> str:
    """Write a file of tensors, unless it is there, undamaged; returns its SHA-256. Adds it to ``new_files``."""
    digest = hashlib.sha256(content).hexdigest()
    _write_content(folder / tensor_file(role, digest), digest, lambda: content, new_files)
    return digest


def _write_encoders(folder: Path, encoders: ClipEncoders, new_files: list[Path]) -> set[str]:
    """Write the files of frozen encoders, if bundles are to hold them; returns their names."""
    names = set()
    for description in encoders.descriptions.values() if encoders.embed else ():
        name = encoder_file(description.sha256)
        read = partial(read_weights, description, weights_file(description))
        _write_content(folder / name, description.sha256, read, new_files)
        names.add(name)
    return names


def _write_audio(folder: Path, sounds: EnrolledSounds, store: AudioStore | None, new_files: list[Path]) -> set[str]:
    """Write the files of kept sound that are missing, unless they are gone everywhere; returns the names of all."""
    names = set()
    for audio in set(sounds.kept_audio):
        path = folder / audio.file
        names.add(path.name)
        if path.is_file() and path.stat().st_size == audio.size:
            continue
        content = store.read(audio) if store else None
        if content is not None:
            _write_content(path, audio.sha256, lambda own=content: own, new_files)  # type: ignore[misc]
    return names


def _write_content(path: Path, digest: str, content: Callable[[], bytes], new_files: list[Path]) -> None:
    if path.is_file():
        if file_hash(path) == digest:
            return
    else:
        new_files.append(path)
    write_bytes(path, content(), sync=True)
