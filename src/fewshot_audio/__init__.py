"""Few-shot audio classification: learn to recognize sounds from a handful of examples."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_audio.archive.index import Index as Index
    from fewshot_audio.audio.augment.modules import SpecAugment as SpecAugment
    from fewshot_audio.audio.augment.modules import WaveformAugment as WaveformAugment
    from fewshot_audio.audio.features import LogMel as LogMel
    from fewshot_audio.audio.preprocessing import Preprocessing as Preprocessing
    from fewshot_audio.audio.wave_stats import WaveStats as WaveStats
    from fewshot_audio.config.base import Section as Section
    from fewshot_audio.config.losses import ContrastiveSection as ContrastiveSection
    from fewshot_audio.config.losses import register_contrastive_loss as register_contrastive_loss
    from fewshot_audio.config.model import register_encoder as register_encoder
    from fewshot_audio.config.waveform_transforms import register_waveform_transform as register_waveform_transform
    from fewshot_audio.data.sampler import EpisodeSampler as EpisodeSampler
    from fewshot_audio.data.source_limits import SourceLimits as SourceLimits
    from fewshot_audio.data.sources.base import AudioFile as AudioFile
    from fewshot_audio.data.sources.base import Recording as Recording
    from fewshot_audio.data.sources.base import SkippedInput as SkippedInput
    from fewshot_audio.data.sources.registry import register_source as register_source
    from fewshot_audio.engine.evaluate_tasks import TaskAccuracy as TaskAccuracy
    from fewshot_audio.engine.evaluate_tasks import evaluate_tasks as evaluate_tasks
    from fewshot_audio.errors import FewShotError as FewShotError
    from fewshot_audio.events.annotation import Annotation as Annotation
    from fewshot_audio.events.detection.detector import Detector as Detector
    from fewshot_audio.events.detection.options import DetectionOptions as DetectionOptions
    from fewshot_audio.events.read import read_annotations as read_annotations
    from fewshot_audio.experiments.results_table import ResultRow as ResultRow
    from fewshot_audio.experiments.results_table import read_results as read_results
    from fewshot_audio.functional.loss_modules import AngularLoss as AngularLoss
    from fewshot_audio.functional.loss_modules import CPLLoss as CPLLoss
    from fewshot_audio.functional.loss_modules import PrototypicalLoss as PrototypicalLoss
    from fewshot_audio.functional.loss_modules import RelationLoss as RelationLoss
    from fewshot_audio.models.encoders import CNN as CNN
    from fewshot_audio.models.encoders import Hybrid as Hybrid
    from fewshot_audio.models.fusion import ViewAttention as ViewAttention
    from fewshot_audio.models.heads import ProjectionHead as ProjectionHead
    from fewshot_audio.models.heads import RelationHead as RelationHead
    from fewshot_audio.models.network import FewShotNetwork as FewShotNetwork
    from fewshot_audio.models.resnet import ResNet12 as ResNet12
    from fewshot_audio.models.resnet8 import ResNet8 as ResNet8
    from fewshot_audio.recognition.estimator import FewShotClassifier as FewShotClassifier
    from fewshot_audio.recognition.output_formats import register_output_format as register_output_format
    from fewshot_audio.recognition.recognizer import Recognizer as Recognizer

__version__ = "0.1.0"

_MODULES = {
    "AngularLoss": "functional.loss_modules",
    "Annotation": "events.annotation",
    "AudioFile": "data.sources.base",
    "CNN": "models.encoders",
    "CPLLoss": "functional.loss_modules",
    "ContrastiveSection": "config.losses",
    "DetectionOptions": "events.detection.options",
    "Detector": "events.detection.detector",
    "EpisodeSampler": "data.sampler",
    "FewShotClassifier": "recognition.estimator",
    "FewShotError": "errors",
    "FewShotNetwork": "models.network",
    "Hybrid": "models.encoders",
    "Index": "archive.index",
    "LogMel": "audio.features",
    "Preprocessing": "audio.preprocessing",
    "ProjectionHead": "models.heads",
    "PrototypicalLoss": "functional.loss_modules",
    "Recognizer": "recognition.recognizer",
    "Recording": "data.sources.base",
    "RelationHead": "models.heads",
    "RelationLoss": "functional.loss_modules",
    "ResNet12": "models.resnet",
    "ResNet8": "models.resnet8",
    "ResultRow": "experiments.results_table",
    "Section": "config.base",
    "SkippedInput": "data.sources.base",
    "SourceLimits": "data.source_limits",
    "SpecAugment": "audio.augment.modules",
    "TaskAccuracy": "engine.evaluate_tasks",
    "ViewAttention": "models.fusion",
    "WaveStats": "audio.wave_stats",
    "WaveformAugment": "audio.augment.modules",
    "evaluate_tasks": "engine.evaluate_tasks",
    "read_annotations": "events.read",
    "read_results": "experiments.results_table",
    "register_contrastive_loss": "config.losses",
    "register_encoder": "config.model",
    "register_output_format": "recognition.output_formats",
    "register_source": "data.sources.registry",
    "register_waveform_transform": "config.waveform_transforms",
}
"""The module of each public name, imported (and torch with it, if it needs that) only when the name is asked for."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])  # so that Python asks "Did you mean"
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # so that the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
