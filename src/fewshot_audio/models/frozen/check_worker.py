"""The process that converts and tries an encoder that anybody may have made. It is bounded, and its parent kills it.

It reads a request, a line of JSON, and writes a reply, a line of JSON, and behind it the converted file.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.conversion import converted, sha256
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.livekit import SPECTROGRAM_FILE
from fewshot_audio.runtime.confinement import confine

SECONDS = 5.0  # of silence and of noise


def main(address_space: int) -> None:
    """Answer the request."""
    replies = os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # a library that prints must not write into the reply
    os.dup2(silent, 2)
    request = json.loads(sys.stdin.buffer.read())
    confine(address_space)
    content = b""
    try:
        content, reply = _try(request)
    except ConfigError as error:
        reply = {"error": str(error)}
    except OSError as error:
        reply = {"error": f"{error.filename} cannot be read ({error.strerror or error})"}
    except MemoryError:
        reply = {"error": f"it needs more than {address_space >> 20} MB of memory"}
    replies.write(json.dumps(reply).encode() + b"\n" + content)
    replies.close()


def _try(request: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    path = Path(os.fsdecode(bytes.fromhex(request["path"])))
    content = path.read_bytes()
    beside = path.with_name(SPECTROGRAM_FILE).read_bytes() if request["kind"] == "livekit" else b""
    source = sha256(content)
    description = EncoderDescription.model_validate(request["description"])
    content = converted(request["kind"], content, description.output, beside)
    description = description.model_copy(update={"sha256": sha256(content)})
    encoder = FrozenEncoder(description, content)
    samples = round(SECONDS * description.sample_rate)
    noise = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    encoder.embed(np.zeros(samples, np.float32), description.sample_rate)
    start = time.perf_counter()
    of_noise = encoder.embed(noise, description.sample_rate)
    seconds = time.perf_counter() - start
    if np.array_equal(of_noise, encoder.embed(np.zeros(samples, np.float32), description.sample_rate)):
        raise ConfigError("noise and silence have the same embedding: it does not listen")
    return content, {"sha256": description.sha256, "source_sha256": source, "seconds": seconds}


if __name__ == "__main__":
    main(int(sys.argv[1]))
