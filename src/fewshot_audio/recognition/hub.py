"""Recognizers by name: shipped ones, folders, and model repositories of the Hugging Face hub.

The hub is asked only for names that begin with "hf:". What comes from there is untrusted: only a bundle's own files are
fetched, their sizes are bounded before, and ``load_bundle`` checks them as it does every bundle.
"""

import importlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewshot_audio import __version__
from fewshot_audio.errors import ConfigError, DataError, format_names, on_one_line
from fewshot_audio.files import write_text
from fewshot_audio.models.frozen.graph import MAX_FILE
from fewshot_audio.recognition.bundle import BUNDLE_FILE, ROLES, is_bundle
from fewshot_audio.recognition.bundle.description import LARGEST_JSON, read_description
from fewshot_audio.recognition.bundle.write import save_bundle
from fewshot_audio.recognition.parts import RecognizerParts
from fewshot_audio.recognition.shipped import shipped_folder, shipped_names

HUB = "hf:"
CARD_FILE = "README.md"
LARGEST_TENSORS = 4 << 30
"""Bytes of a file of tensors that is fetched, at most."""

REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
REVISION = re.compile(r"[\w-][\w./-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")

CARD = """---
library_name: fewshot-audio
tags: [audio-classification, few-shot-learning]
---
# {name}

A recognizer of sounds: {classes}. It was made by fewshot_audio {version}; recordings are read at {rate} Hz, in segments
of {seconds:g} s.

    from fewshot_audio import Recognizer

    recognizer = Recognizer.from_pretrained("hf:{name}@main")
    recognizer.predict("recording.wav")

The files hold a network, the names of the classes and of the enrolled clips, and numbers computed from these clips;
{sound}.
"""


def find_bundle(name: str | Path) -> Path:
    """The folder of a bundle, from what ``Recognizer.from_pretrained`` takes.

    Raises:
        DataError: there is none of that name, or the hub has none.
        ConfigError: it is one of the hub, and huggingface_hub is not installed.
    """
    text = str(name)
    if text.startswith(HUB):
        return download_bundle(text)
    if text in shipped_names():
        return shipped_folder(text)
    if is_bundle(Path(name)):
        return Path(name)
    raise DataError(
        f"{on_one_line(text)}: neither a shipped recognizer (there are: {format_names(shipped_names()) or 'none'}) nor "
        f"a recognizer's folder, which has a {BUNDLE_FILE}; one of the hub is written {HUB}OWNER/NAME@REVISION"
    )


def download_bundle(name: str) -> Path:
    """Fetch a bundle from the hub into its local cache, unless that commit is there.

    Args:
        name: "hf:OWNER/NAME@REVISION".

    Raises:
        DataError: the name is none, the hub refuses, or the repository holds no bundle or one that is too large.
        ConfigError: huggingface_hub is not installed.
    """
    repository, _, revision = name.removeprefix(HUB).partition("@")
    if not REPOSITORY.fullmatch(repository) or not REVISION.fullmatch(revision) or ".." in name:
        raise DataError(
            f"{on_one_line(name)}: expected {HUB}OWNER/NAME@REVISION, such as {HUB}me/birds@main or with a commit"
        )
    hub = import_hub()
    with _hub_errors(name):
        if COMMIT.fullmatch(revision):
            cached = hub.try_to_load_from_cache(repository, BUNDLE_FILE, revision=revision)
            if isinstance(cached, str) and _is_complete(Path(cached).parent):
                return Path(cached).parent
        information = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size for file in information.siblings or ()}

        def fetch(file: str, largest: int) -> Path:
            size = sizes.get(file)
            if size is None:
                raise DataError(f"{name}: the repository has no {file}: it holds no recognizer, or not the whole")
            if size > largest:
                raise DataError(f"{name}: {file} has {size} bytes, expected at most {largest}")
            return Path(hub.hf_hub_download(repository, file, revision=information.sha))

        folder = fetch(BUNDLE_FILE, LARGEST_JSON).parent
        description, _ = read_description(folder)
        for role in ROLES:
            fetch(description.tensor_file(role)[0], LARGEST_TENSORS)
        for file in description.encoder_files:
            fetch(file, MAX_FILE)
        for file, size in description.audio_files.items():
            if file in sizes:
                fetch(file, size)
    return folder


def push_bundle(parts: RecognizerParts, name: str, *, private: bool, revision: str | None) -> str:
    """Write a bundle into a repository of the hub, in one commit; see ``Recognizer.push_to_hub``."""
    if not REPOSITORY.fullmatch(name) or ".." in name:
        raise DataError(f"{on_one_line(name)}: expected OWNER/NAME, a repository of the hub")
    hub = import_hub()
    with tempfile.TemporaryDirectory(prefix="fewshot-audio-push-") as temporary, _hub_errors(name):
        folder = Path(temporary, "bundle")
        save_bundle(folder, parts)
        api = hub.HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        if not api.file_exists(name, CARD_FILE, revision=revision):  # one that a person wrote stays
            write_text(folder / CARD_FILE, _card(parts, name))
        patterns = [BUNDLE_FILE, CARD_FILE, *(f"{role}-*.safetensors" for role in ROLES), "encoder-*.onnx"]
        patterns.append("clip-*.flac")
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=patterns,
            revision=revision,
            commit_message=f"Recognizer of {len(parts.sounds.classes)} classes, by fewshot_audio {__version__}",
        )
    return f"{HUB}{name}@{commit.oid}"


def import_hub() -> Any:
    """Import huggingface_hub. Raises ConfigError saying how to install it."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ConfigError("the hub needs huggingface_hub: pip install 'fewshot-audio[hub]'") from error


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Errors of the hub, of the connection to it and of its cache, as errors that name the repository."""
    # The library that it connects by is another one in each major version; its own errors are those of that library.
    own_bases = importlib.import_module("huggingface_hub.errors").HfHubHTTPError.__bases__
    try:
        yield
    except (OSError, ValueError, RuntimeError, *own_bases) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{name}: the hub: {on_one_line(reason[0])}") from error


def _is_complete(folder: Path) -> bool:
    """Whether the cache holds all files of a bundle."""
    description, _ = read_description(folder)
    files = [description.tensor_file(role)[0] for role in ROLES] + description.encoder_files
    return all((folder / file).is_file() for file in files)


def _card(parts: RecognizerParts, name: str) -> str:
    preprocessing = parts.embedder.preprocessing
    return CARD.format(
        name=name,
        classes=on_one_line(format_names(list(parts.sounds.classes), 20)) or "none is enrolled yet",
        version=__version__,
        rate=preprocessing.recording_rate,
        seconds=preprocessing.recording_seconds,
        sound="and the sound of clips" if parts.sounds.kept_audio else "no sound",
    )
