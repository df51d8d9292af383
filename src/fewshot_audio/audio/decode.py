"""Decode any sound file to mono float32 samples at one rate, block by block, so that memory is bounded.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import soxr

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import BLOCK_SAMPLES, Samples, Span, check_rate, span_frames
from fewshot_audio.audio.sandbox import SandboxedReader
from fewshot_audio.audio.sndfile import HEAD, NotExact, SndfileReader

AUDIO_EXTENSIONS = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
    | {
        ".w64",
        ".rf64",
        ".bw64",
        ".m4a",
        ".m4b",
        ".aac",
        ".mp4",
        ".3gp",
        ".3g2",
        ".webm",
        ".weba",
        ".mka",
        ".wma",
        ".amr",
    }
)
SILENCE = 10 ** (-90 / 20)
"""Root mean square, of full scale 1, below which a recording holds nothing but the noise of its own format."""
OUT_OF_BAND = 10 ** (-60 / 20)
EXACT = (b"RIFF", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b"fLaC", b".snd")
"""First bytes of files that libsndfile is asked to read; it stops at an estimated or first length of others."""


def is_audio(path: Path) -> bool:
    """Whether a file's extension, in upper or lower case, is one that sound files have."""
    return path.suffix.lower() in AUDIO_EXTENSIONS


class Reader(Protocol):
    """Reads a sound file block by block: at ``rate``, and ``damage`` says in the end what is wrong with it."""

    rate: int
    damage: str

    def blocks(self) -> Iterator[Samples]:
        """Mono samples; raises Rejected."""

    def close(self) -> None:
        """Give the file back; the rest of it is not read."""


class Decoded(NamedTuple):
    """A recording as mono samples (samples,), and what is wrong with the file; "" if nothing is."""

    samples: Samples
    damage: str


class Level:
    """How loud a recording is at its own rate, and how much of that is left at another rate.

    Attributes:
        floor: root mean square below which nothing is to be heard; 0 for floating-point samples, whose scale is free.
    """

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self._original, self._original_count = 0.0, 0
        self._resampled, self._resampled_count = 0.0, 0

    def add_original(self, block: Samples) -> None:
        """Count samples at the recording's own rate."""
        self._original += _energy(block)
        self._original_count += len(block)

    def add_resampled(self, block: Samples) -> None:
        """Count samples at the rate that they are used at."""
        self._resampled += _energy(block)
        self._resampled_count += len(block)

    def check(self, sample_rate: int) -> None:
        """Raise Rejected if the whole recording is silent, at its own rate or at ``sample_rate``."""
        original = (self._original / max(1, self._original_count)) ** 0.5
        if original < self.floor:
            raise Rejected(Reason.SILENT, f"{_decibels(original)}, below {_decibels(self.floor)}")
        resampled = (self._resampled / max(1, self._resampled_count)) ** 0.5
        if resampled < max(self.floor, OUT_OF_BAND * original):
            band = f"below {sample_rate / 2:g} Hz, all that is used"
            raise Rejected(Reason.SILENT, f"{_decibels(resampled)} {band}, of {_decibels(original)}")


def decode(path: Path, sample_rate: int = 16_000, span: Span | None = None) -> Decoded:
    """Read a sound file, or a span of it, as mono float32 samples: the mean of its channels.

    The content decides how it is read, not the extension. wav, FLAC, AIFF and other exact formats are read by
    libsndfile; all others, and damaged ones, by FFmpeg's libraries in a separate process. Both are resampled by soxr
    (high quality). A recording that is cut off or has a hole is taken as far as it can be decoded, and ``damage`` says
    so. A span is not checked for silence.

    Args:
        path: the sound file.
        sample_rate: of the returned samples, in Hz.
        span: start and end in seconds of the part to be read; None reads the whole file.

    Returns:
        Samples (samples,): at least one, all finite; and the damage.

    Raises:
        Rejected: the file is missing, not permitted, empty, no sound file, so damaged that nothing can be read, ends
            before the span does, holds NaN or infinite samples, or has nothing to hear: the level is below -90 dBFS
            (not if samples are floating-point numbers), or below ``sample_rate`` / 2 it is 60 dB lower than in all.
    """
    decoding = Decoding(path, sample_rate, span)
    blocks = list(decoding)
    if span is None:
        decoding.level.check(sample_rate)
    return Decoded(np.concatenate(blocks), decoding.damage)


class Decoding:
    """A recording that is decoded as ``decode`` does, but block by block: memory does not grow with its length.

    Iterating yields blocks (samples,); one may be empty. ``rate`` is that of the file, from the first block on;
    ``damage`` and ``level`` are complete when the last one has been taken.

    Args:
        path: the sound file.
        sample_rate: of the blocks, in Hz.
        span: start and end in seconds of the part to be read; None reads the whole file.
        other_reader: reads what libsndfile does not; ``AvReader`` if this process is itself one that may be killed.

    Raises:
        Rejected: on iterating, as ``decode`` does.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int = 16_000,
        span: Span | None = None,
        other_reader: Callable[[Path], Reader] = SandboxedReader,
    ) -> None:
        self.damage = ""
        self.level = Level(SILENCE)
        self.rate = 0
        self._path = path
        self._sample_rate = sample_rate
        self._span = span
        self._other_reader = other_reader

    def __iter__(self) -> Iterator[Samples]:
        """Decode the file from its start."""
        rate, blocks = self._open(_first_bytes(self._path))
        self.rate = rate
        samples = 0
        finite = self._checked(blocks)
        for block in finite if rate == self._sample_rate else resample_blocks(finite, rate, self._sample_rate):
            samples += len(block)
            self.level.add_resampled(block)
            yield block
        if not samples:
            raise Rejected(Reason.EMPTY, "the recording has 0 samples")

    def _open(self, head: bytes) -> tuple[int, Iterator[Samples]]:
        """Choose the decoder; returns the file's sample rate and its mono blocks."""
        if head.startswith(EXACT):
            with suppress(NotExact):
                exact = SndfileReader(self._path, head)
                self.level.floor = 0.0 if exact.is_float else SILENCE
                return exact.rate, self._exact_blocks(exact)
        reader = self._other_reader(self._path)
        return reader.rate, self._other_blocks(reader, 0)

    def _checked(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        position = 0
        for block in blocks:
            if not np.isfinite(block).all():
                frames = f"frames {position} to {position + len(block)}"
                raise Rejected(Reason.NON_FINITE, f"NaN or infinite samples in {frames}")
            self.level.add_original(block)
            position += len(block)
            yield block

    def _exact_blocks(self, reader: SndfileReader) -> Iterator[Samples]:
        """What libsndfile reads; FFmpeg goes on if it cannot."""
        done = 0
        try:
            for block in reader.blocks(self._span):
                done += len(block)
                yield block
            self.damage = reader.damage
        except NotExact:
            yield from self._other_blocks(self._other_reader(self._path), done)
        finally:
            reader.close()

    def _other_blocks(self, reader: Reader, skip: int) -> Iterator[Samples]:
        """What FFmpeg reads of the span, but for the first ``skip`` samples."""
        begin = round(self._span[0] * reader.rate) if self._span else 0
        end = round(self._span[1] * reader.rate) if self._span else None
        position = 0
        try:
            for block in reader.blocks():
                first = max(0, begin + skip - position)
                last = len(block) if end is None else min(len(block), end - position)
                if first < last:
                    yield block[first:last]
                position += len(block)
        finally:
            reader.close()
        self.damage = reader.damage
        span_frames(self._span, position, reader.rate)


def recording_seconds(path: Path) -> float | None:
    """The length of a recording in seconds by its header; None if only decoding all of it tells.

    Raises:
        Rejected: the file cannot be opened, or is no sound file.
    """
    head = _first_bytes(path)
    if head.startswith(EXACT):
        with suppress(NotExact):
            reader = SndfileReader(path, head)
            try:
                return reader.seconds
            finally:
                reader.close()
    return None


def resample_recording(samples: Samples, source_rate: float, target_rate: int) -> Samples:
    """Resample mono samples (n,) to the same bits as ``decode`` does.

    Raises:
        Rejected: ``source_rate`` is below 100 Hz.
    """
    check_rate(source_rate)
    blocks = (samples[start : start + BLOCK_SAMPLES] for start in range(0, len(samples), BLOCK_SAMPLES))
    return np.concatenate(list(resample_blocks(blocks, source_rate, target_rate)))


def resample_blocks(blocks: Iterator[Samples], source_rate: float, target_rate: int) -> Iterator[Samples]:
    """Resample the blocks of one recording."""
    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def _energy(block: Samples) -> float:
    """The sum of the squares: in float32, which takes a fifth of the time, unless its range does not suffice."""
    energy = float(np.einsum("i,i->", block, block))
    return energy if 1e-20 < energy < 1e30 else float(np.square(block, dtype=np.float64).sum())


def _decibels(level: float) -> str:
    return f"{20 * math.log10(level):.0f} dBFS" if level else "no sound"


def _first_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait forever
            raise Rejected(Reason.UNREADABLE, "not a regular file")
        with path.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise Rejected.from_os_error(error) from error
    if not head:
        raise Rejected(Reason.EMPTY, "the file has 0 bytes")
    return head
