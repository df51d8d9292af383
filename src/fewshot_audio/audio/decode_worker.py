"""The process that decodes what strangers may have made. It is bounded, and its parent kills it if it is slow.

It reads requests, JSON lines, from its standard input and writes replies to its standard output until the input ends.
A reply is a row of messages, each a kind (one byte), a length (4 bytes) and so many bytes: ``r`` the sample rate, ``b``
a block of float32 samples ..., and in the end ``d`` (done) or ``x`` (rejected), with a JSON object.
"""

import json
import os
import struct
import sys
from pathlib import Path
from typing import IO

from fewshot_audio.audio.rejection import Reason, Rejected

MESSAGE = struct.Struct("<cI")
RATE, BLOCK, DONE, REJECTED = b"r", b"b", b"d", b"x"


def main(address_space: int, file_size: int) -> None:
    """Answer requests until the input ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # a library that prints must not write into the replies
    os.dup2(silent, 2)
    confine(address_space, file_size)
    for line in requests:
        answer(json.loads(line), replies)
        replies.flush()


def confine(address_space: int, file_size: int) -> None:
    """Bound the memory and the files of this process and its children, if the system supports it."""
    if sys.platform == "win32":
        return
    import resource

    for kind, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_FSIZE, file_size)):
        hard = resource.getrlimit(kind)[1]  # this process may not raise it
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(request: dict[str, str], replies: IO[bytes]) -> None:
    """Decode the file that a request names."""
    from fewshot_audio.audio.av_reader import AvReader

    try:
        reader = AvReader(Path(os.fsdecode(bytes.fromhex(request["path"]))))
        try:
            send(replies, RATE, str(reader.rate).encode())
            for block in reader.blocks():
                send(replies, BLOCK, block.tobytes())
            send(replies, DONE, json.dumps({"damage": reader.damage}).encode())
        finally:
            reader.close()
    except Rejected as error:
        send(replies, REJECTED, json.dumps({"reason": error.reason, "detail": error.detail}).encode())
    except MemoryError:
        detail = "decoding it needs more memory than is allowed"
        send(replies, REJECTED, json.dumps({"reason": Reason.TOO_LONG, "detail": detail}).encode())
    except OSError as error:
        rejected = Rejected.from_os_error(error)
        send(replies, REJECTED, json.dumps({"reason": rejected.reason, "detail": rejected.detail}).encode())


def send(replies: IO[bytes], kind: bytes, payload: bytes) -> None:
    """Write one message."""
    replies.write(MESSAGE.pack(kind, len(payload)))
    replies.write(payload)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
