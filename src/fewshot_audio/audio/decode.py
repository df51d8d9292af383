"""Any sound file -> mono float32 samples at one rate, in memory bounded by the result."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from fewshot_audio.audio.rejection import Reason, Rejected, rejection

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Span = tuple[float, float]  # start and end in seconds

SNDFILE_EXTENSIONS = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
    | {".w64", ".rf64"}
)
FFMPEG_EXTENSIONS = frozenset({".m4a", ".aac", ".wma"})
AUDIO_EXTENSIONS = SNDFILE_EXTENSIONS | FFMPEG_EXTENSIONS

BLOCK_SAMPLES = 1 << 18
SPAN_TOLERANCE = 0.1  # seconds that may be missing at the end of a span
MIN_RATE = 100  # Hz; a slower "recording" is a broken header that resampling would blow up without bound


def is_audio(path: Path) -> bool:
    """Tell by its extension, in any case, whether a file claims to be a sound file that can be decoded."""
    return path.suffix.lower() in AUDIO_EXTENSIONS


def decode(path: Path, sample_rate: int = 16_000, span: Span | None = None) -> Samples:
    """Read a sound file, or only a ``span`` of it, as mono (the mean of its channels) float32 at ``sample_rate``.

    wav, flac, ogg, mp3, aiff and their kin are read by libsndfile and resampled by soxr (high quality), block by
    block; m4a, aac and wma go through ffmpeg where it is installed.

    Shape:
        returns (samples,): at least one sample, all finite.

    Raises:
        Rejected: the file is missing, not permitted, unreadable, damaged, empty, ends before the span does, holds NaN
            or infinite samples, or needs ffmpeg where there is none.
    """
    return np.concatenate(list(decode_blocks(path, sample_rate, span)))


def decode_blocks(path: Path, sample_rate: int = 16_000, span: Span | None = None) -> Iterator[Samples]:
    """Read as ``decode`` does, but yield the samples block by block, so that hours fit into little memory.

    Shape:
        yields (samples,), together at least one sample; equal to what ``decode`` returns, cut into blocks.

    Raises:
        Rejected: as ``decode`` does; for damage in the middle, after what precedes it was yielded.
    """
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait for ever
            raise Rejected(Reason.UNREADABLE, "not a regular file")
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise rejection(error) from error
    if empty:
        raise Rejected(Reason.EMPTY, "the file has 0 bytes")
    if path.suffix.lower() in FFMPEG_EXTENSIONS:
        yield from _decode_with_ffmpeg(path, sample_rate, span)
    else:
        yield from _decode_with_sndfile(path, sample_rate, span)


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """Resample mono samples (n,) as files are; raises Rejected for a rate below 100 Hz."""
    if source_rate < MIN_RATE:
        raise Rejected(Reason.UNREADABLE, f"sample rate {source_rate} Hz, expected at least {MIN_RATE} Hz")
    blocks = (samples[start : start + BLOCK_SAMPLES] for start in range(0, len(samples), BLOCK_SAMPLES))
    return np.concatenate(list(_resampled(blocks, source_rate, target_rate)))


def _decode_with_sndfile(path: Path, sample_rate: int, span: Span | None) -> Iterator[Samples]:
    # Names of any bytes are allowed on POSIX, where the library would insist on valid Unicode.
    name = os.fsencode(path) if os.name == "posix" else str(path)
    try:
        sound = soundfile.SoundFile(name)
    except (soundfile.SoundFileError, OSError) as error:
        raise Rejected(Reason.UNREADABLE, _cause(error)) from error
    found = 0
    with sound:
        if sound.format == "RAW":  # the library takes any bytes for sound where the name ends in .au or .snd
            raise Rejected(Reason.UNREADABLE, "the file has no header of a sound file")
        if sound.samplerate < MIN_RATE:
            raise Rejected(Reason.UNREADABLE, f"sample rate {sound.samplerate} Hz, expected at least {MIN_RATE} Hz")
        _check_data_chunk(sound)
        blocks = _mono_blocks(sound, span)
        if sound.samplerate != sample_rate:
            blocks = _resampled(blocks, sound.samplerate, sample_rate)
        for block in blocks:
            found += len(block)
            yield block
    if not found:
        raise Rejected(Reason.EMPTY, "the recording has 0 samples")


def _mono_blocks(sound: soundfile.SoundFile, span: Span | None) -> Iterator[Samples]:
    """Yield the mean of the channels, block by block."""
    size = max(1, BLOCK_SAMPLES // sound.channels)
    position, end = _frames(sound, span)
    try:
        if position:
            sound.seek(position)
        while end is None or position < end:
            block: Samples = sound.read(size if end is None else min(size, end - position), "float32", always_2d=True)
            if not len(block):
                break
            mono = _mean_of_channels(block)
            if not np.isfinite(mono).all():
                where = f"frames {position} to {position + len(mono)}"
                raise Rejected(Reason.NON_FINITE, f"NaN or infinite samples in {where}")
            position += len(mono)
            yield mono
    except (soundfile.SoundFileError, OSError) as error:
        where = f"reading failed after frame {position} of {sound.frames}"
        raise Rejected(Reason.DAMAGED, f"{where}: {_cause(error)}") from error
    if sound.format == "FLAC" and position < (sound.frames if end is None else end):
        raise Rejected(Reason.DAMAGED, f"only {position} of {sound.frames} frames could be read")


def _mean_of_channels(block: Samples) -> Samples:
    """Shape: (frames, channels) -> (frames,). By columns: numpy's mean over a short last axis is slow."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= block.shape[1]
    return mono


def _frames(sound: soundfile.SoundFile, span: Span | None) -> tuple[int, int | None]:
    """First frame of a span, and the one after its last; the whole file has an unknown end."""
    if span is None:
        return 0, None
    length = sound.frames / sound.samplerate
    if not 0 <= span[0] < span[1] <= length + SPAN_TOLERANCE or span[0] >= length:
        found = f"{span[0]:g} to {span[1]:g} s of a recording of {length:g} s"
        raise Rejected(Reason.TOO_SHORT, f"{found}: that part is not there")
    return round(span[0] * sound.samplerate), min(round(span[1] * sound.samplerate), sound.frames)


def _resampled(blocks: Iterator[Samples], source_rate: int, target_rate: int) -> Iterator[Samples]:
    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def _check_data_chunk(sound: soundfile.SoundFile) -> None:
    """Refuse a wav file whose samples were cut off; libsndfile itself shortens it without a word.

    Sizes of 2 GiB and more are left alone: programs that write into a pipe put such a number for "unknown".
    """
    found = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if found:
        promised, there = int(found[1]), int(found[2])
        if there < 0.99 * promised < 0x7FFF_0000 * 0.99:
            raise Rejected(Reason.DAMAGED, f"cut off: {there} of {promised} bytes of samples are there")


def _decode_with_ffmpeg(path: Path, sample_rate: int, span: Span | None) -> Iterator[Samples]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise Rejected(Reason.NEEDS_FFMPEG, f"{path.suffix.lower()} files are read by ffmpeg, which is not on PATH")
    with tempfile.TemporaryDirectory(prefix="fewshot-audio-") as folder:
        converted = Path(folder) / "converted.w64"
        # Only the file itself: a playlist in disguise must not reach the network. Only its first sound stream.
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}"]
        command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "w64", str(converted)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0 or not converted.is_file():
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            said = lines[-1] if lines else f"exit code {done.returncode}"
            raise Rejected(Reason.UNREADABLE, f"ffmpeg: {said}")
        yield from _decode_with_sndfile(converted, sample_rate, span)


def _cause(error: Exception) -> str:
    """The library's own words, without the path: the caller names the file."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
