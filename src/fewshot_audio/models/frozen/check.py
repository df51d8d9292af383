"""The first check of an encoder that anybody may have made, in a process of its own with bounds on memory and time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.graph import MAX_FILE
from fewshot_audio.models.frozen.packages import Kind

WORKER = (sys.executable, "-P", "-m", "fewshot_audio.models.frozen.check_worker")  # -P: no modules of this folder
ADDRESS_SPACE = 8 << 30  # bytes; that of a process with torch is 3
LONGEST = 180.0  # seconds


class CheckedEncoder(NamedTuple):
    """An encoder that has embedded silence and noise.

    Attributes:
        description: with the SHA-256 of the content.
        content: the file.
        source_sha256: of the file that it was made of.
        seconds: that it took for 5 s of noise.
    """

    description: EncoderDescription
    content: bytes
    source_sha256: str
    seconds: float


def check_encoder(description: EncoderDescription, path: Path, kind: Kind | None = None) -> CheckedEncoder:
    """Convert an encoder's file and try it on silence and noise, without trusting it.

    Args:
        description: of the encoder; its ``sha256`` is not compared.
        path: the file.
        kind: what the file is; default: a TFLite file if its name says so, else an ONNX file.

    Raises:
        ConfigError: names the file and what is wrong.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not path.is_file() or size > MAX_FILE:
        raise ConfigError(f"{path}: {size} bytes, expected a file of at most {MAX_FILE}")
    kind = kind or ("tflite" if description.is_tflite else "onnx")
    request = {"path": os.fsencode(path.absolute()).hex(), "kind": kind, "description": description.model_dump()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FEWSHOT_AUDIO_")}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        finished = subprocess.run(
            (*WORKER, str(ADDRESS_SPACE)),
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{path}: trying the encoder took longer than {LONGEST:g} s") from error
    line, _, content = finished.stdout.partition(b"\n")
    try:
        reply = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}: the process that tried the encoder crashed ({finished.returncode})") from error
    if "error" in reply:
        raise ConfigError(f"{path}: {reply['error']}")
    checked = description.model_copy(update={"sha256": reply["sha256"]})
    return CheckedEncoder(checked, content, reply["source_sha256"], reply["seconds"])
