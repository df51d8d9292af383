"""The process that decodes untrusted recordings. Its memory and files are bounded; the server kills it if it is slow.

It reads requests from its standard input and writes replies to its standard output until the input ends:

- request: 8 bytes of file name extension (padded with NUL), 8 bytes of length, the file;
- reply: 1 byte (``+`` samples, ``-`` a rejection, ``!`` no space for the file), 8 bytes of length, then a text about
  damage (4 bytes of length before it) and float32 samples; a JSON object; or the number of the system's error.
"""

import io
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fewshot_audio.audio.av_reader import AvReader
from fewshot_audio.audio.decode import AUDIO_EXTENSIONS, Decoded, Decoding
from fewshot_audio.audio.decode_worker import confine
from fewshot_audio.audio.rejection import Reason, Rejected

REQUEST = struct.Struct("<8sQ")
REPLY = struct.Struct("<cQ")
TEXT = struct.Struct("<I")
ERROR_NUMBER = struct.Struct("<i")
SAMPLES, REJECTION, NO_SPACE = b"+", b"-", b"!"
MAX_FILE_BYTES = 512 << 20  # the largest file that may be written


def main(sample_rate: int, clip_seconds: float, address_space: int) -> None:
    """Answer requests until the input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not write into the replies
    confine(address_space, MAX_FILE_BYTES)
    folder = Path(tempfile.gettempdir())  # private to this process; the server removes it
    while header := requests.read(REQUEST.size):
        extension, length = REQUEST.unpack(header)
        status, payload = answer(extension.rstrip(b"\0").decode(), requests, length, folder, sample_rate, clip_seconds)
        replies.write(REPLY.pack(status, len(payload)))
        replies.write(payload)
        replies.flush()


def answer(
    extension: str, requests: BinaryIO, length: int, folder: Path, sample_rate: int, clip_seconds: float
) -> tuple[bytes, bytes]:
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
        samples, damage = bounded_decode(path, sample_rate, clip_seconds)
    except Rejected as error:
        return REJECTION, json.dumps({"reason": error.reason, "detail": error.detail}).encode()
    except OSError as error:  # of a temporary file: those of the recording are rejections
        return NO_SPACE, ERROR_NUMBER.pack(error.errno or 0)
    except MemoryError:
        detail = "decoding it needs more memory than is allowed"
        return REJECTION, json.dumps({"reason": Reason.TOO_LONG, "detail": detail}).encode()
    finally:
        path.unlink(missing_ok=True)
    text = damage.encode().ljust(-(-len(damage.encode()) // 4) * 4)  # so that the samples are aligned
    return SAMPLES, TEXT.pack(len(text)) + text + samples.tobytes()


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


def bounded_decode(path: Path, sample_rate: int, clip_seconds: float) -> Decoded:
    """Decode a file, as far as it is not too long: no header is believed.

    Raises:
        Rejected: as ``decode`` does; also if the recording is longer than ``clip_seconds``.
    """
    if path.suffix not in AUDIO_EXTENSIONS:
        raise Rejected(Reason.NOT_AUDIO, "expected a sound file such as wav, flac, ogg or mp3")
    decoding = Decoding(path, sample_rate, other_reader=AvReader)
    blocks, samples = [], 0
    for block in decoding:
        blocks.append(block)
        samples += len(block)
        if samples > clip_seconds * sample_rate:
            raise Rejected(Reason.TOO_LONG, f"more than {clip_seconds:g} s, which are accepted at most")
    decoding.level.check(sample_rate)
    return Decoded(np.concatenate(blocks), decoding.damage)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
