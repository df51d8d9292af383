"""The process that decodes strangers' recordings: bounded in memory and files, killed where it takes too long.

It reads requests from its standard input and writes replies to its standard output until the input ends:

- request: 8 bytes of file name extension (padded with NUL), 8 bytes of length, the file;
- reply: 1 byte (``+`` samples, ``-`` a rejection), 8 bytes of length, then float32 samples or a JSON object.
"""

import io
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import soundfile

from fewshot_audio.audio.decode import AUDIO_EXTENSIONS, Samples, decode
from fewshot_audio.audio.rejection import Reason, Rejected

REQUEST = struct.Struct("<8sQ")
REPLY = struct.Struct("<cQ")
SAMPLES, REJECTION = b"+", b"-"
SCRATCH_BYTES = 512 << 20  # the largest file that it may write (what ffmpeg makes of a compressed recording)


def main(sample_rate: int, clip_seconds: float, address_space: int) -> None:
    """Answer requests until the input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a chatty library must not write into the replies
    confine(address_space)
    folder = Path(tempfile.gettempdir())  # a private one, which the server removes
    while head := requests.read(REQUEST.size):
        extension, length = REQUEST.unpack(head)
        status, payload = answer(extension.rstrip(b"\0").decode(), requests, length, folder, sample_rate, clip_seconds)
        replies.write(REPLY.pack(status, len(payload)))
        replies.write(payload)
        replies.flush()


def confine(address_space: int) -> None:
    """Bound the memory and the files of this process and its children, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    for kind, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_FSIZE, SCRATCH_BYTES)):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(
    extension: str, requests: BinaryIO, length: int, folder: Path, sample_rate: int, clip_seconds: float
) -> tuple[bytes, bytes | memoryview]:
    """Decode one file; status and payload of the reply."""
    path = folder / f"upload{extension}"  # the server chose the extension from a list
    try:
        with path.open("wb") as stream:
            while length:
                part = requests.read(min(length, io.DEFAULT_BUFFER_SIZE))
                length -= len(part)
                stream.write(part)
        samples = bounded_decode(path, sample_rate, clip_seconds)
    except Rejected as error:
        return REJECTION, json.dumps({"reason": error.reason, "detail": error.detail}).encode()
    except MemoryError:
        detail = "decoding it needs more memory than is granted"
        return REJECTION, json.dumps({"reason": Reason.TOO_LONG, "detail": detail}).encode()
    finally:
        path.unlink(missing_ok=True)
    return SAMPLES, samples.data.cast("B")


def bounded_decode(path: Path, sample_rate: int, clip_seconds: float) -> Samples:
    """Decode a file whose header, and then whose samples, say that it is short enough.

    Raises Rejected as ``decode`` does, and where the recording is longer than ``clip_seconds``.
    """
    if path.suffix not in AUDIO_EXTENSIONS:
        raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
    check_length(claimed_seconds(path), clip_seconds)
    samples = decode(path, sample_rate)
    check_length(len(samples) / sample_rate, clip_seconds)  # a header may lie
    return samples


def claimed_seconds(path: Path) -> float:
    """What the header says; 0 where libsndfile cannot read it: decode then says why, or asks ffmpeg."""
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return 0.0
    return float(header.frames / max(1, header.samplerate))


def check_length(seconds: float, most: float) -> None:
    """Raise Rejected for a recording that is too long."""
    if seconds > most:
        raise Rejected(Reason.TOO_LONG, f"{seconds:.0f} s, at most {most:g} s are taken")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
