"""What a sound file says of its own end, read where FFmpeg only estimates it."""

import mmap
import re
import struct
from pathlib import Path

HEAD = 1 << 14  # bytes in which an mp3 file may say its length
TAIL = 1 << 17  # bytes in which the last page of an ogg file lies
_ID3 = re.compile(rb"ID3[\x02-\x04].{2}([\x00-\x7f]{4})", re.DOTALL)


def mp3_says_length(path: Path) -> bool:
    """Whether the first frame of an mp3 file holds its length, as encoders write it that can go back to the start."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        tag = _ID3.match(head)
        if tag:
            stream.seek(10 + _syncsafe(tag[1]))
            head = stream.read(HEAD)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def ogg_is_cut_off(path: Path) -> bool:
    """Whether the last page of an ogg file is not marked as the last."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - TAIL))
        tail = stream.read()
    page = tail.rfind(b"OggS\0")
    return page < 0 or page + 5 >= len(tail) or not tail[page + 5] & 4


def caf_seconds(path: Path) -> float | None:
    """Length by the size of a caf file's data chunk; None if it is not known, or packets differ in size."""
    rate = width = frames = 0.0
    with path.open("rb") as stream:
        stream.seek(8)
        while len(header := stream.read(12)) == 12:
            name, size = struct.unpack(">4sq", header)
            if name == b"desc" and size >= 32:
                body = stream.read(size)
                rate, width, frames = struct.unpack(">d8xII", body[:24])
            elif name == b"data":
                known = size >= 4 and rate > 0 and width > 0
                return (size - 4) / width * frames / rate if known else None
            elif size < 0:
                return None
            else:
                stream.seek(size, 1)
    return None


def tag_bytes(path: Path) -> int:
    """Bytes of tags in an mp3 or aac file, also where files were joined."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        size = sum(10 + _syncsafe(tag[1]) for tag in _ID3.finditer(content))
        size += 128 * len(re.findall(rb"TAG.{30}", content[-128:], re.DOTALL))
        for mark in re.finditer(b"APETAGEX", content):
            size += 32 + int.from_bytes(content[mark.start() + 12 : mark.start() + 16], "little")
    return size


def _syncsafe(number: bytes) -> int:
    """The number in four bytes of seven bits."""
    return sum(byte << 7 * (3 - place) for place, byte in enumerate(number))
