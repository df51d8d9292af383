"""The chunks of a wav file, whatever its sizes say: recorders that lose power or write into a pipe leave them wrong."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fewshot_audio.audio.rejection import Reason, Rejected

WAV_FORMS = (b"RIFF", b"RF64", b"BW64")
UNKNOWN = (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)  # sizes of a data chunk that say nothing, and those close to them
NEAR = 1 << 17  # bytes: programs that write into a pipe subtract a header from the largest number
MAX_CHUNKS = 10_000
OTHER_CHUNKS = (
    b"LIST",
    b"data",
    b"id3 ",
    b"ID3 ",
    b"bext",
    b"iXML",
    b"cue ",
    b"smpl",
    b"fact",
    b"JUNK",
    b"junk",
    b"PEAK",
)
PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
SUBTYPES = {
    (PCM, 8): "PCM_U8",
    (PCM, 16): "PCM_16",
    (PCM, 24): "PCM_24",
    (PCM, 32): "PCM_32",
    (FLOAT, 32): "FLOAT",
    (FLOAT, 64): "DOUBLE",
    (ALAW, 8): "ALAW",
    (MULAW, 8): "ULAW",
}


@dataclass(frozen=True)
class WavChunks:
    """Where the samples of a wav file lie.

    Attributes:
        rate: samples per second and channel.
        channels: number of channels.
        subtype: of the samples, as libsndfile calls it; "" if they are not plain ones.
        parts: position and length of the bytes of each data chunk, as far as the file has them.
        claimed: bytes that the header says the data chunks have; None if it does not know.
    """

    rate: int
    channels: int
    subtype: str
    parts: tuple[tuple[int, int], ...]
    claimed: int | None

    @property
    def present(self) -> int:
        """Bytes of samples that there are."""
        return sum(length for _, length in self.parts)

    @property
    def is_plain(self) -> bool:
        """Whether there is one data chunk, as long as its size says."""
        return len(self.parts) == 1 and self.claimed == self.present

    @property
    def seconds_per_byte(self) -> float:
        """Duration of a byte of samples."""
        width = {"PCM_U8": 1, "ALAW": 1, "ULAW": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(self.subtype, 4)
        return 1 / (width * self.channels * self.rate)


def read_wav_chunks(path: Path) -> WavChunks:
    """Find the format and the data chunks of a RIFF, RF64 or BW64 file.

    Raises:
        Rejected: there is no format, or no data chunk.
    """
    with path.open("rb") as stream:
        end = stream.seek(0, 2)
        return _walk(stream, end)


def _walk(stream: IO[bytes], end: int) -> WavChunks:
    form: tuple[int, int, int, int] | None = None
    wide_size: int | None = None  # of the data, in the ds64 chunk of RF64 and BW64
    parts: list[tuple[int, int]] = []
    claimed: int | None = 0
    position = 12
    for _ in range(MAX_CHUNKS):
        stream.seek(position)
        header = stream.read(8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        body = position + 8
        if name == b"ds64":
            fields = stream.read(16)
            wide_size = struct.unpack("<8xQ", fields)[0] if len(fields) == 16 else None
        elif name == b"fmt " and form is None:
            form = _format(stream.read(min(size, 40)))
        elif name == b"data":
            length = wide_size if size == 0xFFFFFFFF and wide_size is not None else size
            rest = end - body
            if _says_nothing(length, rest, stream.read(8)):
                parts.append((body, rest))
                claimed = None
                break
            parts.append((body, min(length, rest)))
            claimed = None if claimed is None else claimed + length
            size = length
        position = body + size + size % 2
        if position >= end:
            break
    if form is None:
        raise Rejected(Reason.UNREADABLE, "a wav file without the format of its samples")
    if not parts:
        raise Rejected(Reason.UNREADABLE, "a wav file without samples (no data chunk)")
    tag, channels, rate, bits = form
    return WavChunks(rate, channels, SUBTYPES.get((tag, bits), ""), tuple(parts), claimed)


def _says_nothing(size: int, rest: int, following: bytes) -> bool:
    """Whether the size of a data chunk is one of those that programs write if they do not know it."""
    if size == 0:  # or there are no samples, and another chunk follows
        return rest > 0 and following[:4] not in OTHER_CHUNKS
    return size > rest and any(number - NEAR <= size <= number for number in UNKNOWN[1:])


def _format(body: bytes) -> tuple[int, int, int, int]:
    """Format tag, channels, rate and bits of the ``fmt`` chunk."""
    if len(body) < 16:
        raise Rejected(Reason.UNREADABLE, "a wav file without the format of its samples")
    tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack("<H", body[24:26])[0]
    if channels and block % channels == 0 and tag in (PCM, FLOAT):
        bits = 8 * block // channels  # 20 bits are kept in 24
    return tag, channels, rate, bits
