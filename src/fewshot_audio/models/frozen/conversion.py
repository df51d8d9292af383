"""From the files that packages and people have to one file that holds all weights, with the output of interest."""

import hashlib
import io
import posixpath
import zipfile
from typing import Any

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.ge2e import convert
from fewshot_audio.models.frozen.graph import MAX_FILE, check_model, cut, inline_weights, parse
from fewshot_audio.models.frozen.livekit import joined
from fewshot_audio.models.frozen.packages import Kind
from fewshot_audio.models.frozen.tflite import with_output

MAX_MEMBERS = 100


def converted(kind: Kind, content: bytes, output: str, beside: bytes = b"") -> bytes:
    """The ONNX or TFLite file of an encoder: what it was made of is checked, its only output is the named tensor.

    Args:
        kind: what the content is.
        content: of the file.
        output: name of the tensor.
        beside: content of the file that belongs to it, of the kind livekit.

    Raises:
        ConfigError: the content is not of that kind, or holds what no encoder needs.
    """
    if kind == "tflite":
        return with_output(content, output)
    if kind == "ge2e":
        model = convert(content)
    elif kind == "livekit":
        model = joined(beside, content)
    elif kind == "zipped":
        model = _unpacked(content)
    else:
        model = parse(content)
    check_model(model)
    if [value.name for value in model.graph.output] == [output] and kind == "onnx":
        return content
    cut(model, output)
    new: bytes = model.SerializeToString(deterministic=True)
    return new


def sha256(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def _unpacked(content: bytes) -> Any:
    """The model of an archive that holds one ONNX file, and one file of weights beside it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_FILE:
                raise ConfigError(f"more than {MAX_MEMBERS} files or {MAX_FILE} bytes in the archive")
            graphs = [member for member in members if member.filename.endswith(".onnx")]
            others = [member for member in members if member.filename.endswith(".data")]
            if len(graphs) != 1 or len(others) != 1:
                raise ConfigError(f"{len(graphs)} ONNX files and {len(others)} of weights in the archive, expected one")
            model = parse(_read(archive, graphs[0]))
            inline_weights(model, posixpath.basename(others[0].filename), _read(archive, others[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise ConfigError(f"not a readable zip archive ({error})") from error
    return model


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        content = stream.read(member.file_size + 1)
    if len(content) != member.file_size:
        raise ConfigError(f"{member.filename}: its size is not the one in the archive")
    return content
