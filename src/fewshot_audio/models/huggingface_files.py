"""The files of a Hugging Face audio encoder, located in a folder, the local cache or the hub, and read as data."""

import importlib
import logging
import re
from pathlib import Path
from typing import Any

from fewshot_audio.config import read_json
from fewshot_audio.config.model import PRETRAINED
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.huggingface_architectures import ARCHITECTURES

FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
)
# Keys of config.json that do not affect the arithmetic, or that would choose code to run.
IGNORED = {"auto_map", "attn_implementation", "quantization_config", "id2label", "label2id", "dtype", "torch_dtype"}


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
        names = ", ".join(ARCHITECTURES)
        raise ConfigError(f"{folder / 'config.json'}: model_type is {kind!r}; the known audio encoders are {names}")
    preprocessor, processor = folder / "preprocessor_config.json", folder / "processor_config.json"
    if preprocessor.is_file() or not processor.is_file():
        return {"config": config, "preprocessor": read_json(preprocessor)}
    settings = read_json(processor).get("feature_extractor")
    if not isinstance(settings, dict):
        raise ConfigError(f"{processor}: no object 'feature_extractor' in it, and there is no {preprocessor.name}")
    return {"config": config, "preprocessor": settings}


def find_folder(name: str) -> Path:
    """The folder of the encoder ``name`` ("hf:..."): that path, or that model id in the local cache, or downloaded.

    Raises ConfigError if there is none.
    """
    source = name.removeprefix(PRETRAINED)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or ".." in source:
        raise ConfigError(f"encoder_name {name!r}: there is no folder {source}, and it is no model id")
    hub = import_extra("huggingface_hub")
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES), local_files_only=True))
    except (OSError, ValueError):  # not in the cache
        logging.getLogger(__name__).info("%s is not in the local cache: downloading it", source)
    try:
        return Path(hub.snapshot_download(source, allow_patterns=list(FILES)))
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"encoder_name {name!r}: there is no folder {source}; as a model id it is not in the local cache "
            f"and cannot be fetched ({error})"
        ) from error


def import_extra(module: str) -> Any:
    """Import a module of the extra ``hf``. Raises ConfigError saying how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"pretrained encoders need {module.partition('.')[0]}: pip install 'fewshot-audio[hf]'"
        ) from error
