"""Pretrained Hugging Face audio encoders: frozen or fine-tuned, with a linear layer to the embedding width.

A model's folder is not trusted: its JSON files choose one of the supported architectures and set its sizes, none of its
code is run, and its weights are read from safetensors files only.
"""

import functools
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.audio.resample import resample
from fewshot_audio.config.model import PretrainedConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.base import Encoder
from fewshot_audio.models.huggingface_architectures import ARCHITECTURES, AST, CLAP, WHISPER, Architecture
from fewshot_audio.models.huggingface_files import find_folder, import_extra

LEVEL = 0.1  # clips come with standard deviation 1; in recordings of full scale 1 it is about this
MAX_SECONDS = 3600  # of an encoder of a fixed length; a longer one is a mistake or an attack
MAX_LAYERS = 200  # of each kind; a config with more is a mistake or an attack
UNUSED = {"masked_spec_embed"}  # a weight of masking in pretraining, which is switched off here


class PretrainedEncoder(Encoder):
    """A pretrained audio encoder, its outputs averaged over time (or its own pooling), and a linear layer.

    Reads waveforms at ``sample_rate``. With ``freeze`` the pretrained weights get no gradient and that part stays in
    eval mode: no dropout, fixed batch statistics. It is built with random weights until ``load_pretrained``.

    Shape: (n, samples) -> (n, out_dim).
    """

    def __init__(self, name: str, config: PretrainedConfig) -> None:
        """Raises ConfigError if ``config.definition`` is missing, foreign or contradictory."""
        super().__init__()
        self.name = name
        self.frozen = config.freeze
        self.out_dim = config.out_dim
        definition = config.definition
        if definition is None:
            raise ConfigError(f"Pretrained.definition is missing for {name!r}: a run fills it in when it starts")
        with _explained(name):
            self.architecture = ARCHITECTURES[definition["config"]["model_type"]]
            self.front_end = self.architecture.front_end(definition["preprocessor"])
            self.settings = _settings(self.architecture, definition["config"])
            section = self.architecture.section
            own = getattr(self.settings, section) if section else self.settings
            with _quiet():
                self.backbone: nn.Module = _find(self.architecture.encoder)(own)
            self.sample_rate = self.front_end.sample_rate
            longest = self.front_end.max_samples
            if MAX_SECONDS * self.sample_rate < longest < math.inf:
                raise ValueError(f"it takes {longest} samples, expected at most {MAX_SECONDS} s")
            self.linear = nn.Linear(own.hidden_size if hasattr(own, "hidden_size") else own.d_model, config.out_dim)
        self.backbone.requires_grad_(not self.frozen)
        self.train()

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """Set training mode, except of a frozen backbone, which stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def load_pretrained(self) -> None:
        """Read the pretrained weights. Raises ConfigError if they are missing, no safetensors or of other shapes."""
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
            missing = {key for key in report["missing_keys"] if key.startswith(prefix) and key not in UNUSED}
            if missing:
                raise ConfigError(f"{folder}: the weights lack {len(missing)} of this encoder, as {min(missing)!r}")
            part = model.get_submodule(architecture.part)
            self.backbone.load_state_dict(part.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """Embed a batch of segments of clips that were scaled to standard deviation 1."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.front_end(x.float() * LEVEL)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                pooled = self._pool(x.shape[-1], features)
        embedding: Tensor = self.linear(pooled.to(x.dtype))
        return embedding

    def _pool(self, samples: int, features: Tensor) -> Tensor:
        """Shape: the front end's -> (n, width)."""
        if self.architecture is CLAP:  # no segment is longer than its window: nothing to fuse
            output = self.backbone(features, is_longer=torch.zeros(features.shape[0], 1, dtype=torch.bool))
        else:
            output = self.backbone(features)
        if self.architecture in (AST, CLAP):
            pooled: Tensor = output.pooler_output
            return pooled
        states: Tensor = output.last_hidden_state
        if self.architecture is WHISPER:  # only the steps that the segment fills, not the padding
            states = states[:, : math.ceil(states.shape[1] * samples / self.front_end.max_samples)]
        return states.mean(1)


def check_segment(name: str, definition: dict[str, Any] | None, samples: int, rate: int) -> None:
    """Check, by embedding silence, that an encoder takes segments of that length.

    Args:
        name: of the encoder, "hf:...".
        definition: its config files, as ``read_definition`` returns them.
        samples: length of a segment.
        rate: samples per second.

    Raises:
        ConfigError: it does not, with the reason.
    """
    _embed_silence(name, json.dumps(definition), samples, rate)


@functools.lru_cache(maxsize=8)
def _embed_silence(name: str, definition: str, samples: int, rate: int) -> None:
    config = PretrainedConfig(definition=json.loads(definition))
    with torch.random.fork_rng(devices=[]):
        encoder = PretrainedEncoder(name, config).eval()
    encoder_rate, longest = encoder.front_end.sample_rate, encoder.front_end.max_samples
    segment = resample(torch.zeros(1, samples), rate, encoder_rate)
    if segment.shape[-1] > longest:
        raise ConfigError(
            f"{name} takes at most {longest / encoder_rate:g} s, but a segment has {samples / rate:g} s: "
            "prepare the dataset with a shorter --segment-seconds"
        )
    with _explained(name), torch.inference_mode():
        encoder(segment)


def _settings(architecture: Architecture, config: dict[str, Any]) -> Any:
    """The config object, without the masking of inputs, which would draw from a global generator."""
    _check_depth(config)
    reader = _find(architecture.checkpoint or architecture.encoder)
    return reader.config_class.from_dict({**config, "apply_spec_augment": False})


def _check_depth(config: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _check_depth(value)
        elif key == "depths" or "layers" in key:
            counts = value if isinstance(value, list) else [value]
            if any(isinstance(count, int) and count > MAX_LAYERS for count in counts):
                raise ValueError(f"{key} is {value}, expected at most {MAX_LAYERS}")


def _find(name: str) -> Any:
    """A class of ``transformers``, or of one of its modules."""
    module, _, attribute = f"transformers.{name}".rpartition(".")
    return getattr(import_extra(module), attribute)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn the errors that ``transformers`` raises for a wrong config or wrong weights into a ConfigError."""
    invalid = import_extra("huggingface_hub.errors").StrictDataclassError, import_extra("safetensors").SafetensorError
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
    log = import_extra("transformers.utils.logging")
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
