"""The process that decodes untrusted recordings. Its memory and files are bounded; the server kills it if it is slow.

It reads requests from its standard input and writes replies to its standard output until the input ends:

- request: 8 bytes of file name extension (padded with NUL), 8 bytes of length, the file;
- reply: 1 byte (``+`` samples, ``-`` a rejection, ``!`` no space for the file), 8 bytes of length, then float32
  samples, a JSON object, or the number of the system's error.
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
ERROR_NUMBER = struct.Struct("<i")
SAMPLES, REJECTION, NO_SPACE = b"+", b"-", b"!"
MAX_FILE_BYTES = 512 << 20  # the largest file that may be written, such as ffmpeg's output


def main(sample_rate: int, clip_seconds: float, address_space: int) -> None:
    """Answer requests until the input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not write into the replies
    confine(address_space)
    folder = Path(tempfile.gettempdir())  # private to this process; the server removes it
    while header := requests.read(REQUEST.size):
        extension, length = REQUEST.unpack(header)
        status, payload = answer(extension.rstrip(b"\0").decode(), requests, length, folder, sample_rate, clip_seconds)
        replies.write(REPLY.pack(status, len(payload)))
        replies.write(payload)
        replies.flush()


def confine(address_space: int) -> None:
    """Bound the memory and the files of this process and its children, if the system supports it."""
    if sys.platform == "win32":
        return
    import resource

    for kind, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_FSIZE, MAX_FILE_BYTES)):
        hard = resource.getrlimit(kind)[1]  # this process may not raise it
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(
    extension: str, requests: BinaryIO, length: int, folder: Path, sample_rate: int, clip_seconds: float
) -> tuple[bytes, bytes | memoryview]:
    """Decode one file.

    Args:
        extension: of the file's name.
        requests: the stream that holds the file.
        length: bytes of the file.
        folder: where the file is written.
        sample_rate: rate of the decoded samples, Hz.
        clip_seconds: the longest recording that is decoded.

    Returns:
        Status and payload of the reply.
    """
    path = folder / f"upload{extension}"  # the server chose the extension from a list
    try:
        store(path, requests, length)
        samples = bounded_decode(path, sample_rate, clip_seconds)
    except Rejected as error:
        return REJECTION, json.dumps({"reason": error.reason, "detail": error.detail}).encode()
    except OSError as error:  # of a temporary file: those of the recording are rejections
        return NO_SPACE, ERROR_NUMBER.pack(error.errno or 0)
    except MemoryError:
        detail = "decoding it needs more memory than is allowed"
        return REJECTION, json.dumps({"reason": Reason.TOO_LONG, "detail": detail}).encode()
    finally:
        path.unlink(missing_ok=True)
    return SAMPLES, samples.data.cast("B")


def store(path: Path, requests: BinaryIO, length: int) -> None:
    """Write the next ``length`` bytes of a stream into a file; the stream is read to there even if that fails."""
    try:
        with path.open("wb") as stream:
            while length:
                block = requests.read(min(length, io.DEFAULT_BUFFER_SIZE))
                length -= len(block)
                stream.write(block)
    finally:
        while length and (block := requests.read(min(length, io.DEFAULT_BUFFER_SIZE))):
            length -= len(block)


def bounded_decode(path: Path, sample_rate: int, clip_seconds: float) -> Samples:
    """Decode a file if its header says that it is short enough, and check the length of the samples again.

    Raises:
        Rejected: as ``decode`` does; also if the recording is longer than ``clip_seconds``.
    """
    if path.suffix not in AUDIO_EXTENSIONS:
        raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
    check_length(claimed_seconds(path), clip_seconds)
    samples = decode(path, sample_rate)
    check_length(len(samples) / sample_rate, clip_seconds)  # a header may lie
    return samples


def claimed_seconds(path: Path) -> float:
    """Duration by the header; 0 if libsndfile cannot read it: ``decode`` then says why, or uses ffmpeg."""
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return 0.0
    return float(header.frames / max(1, header.samplerate))


def check_length(seconds: float, max_seconds: float) -> None:
    """Raise Rejected if a recording is too long."""
    if seconds > max_seconds:
        raise Rejected(Reason.TOO_LONG, f"{seconds:.0f} s, at most {max_seconds:g} s are accepted")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
