"""The process that decodes what strangers may have made. It is bounded, and its parent kills it if it is slow.

It reads requests, JSON lines, from its standard input and writes replies to its standard output until the input ends.
A request has the ``path`` of a file (hexadecimal) and a ``sample_rate``: if that is null, FFmpeg reads the file at its
own rate, else all of ``decode`` happens here. A reply is a row of ``decode_messages``.
"""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from fewshot_audio.audio.av_reader import AvReader
from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.decode_messages import BLOCK, DONE, RATE, REJECTED, send
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.runtime.confinement import confine

MESSAGE_BYTES = 1 << 18  # of samples, at least


def main(address_space: int) -> None:
    """Answer requests until the input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # a library that prints must not write into the replies
    os.dup2(silent, 2)
    confine(address_space)
    for line in requests:
        answer(json.loads(line), replies)
        replies.flush()


def answer(request: dict[str, Any], replies: IO[bytes]) -> None:
    """Decode the file that a request names."""
    try:
        damage = send_samples(Path(os.fsdecode(bytes.fromhex(request["path"]))), request["sample_rate"], replies)
        send(replies, DONE, json.dumps({"damage": damage}).encode())
    except Rejected as error:
        reject(replies, error)
    except MemoryError:
        reject(replies, Rejected(Reason.TOO_LONG, "decoding it needs more memory than is allowed"))
    except OSError as error:
        reject(replies, Rejected.from_os_error(error))


def send_samples(path: Path, sample_rate: int | None, replies: IO[bytes]) -> str:
    """Send the samples of a file; returns what is wrong with it."""
    if sample_rate is not None:
        decoding = Decoding(path, sample_rate, other_reader=AvReader)
        send_blocks(replies, decoding)
        decoding.level.check(sample_rate)
        return decoding.damage
    reader = AvReader(path)
    try:
        send(replies, RATE, str(reader.rate).encode())
        send_blocks(replies, reader.blocks())
        return reader.damage
    finally:
        reader.close()


def send_blocks(replies: IO[bytes], blocks: Iterable[Samples]) -> None:
    """Write blocks, joined to larger ones: a codec's frames are so short that the messages would take longer."""
    joined = bytearray()
    for block in blocks:
        joined += block.tobytes()
        if len(joined) >= MESSAGE_BYTES:
            send(replies, BLOCK, joined)
            joined = bytearray()
    if joined:
        send(replies, BLOCK, joined)


def reject(replies: IO[bytes], error: Rejected) -> None:
    """Write why the file cannot be decoded."""
    send(replies, REJECTED, json.dumps({"reason": error.reason, "detail": error.detail}).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
