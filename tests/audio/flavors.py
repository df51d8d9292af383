"""Recordings in every format and flavor that people have, of a known length, whole and damaged."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 44_100
SECONDS = 6.0
SOUND = (0.2 * np.random.default_rng(0).standard_normal(round(RATE * SECONDS))).clip(-1, 1).astype(np.float32)
FRAME = 0.047  # seconds: the longest codec frame of those below (aac: 1024 samples at 22 050 Hz and less are not made)


@dataclass(frozen=True)
class Flavor:
    """A kind of file: how it is made, and whether its samples are exact."""

    name: str
    make: Callable[[Path], None]
    tolerance: float = 0.0


def encode(path: Path, codec: str, container: str, rate: int = RATE) -> None:
    """Write ``SOUND`` (noise of ``SECONDS`` at another rate) as FFmpeg's programs do."""
    samples = SOUND if rate == RATE else SOUND[: round(rate * SECONDS)]
    if len(samples) < round(rate * SECONDS):
        samples = np.resize(SOUND, round(rate * SECONDS))
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        if codec.startswith("wma"):
            stream.bit_rate = 64_000
        resampler = av.AudioResampler(format=stream.codec_context.format or "fltp", layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for converted in resampler.resample(frame):
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while fifo.samples:
            piece = fifo.read(size) or fifo.read(0, partial=True)
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))


def by_soundfile(path: Path, **options: str) -> None:
    """Write ``SOUND`` by libsndfile."""
    soundfile.write(path, SOUND, RATE, **options)


def edited(path: Path, make: Callable[[Path], None], edit: Callable[[bytearray], bytes | bytearray]) -> None:
    """Make a file, then change its bytes."""
    make(path)
    path.write_bytes(edit(bytearray(path.read_bytes())))


def wav_sizes(size: int) -> Callable[[bytearray], bytearray]:
    """Write a size into the headers of a wav file, as a recorder that lost power or wrote to a pipe."""

    def edit(content: bytearray) -> bytearray:
        data = content.index(b"data")
        content[4:8] = content[data + 4 : data + 8] = struct.pack("<I", size)
        return content

    return edit


def two_data_chunks(content: bytearray) -> bytes:
    """Split the samples into two chunks, with another one between them."""
    data = content.index(b"data")
    samples = bytes(content[data + 8 :])
    half = len(samples) // 4 * 2

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body

    rest = chunk(b"data", samples[:half]) + chunk(b"LIST", b"INFO") + chunk(b"data", samples[half:])
    return bytes(content[:data]) + rest


def flac_without_length(content: bytearray) -> bytearray:
    """The number of samples in the header is 0, as in a stream."""
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return content


def caf_without_size(content: bytearray) -> bytearray:
    """The size of the data chunk is -1."""
    data = content.index(b"data")
    content[data + 4 : data + 12] = b"\xff" * 8
    return content


def mp3_without_header(content: bytearray) -> bytes:
    """Drop the first frame, which holds the length (Xing or Info)."""
    start = next(i for i in range(len(content)) if content[i] == 0xFF and content[i + 1] & 0xE0 == 0xE0)
    rates = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    size = 144_000 * rates[content[start + 2] >> 4] // RATE + (content[start + 2] >> 1 & 1)
    assert b"Xing" in content[start : start + size] or b"Info" in content[start : start + size]
    return bytes(content[:start] + content[start + size :])


def twice(content: bytearray) -> bytes:
    """Two files, one after the other."""
    return bytes(content) * 2


def vbr_mp3(path: Path) -> None:
    """Loud, then quiet: its first frames say little of the others' size."""
    sound = np.concatenate([SOUND[:RATE], 0.2 * np.sin(np.arange(len(SOUND) - RATE) / 16).astype(np.float32)])
    soundfile.write(path, sound, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)


def flavor(
    name: str,
    make: Callable[[Path], None],
    edit: Callable[[bytearray], bytes | bytearray] | None = None,
    *,
    lossy: bool = False,
) -> Flavor:
    """A kind of file, perhaps edited after it was made."""
    return Flavor(name, (lambda path: edited(path, make, edit)) if edit else make, 2 * FRAME if lossy else 0.0)


WHOLE = (
    flavor("16-bit.wav", by_soundfile),
    flavor("24-bit.wav", lambda p: by_soundfile(p, subtype="PCM_24")),
    flavor("8-bit.wav", lambda p: by_soundfile(p, subtype="PCM_U8")),
    flavor("float.wav", lambda p: by_soundfile(p, subtype="FLOAT")),
    flavor("mu-law.wav", lambda p: by_soundfile(p, subtype="ULAW")),
    flavor("extensible.wav", lambda p: by_soundfile(p, format="WAVEX")),
    flavor("adpcm.wav", lambda p: by_soundfile(p, subtype="IMA_ADPCM"), lossy=True),
    flavor("RF64.wav", lambda p: by_soundfile(p, format="RF64")),
    flavor("BW64.wav", lambda p: by_soundfile(p, format="RF64"), lambda c: c.replace(b"RF64", b"BW64", 1)),
    flavor("size 0.wav", by_soundfile, wav_sizes(0)),
    flavor("size -1.wav", by_soundfile, wav_sizes(0xFFFFFFFF)),
    flavor("two data chunks.wav", by_soundfile, two_data_chunks),
    flavor("plain.flac", by_soundfile),
    flavor("length unknown.flac", by_soundfile, flac_without_length),
    flavor("plain.aiff", by_soundfile),
    flavor("plain.caf", lambda p: encode(p, "pcm_s16be", "caf")),
    flavor("size -1.caf", lambda p: encode(p, "pcm_s16be", "caf"), caf_without_size),
    flavor("plain.w64", by_soundfile),
    flavor("plain.au", by_soundfile),
    flavor("vorbis.ogg", by_soundfile, lossy=True),
    flavor("chained.ogg", by_soundfile, twice, lossy=True),
    flavor("plain.opus", lambda p: encode(p, "libopus", "opus", 48_000), lossy=True),
    flavor("chained.opus", lambda p: encode(p, "libopus", "opus", 48_000), twice, lossy=True),
    flavor("plain.mp3", by_soundfile, lossy=True),
    flavor("variable rate without header.mp3", vbr_mp3, mp3_without_header, lossy=True),
    flavor("joined.mp3", by_soundfile, twice, lossy=True),
    flavor("plain.mp2", lambda p: encode(p, "mp2", "mp2"), lossy=True),
    flavor("aac.m4a", lambda p: encode(p, "aac", "ipod"), lossy=True),
    flavor("alac.m4a", lambda p: encode(p, "alac", "ipod")),
    flavor("plain.aac", lambda p: encode(p, "aac", "adts"), lossy=True),
    flavor("plain.mp4", lambda p: encode(p, "aac", "mp4"), lossy=True),
    flavor("plain.3gp", lambda p: encode(p, "libopencore_amrnb", "3gp", 8000), lossy=True),
    flavor("plain.amr", lambda p: encode(p, "libopencore_amrnb", "amr", 8000), lossy=True),
    flavor("opus.webm", lambda p: encode(p, "libopus", "webm", 48_000), lossy=True),
    flavor("plain.wma", lambda p: encode(p, "wmav2", "asf"), lossy=True),
    flavor("flac.mka", lambda p: encode(p, "flac", "matroska")),
)  # fmt: skip
TWICE = ("chained.ogg", "chained.opus", "joined.mp3")
"""Those that last twice ``SECONDS``."""


def halved(content: bytearray) -> bytes:
    """The first half of a file."""
    return bytes(content[: len(content) // 2])


def with_hole(content: bytearray) -> bytearray:
    """Zeros in the middle of a file."""
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    return content


CUT_OFF = (
    flavor("cut.wav", by_soundfile, halved),
    flavor("cut.flac", by_soundfile, halved),
    flavor("cut.aiff", by_soundfile, halved),
    flavor("cut.caf", lambda p: encode(p, "pcm_s16be", "caf"), halved),
    flavor("cut.w64", by_soundfile, halved),
    flavor("cut.ogg", by_soundfile, halved),
    flavor("cut.opus", lambda p: encode(p, "libopus", "opus", 48_000), halved),
    flavor("cut.mp3", by_soundfile, halved),
    flavor("cut.aac", lambda p: encode(p, "aac", "adts"), halved),
    flavor("cut.amr", lambda p: encode(p, "libopencore_amrnb", "amr", 8000), lambda c: c[: len(c) // 2 - 5]),
    flavor("cut.webm", lambda p: encode(p, "libopus", "webm", 48_000), halved),
    flavor("cut.wma", lambda p: encode(p, "wmav2", "asf"), halved),
)
HOLES = (
    flavor("hole.flac", by_soundfile, with_hole),
    flavor("hole.ogg", by_soundfile, with_hole),
    flavor("hole.opus", lambda p: encode(p, "libopus", "opus", 48_000), with_hole),
    flavor("hole.mp3", by_soundfile, with_hole),
    flavor("hole.m4a", lambda p: encode(p, "aac", "ipod"), with_hole),
    flavor("hole.aac", lambda p: encode(p, "aac", "adts"), with_hole),
    flavor("hole.webm", lambda p: encode(p, "libopus", "webm", 48_000), with_hole),
)
UNREADABLE = (flavor("cut.m4a", lambda p: encode(p, "aac", "ipod"), halved),)
"""Its index is at the end."""
