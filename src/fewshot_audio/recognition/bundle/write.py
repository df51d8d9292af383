"""Writing a bundle: as a whole or not at all."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform import WaveformDraw
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_folder import versions
from fewshot_audio.files import write_json
from fewshot_audio.recognition.bundle import BUNDLE_FILE, MODEL_FILE, SUPPORT_FILE, is_bundle
from fewshot_audio.recognition.bundle.schema import (
    FORMAT,
    KIND,
    BundleDescription,
    ClassSection,
    ClipSection,
    ViewsSection,
    config_hash,
    file_hash,
)
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.embedder import Embedder, Views
from fewshot_audio.recognition.enrolled import EnrolledClass
from fewshot_audio.runtime.exchange import is_empty_folder, replace_folder


def save_bundle(
    folder: Path,
    embedder: Embedder,
    experiment: ExperimentConfig,
    model: ModelConfig,
    calibration: Calibration | None,
    classes: Mapping[str, EnrolledClass],
) -> None:
    """Write a bundle beside its folder, then put it there in one step; an older bundle is replaced.

    Args:
        folder: the bundle's folder; folders above it are made.
        embedder: the network, its preprocessing and its frozen views.
        experiment: the config that the network was built and trained by.
        model: its model config.
        calibration: numbers of the validation classes; None if it is not calibrated.
        classes: the enrolled classes, in order; may be none.

    Raises:
        DataError: ``folder`` exists and is neither empty nor a bundle.
    """
    folder = folder.resolve()
    if folder.exists() and not is_bundle(folder) and not is_empty_folder(folder):
        raise DataError(f"{folder} exists and is no recognizer: it will not be replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", suffix=".tmp", dir=folder.parent))
    try:
        state = {f"network.{name}": value for name, value in embedder.network.state_dict().items()}
        view_tensors, view_section = _split_views(embedder.views)
        _write_tensors(partial / MODEL_FILE, state | view_tensors)
        support = {}
        for number, enrolled_class in enumerate(classes.values()):
            support[f"{number}.rows"] = torch.cat([clip.rows for clip in enrolled_class.clips])
            support[f"{number}.prototype"] = enrolled_class.prototype
        _write_tensors(partial / SUPPORT_FILE, support)
        description = BundleDescription(
            kind=KIND,
            format=FORMAT,
            preprocessing=embedder.preprocessing,
            classes=[
                ClassSection(
                    name=name,
                    clips=[
                        ClipSection(name=clip.name, segments=clip.segments, silence=clip.silence)
                        for clip in enrolled_class.clips
                    ],
                )
                for name, enrolled_class in classes.items()
            ],
            calibration=calibration,
            views=view_section,
            experiment=experiment,
            model=model,
            training_config_sha256=config_hash(experiment, model),
            sha256={name: file_hash(partial / name) for name in (MODEL_FILE, SUPPORT_FILE)},
            versions=versions(),
        )
        write_json(partial / BUNDLE_FILE, description.model_dump())
        partial.chmod(0o755)
        replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    safetensors.torch.save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o644)  # it is written as a private file; bundles are meant to be passed on


def _split_views(views: Views | None) -> tuple[dict[str, Tensor], ViewsSection | None]:
    """Split frozen views into tensors and plain numbers."""
    if views is None:
        return {}, None
    tensors = {f"views.{name}": value for name, value in vars(views).items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in vars(views).items() if isinstance(value, int)}
    return tensors, ViewsSection(kind="wav" if isinstance(views, WaveformDraw) else "spec", numbers=numbers)
