"""Sixty inputs that cannot be used, each with the reason that it is to be listed with, and odd ones that can."""

import os
import struct
from pathlib import Path

import numpy as np
import soundfile

from fewshot_audio.audio.rejection import Reason
from tests.data.recordings import sound, write

DENIED = "denied.wav"  # for the test to deny: the superuser may read everything


def odd(root: Path) -> list[str]:
    """Write recordings that look odd and are good; returns their names."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 8))
    soundfile.write(root / "eight channels.wav", noise[:9000], 16_000)
    soundfile.write(root / "192 kHz.wav", noise[:, 0], 192_000, "PCM_24")
    soundfile.write(root / "stereo.flac", noise[:, :2], 44_100, "PCM_24")
    for number, (name, subtype) in enumerate(
        [("8 bit.wav", "PCM_U8"), ("32 bit.wav", "PCM_32"), ("double.wav", "DOUBLE"), ("u-law.wav", "ULAW")]
    ):
        soundfile.write(root / name, sound(number), 16_000, subtype)
    for number, extension in enumerate(("mp3", "ogg", "aiff", "au", "caf", "w64", "flac")):
        write(root / f"format {number}.{extension}", seed=50 + number)
    write(root / "UPPER.WAV", seed=60)
    write(root / "slow.wav", seed=61, rate=8000)
    write(root / "Ünïcödé 鳥 ♪.wav", seed=62)
    write(root / ("long " * 48 + ".wav"), seed=63)
    write(root / "a" / "b" / "c" / "deep.wav", seed=64)
    write(root / "real.wav", seed=65)
    (root / "link.wav").symlink_to(root / "real.wav")
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def damaged(root: Path) -> list[str]:
    """Write recordings that are cut off, and good as far as they go; returns their names."""
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, 40_000)
    names = {
        "cut.wav": "PCM_16",
        "cut24.wav": "PCM_24",
        "cut.flac": "PCM_16",
        "cut24.flac": "PCM_24",
        "cut.aiff": "PCM_16",
        "cut.au": "PCM_16",
        "cut.w64": "PCM_16",
    }
    for name, subtype in names.items():
        soundfile.write(root / name, noise, 16_000, subtype)
        (root / name).write_bytes((root / name).read_bytes()[:40_000])
    return list(names)


def hostile(root: Path) -> dict[str, Reason]:
    """Write inputs that cannot be used; returns what each is to be listed with."""
    return {
        **_unreadable(root),
        **_without_sound(root),
        **_not_finite(root),
        **_no_recordings(root),
    }


def _bytes(root: Path, contents: dict[str, bytes], reason: Reason) -> dict[str, Reason]:
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return dict.fromkeys(contents, reason)


def _wav(
    channels: int = 1, rate: int = 16_000, bits: int = 16, code: int = 1, samples: bytes = b"\1\2" * 9000
) -> bytes:
    """A wav file with any header."""
    block = channels * bits // 8
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate, rate * block, block, bits)
    body = b"WAVE" + header + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _unreadable(root: Path) -> dict[str, Reason]:
    junk = np.random.default_rng(1).bytes(5000)
    contents = {
        f"text.{extension}": b"not a sound\n" * 500 for extension in ("wav", "flac", "ogg", "aiff", "au", "caf")
    }
    contents |= {f"junk.{extension}": junk for extension in ("wav", "flac", "ogg", "w64", "opus")}
    contents |= {
        "page.wav": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "picture.wav": b"\x89PNG\r\n\x1a\n" + junk,
        "archive.flac": b"PK\x03\x04" + junk,
        "zeros.wav": bytes(5000),
        "half a header.wav": _wav()[:20],
        "riff only.wav": b"RIFF\x10\0\0\0WAVE",
        "no channels.wav": _wav(channels=0),
        "no rate.wav": _wav(rate=0),
        "one hertz.wav": _wav(rate=1),
        "unknown code.wav": _wav(code=0x7A7A),
    }
    soundfile.write(root / "cut.caf", sound(7), 16_000)
    contents["cut.caf"] = (root / "cut.caf").read_bytes()[:3000]
    os.mkfifo(root / "pipe.wav")
    return {**_bytes(root, contents, Reason.UNREADABLE), "pipe.wav": Reason.UNREADABLE}


def _without_sound(root: Path) -> dict[str, Reason]:
    empty = {f"zero bytes.{extension}": b"" for extension in ("wav", "flac", "ogg", "mp3", "m4a")}
    reasons = _bytes(root, {**empty, "no samples.wav": _wav(samples=b"")}, Reason.EMPTY)
    tone = sound(3)
    silent = {
        "silent.wav": np.zeros(9000),
        "silent.flac": np.zeros(9000),
        "constant.wav": np.full(9000, 0.25),
        "silent stereo.wav": np.zeros((9000, 2)),
        "canceling channels.wav": np.stack([tone, -tone], axis=1),
    }
    short = {
        "one sample.wav": tone[:1],
        "one sample.flac": tone[:1],
        "too short.wav": tone[:319],
        "click.ogg": tone[:200],
    }
    for sounds, reason in ((silent, Reason.SILENT), (short, Reason.TOO_SHORT)):
        for name, samples in sounds.items():
            soundfile.write(root / name, samples, 16_000)
            reasons[name] = reason
    soundfile.write(root / "too short at 48 kHz.wav", sound(4, rate=48_000)[:950], 48_000)
    return {**reasons, "too short at 48 kHz.wav": Reason.TOO_SHORT}


def _not_finite(root: Path) -> dict[str, Reason]:
    reasons = {}
    for name, value in {"nan": np.nan, "inf": np.inf, "minus inf": -np.inf}.items():
        for kind, place in {"first": 0, "last": -1}.items():
            samples = sound(5)
            samples[place] = value
            soundfile.write(root / f"{name} {kind}.wav", samples, 16_000, "FLOAT")
            reasons[f"{name} {kind}.wav"] = Reason.NON_FINITE
    soundfile.write(root / "one channel.wav", np.stack([sound(6), np.full(4800, np.nan)], axis=1), 16_000, "DOUBLE")
    return {**reasons, "one channel.wav": Reason.NON_FINITE}


def _no_recordings(root: Path) -> dict[str, Reason]:
    reasons = _bytes(root, dict.fromkeys(("notes.txt", "cover.jpg", "wav", "song.mid"), b"hello"), Reason.NOT_AUDIO)
    reasons |= _bytes(root, dict.fromkeys(("video.m4a", "radio.aac", "old.wma"), b"\0" * 999), Reason.UNREADABLE)
    (root / "gone.wav").symlink_to(root / "nowhere.wav")
    (root / "itself.wav").symlink_to(root / "itself.wav")
    (root / "loop").symlink_to(root, target_is_directory=True)
    write(root / DENIED)
    return {
        **reasons,
        "gone.wav": Reason.MISSING,
        "itself.wav": Reason.MISSING,
        "loop": Reason.LINK_LOOP,
        DENIED: Reason.DENIED,
    }
