"""What a decoding process says: a row of messages for each recording.

A message is a kind (one byte), a length (4 bytes) and so many bytes: ``r`` the file's own rate, ``b`` a block of
float32 samples ..., and in the end ``d`` (done) or ``x`` (rejected), with a JSON object.
"""

import json
import struct
from typing import IO, Any

import numpy as np

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples

HEAD = struct.Struct("<cI")
RATE, BLOCK, DONE, REJECTED = b"r", b"b", b"d", b"x"
LARGEST_MESSAGE = 64 << 20  # bytes; a hostile file may have taken over the process
MAX_DETAIL_LENGTH = 500  # characters that are passed on


class NotAMessage(Exception):
    """The process has ended, or sends something else."""


def send(stream: IO[bytes], kind: bytes, payload: bytes | bytearray) -> None:
    """Write one message."""
    stream.write(HEAD.pack(kind, len(payload)))
    stream.write(payload)


def receive(stream: IO[bytes], *kinds: bytes) -> tuple[bytes, Any]:
    """Read one message of these kinds: the rate, an array of samples, or what is wrong with the file.

    Raises:
        Rejected: the message says so.
        NotAMessage: there is none, or it is of another kind or damaged.
    """
    kind, length = HEAD.unpack(_exactly(stream, HEAD.size))
    if length > LARGEST_MESSAGE or kind not in (*kinds, REJECTED):
        raise NotAMessage
    payload = _exactly(stream, length)
    try:
        value = _value(kind, payload)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotAMessage from error
    if isinstance(value, Rejected):
        raise value
    return kind, value


def _value(kind: bytes, payload: bytes) -> int | Samples | str | Rejected:
    if kind == RATE:
        return int(payload)
    if kind == BLOCK:
        return np.frombuffer(payload, np.float32)
    values = json.loads(payload)
    if kind == DONE:
        return str(values["damage"])[:MAX_DETAIL_LENGTH]
    return Rejected(Reason(values["reason"]), str(values["detail"])[:MAX_DETAIL_LENGTH])


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise NotAMessage
    return data
