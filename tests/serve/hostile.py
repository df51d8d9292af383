"""Uploads that a server must survive: broken, lying, huge, disguised."""

import io
import struct
import zipfile

import numpy as np

from tests.serve.sounds import tone, tone_wav, wav


def patched(data: bytes, at: int, layout: str, value: int) -> bytes:
    """The bytes with a number of a header replaced."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def raw_wav(
    *, rate: int = 16_000, channels: int = 1, bits: int = 16, size: int = 3200, data: bytes = b"\1\2" * 1600
) -> bytes:
    """A wav header that may say anything, and samples."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits)
    return (
        b"RIFF"
        + struct.pack("<I", (36 + size) & 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
        + data
    )


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(10 << 20))
    return stream.getvalue()


def long_flac(minutes: int) -> bytes:
    """Silence with a click: minutes of sound in a few kilobytes."""
    samples = np.zeros(minutes * 60 * 8000)
    samples[::8000] = 0.5
    return wav(samples, 8000, kind="FLAC")


NAN = np.full(8000, np.nan)

UPLOADS: dict[str, tuple[str, bytes]] = {
    "text": ("a.wav", b"this is no sound\n" * 100),
    "html": ("<img src=x onerror=alert(1)>.wav", b"<html><script>alert(1)</script></html>"),
    "empty": ("a.wav", b""),
    "one byte": ("a.flac", b"f"),
    "truncated header": ("a.wav", tone_wav(300)[:30]),
    "truncated samples": ("a.wav", tone_wav(300)[:8000]),
    "truncated flac": ("a.flac", wav(tone(300), kind="FLAC")[:4000]),
    "truncated ogg": ("a.ogg", wav(tone(300), kind="OGG", subtype="VORBIS")[:60]),
    "no samples": ("a.wav", wav(np.zeros(0))),
    "NaN": ("a.wav", wav(NAN, subtype="FLOAT")),
    "infinite": ("a.wav", wav(np.full(8000, np.inf), subtype="DOUBLE")),
    "silence": ("a.wav", wav(np.zeros(8000))),
    "4 GB claimed": ("a.wav", patched(tone_wav(300), 40, "<I", 0xFFFFFFF0)[:60]),
    "65535 channels": ("a.wav", raw_wav(channels=65535)),
    "no channel": ("a.wav", raw_wav(channels=0)),
    "rate 0": ("a.wav", raw_wav(rate=0)),
    "rate 1": ("a.wav", raw_wav(rate=1)),
    "rate 4 GHz": ("a.wav", raw_wav(rate=0xFFFFFFFF)),
    "0 bits": ("a.wav", raw_wav(bits=0)),
    "ten hours claimed": ("a.flac", patched(wav(tone(300), kind="FLAC"), 22, ">I", 576_000_000)),
    "ten minutes": ("a.flac", long_flac(10)),
    "noise": ("a.mp3", np.random.default_rng(0).bytes(20_000)),
    "noise as m4a": ("a.m4a", np.random.default_rng(1).bytes(20_000)),
    "playlist as m4a": ("a.m4a", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
    "zip": ("a.zip", zip_bomb()),
    "zip as wav": ("a.wav", zip_bomb()),
    "no extension": ("a", tone_wav(300)),
    "a path": ("../../etc/passwd", tone_wav(300)),
    "raw": ("a.raw", bytes(8000)),
    "headerless au": ("a.au", b"\1\2" * 4000),
}
