"""Pretrained Hugging Face audio encoders: frozen or fine-tuned, with a linear layer to the embedding width.

A model's folder is a stranger's: its JSON files choose among the architectures below and set their sizes, no code of it
runs, and its weights are read from safetensors files only.
"""

import functools
import json
import logging
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.audio.resample import resample
from fewshot_audio.config import ExperimentConfig, ModelConfig, read_json
from fewshot_audio.config.model import PRETRAINED, PretrainedConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.base import Encoder
from fewshot_audio.models.front_ends import ASTFrontEnd, CLAPFrontEnd, FrontEnd, Waveform, WhisperFrontEnd

LEVEL = 0.1  # clips come with standard deviation 1; recordings have about this one at full scale 1
FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
)
# Keys of config.json that have no say in the arithmetic, or would have one in what code runs.
IGNORED = {"auto_map", "attn_implementation", "quantization_config", "id2label", "label2id", "dtype", "torch_dtype"}
MOST_SECONDS = 3600  # of what an encoder of a fixed length takes; a longer one is no encoder's
MOST_LAYERS = 200  # of any kind; a config that asks for more is no encoder's
UNUSED = {"masked_spec_embed"}  # a weight of masking in pretraining, which is switched off here


@dataclass(frozen=True)
class Architecture:
    """How to build one kind of encoder: names of classes of ``transformers``, which is imported only when needed."""

    encoder: str
    front_end: Callable[[dict[str, Any]], FrontEnd]
    checkpoint: str = ""  # the class whose checkpoints hold the encoder, where that is another
    part: str = ""  # where the encoder is in it
    section: str = ""  # and its config in the checkpoint's


_AST = Architecture("ASTModel", ASTFrontEnd)
_CLAP = Architecture("ClapAudioModel", CLAPFrontEnd, "ClapModel", "audio_model", "audio_config")
_WHISPER = Architecture("models.whisper.modeling_whisper.WhisperEncoder", WhisperFrontEnd, "WhisperModel", "encoder")
ARCHITECTURES = {
    "audio-spectrogram-transformer": _AST,
    "clap": _CLAP,
    "whisper": _WHISPER,
    "wav2vec2": Architecture("Wav2Vec2Model", Waveform),
    "hubert": Architecture("HubertModel", Waveform),
    "wavlm": Architecture("WavLMModel", Waveform),
    "unispeech-sat": Architecture("UniSpeechSatModel", Waveform),
    "data2vec-audio": Architecture("Data2VecAudioModel", Waveform),
    "sew": Architecture("SEWModel", Waveform),
}


class PretrainedEncoder(Encoder):
    """A pretrained audio encoder, its outputs averaged over time (or its own pooling), and a linear layer.

    Reads waveforms at ``sample_rate``. With ``freeze`` its weights take no gradient and it stays in eval mode, so that
    dropout and batch statistics are those of inference. Built with random weights: ``load_pretrained`` reads them.

    Shape: (n, samples) -> (n, out_dim).
    """

    def __init__(self, name: str, config: PretrainedConfig) -> None:
        """Raises ConfigError where ``config.definition`` is missing (``with_definition``), foreign or contradictory."""
        super().__init__()
        self.name = name
        self.frozen = config.freeze
        definition = config.definition
        if definition is None:
            raise ConfigError(f"Pretrained.definition is not known of {name!r}: see with_definition")
        with _explained(name):
            self.architecture = ARCHITECTURES[definition["config"]["model_type"]]
            self.front_end = self.architecture.front_end(definition["preprocessor"])
            self.settings = _settings(self.architecture, definition["config"])
            section = self.architecture.section
            own = getattr(self.settings, section) if section else self.settings
            with _quiet():
                self.backbone: nn.Module = _find(self.architecture.encoder)(own)
            self.sample_rate = self.front_end.sample_rate
            most = self.front_end.most_samples
            if most < math.inf and most > MOST_SECONDS * self.sample_rate:
                raise ValueError(f"it takes {most} samples, expected at most {MOST_SECONDS} s")
            self.linear = nn.Linear(own.hidden_size if hasattr(own, "hidden_size") else own.d_model, config.out_dim)
        self.backbone.requires_grad_(not self.frozen)
        self.train()

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """Set training mode, of which a frozen part takes no notice."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def load_pretrained(self) -> None:
        """Read the pretrained weights. Raises ConfigError where they are missing, no safetensors or of other shapes."""
        architecture, folder = self.architecture, find_folder(self.name)
        with _explained(self.name), _quiet():
            reader = _find(architecture.checkpoint or architecture.encoder)
            model, report = reader.from_pretrained(
                folder,
                config=self.settings,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
            prefix = f"{architecture.part}." if architecture.part else ""
            lacking = {key for key in report["missing_keys"] if key.startswith(prefix) and key not in UNUSED}
            if lacking:
                raise ConfigError(f"{folder}: the weights lack {len(lacking)} of this encoder, as {min(lacking)!r}")
            part = model.get_submodule(architecture.part)
            self.backbone.load_state_dict(part.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments, whole clips of which have standard deviation 1."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.front_end(x.float() * LEVEL)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                pooled = self._pool(x.shape[-1], features)
        embedding: Tensor = self.linear(pooled.to(x.dtype))
        return embedding

    def _pool(self, samples: int, features: Tensor) -> Tensor:
        """Shape: the front end's -> (n, width)."""
        if self.architecture is _CLAP:  # no segment is longer than its window: nothing to fuse
            output = self.backbone(features, is_longer=torch.zeros(features.shape[0], 1, dtype=torch.bool))
        else:
            output = self.backbone(features)
        if self.architecture in (_AST, _CLAP):
            pooled: Tensor = output.pooler_output
            return pooled
        states: Tensor = output.last_hidden_state
        if self.architecture is _WHISPER:  # the steps that the segment fills, without the silence behind it
            states = states[:, : math.ceil(states.shape[1] * samples / self.front_end.most_samples)]
        return states.mean(1)


def with_definition(experiment: ExperimentConfig, model: ModelConfig) -> ModelConfig:
    """Return ``model`` with the config files of the experiment's pretrained encoder in it, so that it is complete.

    Raises ConfigError where they are not there.
    """
    if not experiment.encoder_name.startswith(PRETRAINED):
        return model
    pretrained = model.Pretrained.model_copy(update={"definition": read_definition(experiment.encoder_name)})
    return model.model_copy(update={"Pretrained": pretrained})


def check_segment(experiment: ExperimentConfig, model: ModelConfig, samples: int, rate: int) -> None:
    """Check, by embedding silence, that the experiment's pretrained encoder takes segments of that length.

    Raises ConfigError with the reason.
    """
    name = experiment.encoder_name
    if name.startswith(PRETRAINED):
        _embed_silence(name, json.dumps(model.Pretrained.definition), samples, rate)


@functools.lru_cache(maxsize=8)
def _embed_silence(name: str, definition: str, samples: int, rate: int) -> None:
    config = PretrainedConfig(definition=json.loads(definition))
    with torch.random.fork_rng(devices=[]):
        encoder = PretrainedEncoder(name, config).eval()
    rate_there, most = encoder.front_end.sample_rate, encoder.front_end.most_samples
    segment = resample(torch.zeros(1, samples), rate, rate_there)
    if segment.shape[-1] > most:
        raise ConfigError(
            f"{name} takes at most {most / rate_there:g} s, but a segment has {samples / rate:g} s: "
            "prepare the dataset with a shorter --segment-seconds"
        )
    with _explained(name), torch.inference_mode():
        encoder(segment)


def read_definition(name: str) -> dict[str, Any]:
    """Read the config files of the encoder ``name`` ("hf:..."). Raises ConfigError naming what is missing or foreign.

    Returns "config" and "preprocessor", as ``Pretrained.definition`` of the model file holds them.
    """
    folder = find_folder(name)
    config = {
        key: value
        for key, value in read_json(folder / "config.json").items()
        if key not in IGNORED and not key.startswith("_")
    }
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"{folder / 'config.json'}: model_type is {kind!r}; the known audio encoders are {known}")
    preprocessor, processor = folder / "preprocessor_config.json", folder / "processor_config.json"
    if preprocessor.is_file() or not processor.is_file():
        return {"config": config, "preprocessor": read_json(preprocessor)}
    settings = read_json(processor).get("feature_extractor")
    if not isinstance(settings, dict):
        raise ConfigError(f"{processor}: no object 'feature_extractor' in it, and there is no {preprocessor.name}")
    return {"config": config, "preprocessor": settings}


def find_folder(name: str) -> Path:
    """The folder of the encoder ``name`` ("hf:..."): as given, else of that model id in the local cache, else fetched.

    Raises ConfigError where there is none.
    """
    source = name.removeprefix(PRETRAINED)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or ".." in source:
        raise ConfigError(f"encoder_name {name!r}: there is no folder {source}, and it is no model id")
    hub = _import("huggingface_hub")
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES), local_files_only=True))
    except (OSError, ValueError):  # not in the cache
        logging.getLogger(__name__).info("%s is not in the local cache: fetching it", source)
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES)))
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"encoder_name {name!r}: there is no folder {source}; as a model id it is not in the local cache "
            f"and cannot be fetched ({error})"
        ) from error


def _settings(architecture: Architecture, config: dict[str, Any]) -> Any:
    """The config object; masking of inputs, which would draw from a global generator, is off: views are made before."""
    _check_depth(config)
    reader = _find(architecture.checkpoint or architecture.encoder)
    return reader.config_class.from_dict({**config, "apply_spec_augment": False})


def _check_depth(config: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _check_depth(value)
        elif key == "depths" or "layers" in key:
            counts = value if isinstance(value, list) else [value]
            if any(isinstance(count, int) and count > MOST_LAYERS for count in counts):
                raise ValueError(f"{key} is {value}, expected at most {MOST_LAYERS}")


def _find(name: str) -> Any:
    """A class of ``transformers``, or of one of its modules."""
    module, _, attribute = f"transformers.{name}".rpartition(".")
    return getattr(_import(module), attribute)


def _import(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"pretrained encoders need {module.partition('.')[0]}: pip install 'fewshot-audio[hf]'"
        ) from error


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what a wrong config or wrong weights provoke in ``transformers`` into a ConfigError."""
    invalid = _import("huggingface_hub.errors").StrictDataclassError, _import("safetensors").SafetensorError
    try:
        yield
    except (
        *invalid,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        OSError,
    ) as error:
        raise ConfigError(f"encoder_name {name!r}: not usable as an audio encoder ({error})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bars and reports of ``transformers``."""
    log = _import("transformers.utils.logging")
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
