"""Decode any sound file to mono float32 samples at one rate, block by block, so that memory is bounded.

If a change gives other bits for the same recording, raise ``FORMAT`` in ``data/prepare.py``.
"""

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

from fewshot_audio.audio.rejection import Reason, Rejected

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
MIN_RATE = 100  # Hz; a lower rate means a broken header, and resampling would multiply the samples without bound
_SIZES = re.compile(r"^ *(?:data|FORM|Data Size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


def is_audio(path: Path) -> bool:
    """Whether a file's extension, in upper or lower case, is that of a sound file that can be decoded."""
    return path.suffix.lower() in AUDIO_EXTENSIONS


def decode(path: Path, sample_rate: int = 16_000, span: Span | None = None) -> Samples:
    """Read a sound file, or a span of it, as mono float32 samples: the mean of its channels.

    wav, flac, ogg, mp3, aiff and the like are read by libsndfile and resampled by soxr (high quality); m4a, aac and wma
    are converted by ffmpeg, if it is installed.

    Args:
        path: the sound file.
        sample_rate: of the returned samples, in Hz.
        span: start and end in seconds of the part to be read; None reads the whole file.

    Returns:
        Samples (samples,): at least one, all finite.

    Raises:
        Rejected: the file is missing, not permitted, unreadable, damaged, empty, ends before the span does, holds NaN
            or infinite samples, or needs ffmpeg, which is not installed.
    """
    return np.concatenate(list(decode_blocks(path, sample_rate, span)))


def decode_blocks(path: Path, sample_rate: int = 16_000, span: Span | None = None) -> Iterator[Samples]:
    """Read as ``decode`` does, but block by block, so that memory does not grow with the recording's length.

    Args:
        path: the sound file.
        sample_rate: of the yielded samples, in Hz.
        span: start and end in seconds of the part to be read; None reads the whole file.

    Yields:
        The samples that ``decode`` returns, cut into blocks (samples,); a block may be empty.

    Raises:
        Rejected: as ``decode`` does; if the damage is in the middle, after the samples before it were yielded.
    """
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would wait forever
            raise Rejected(Reason.UNREADABLE, "not a regular file")
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise Rejected.from_os_error(error) from error
    if empty:
        raise Rejected(Reason.EMPTY, "the file has 0 bytes")
    if path.suffix.lower() in FFMPEG_EXTENSIONS:
        yield from _decode_with_ffmpeg(path, sample_rate, span)
    else:
        yield from _decode_with_sndfile(path, sample_rate, span)


def resample_recording(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """Resample mono samples (n,) to the same bits as ``decode`` does.

    Raises:
        Rejected: ``source_rate`` is below 100 Hz.
    """
    _check_rate(source_rate)
    blocks = (samples[start : start + BLOCK_SAMPLES] for start in range(0, len(samples), BLOCK_SAMPLES))
    return np.concatenate(list(_resample_blocks(blocks, source_rate, target_rate)))


def _decode_with_sndfile(path: Path, sample_rate: int, span: Span | None) -> Iterator[Samples]:
    # On POSIX a file's name may be any bytes, but soundfile requires strings to be valid Unicode.
    name = os.fsencode(path) if os.name == "posix" else str(path)
    try:
        sound = soundfile.SoundFile(name)
    except (soundfile.SoundFileError, OSError) as error:
        raise Rejected(Reason.UNREADABLE, _cause(error)) from error
    samples = 0
    with sound:
        if sound.format == "RAW":  # libsndfile reads any bytes as sound if the name ends in .au or .snd
            raise Rejected(Reason.UNREADABLE, "the file has no header of a sound file")
        _check_rate(sound.samplerate)
        _check_size(sound)
        blocks = _mono_blocks(sound, span)
        if sound.samplerate != sample_rate:
            blocks = _resample_blocks(blocks, sound.samplerate, sample_rate)
        for block in blocks:
            samples += len(block)
            yield block
    if not samples:
        raise Rejected(Reason.EMPTY, "the recording has 0 samples")


def _mono_blocks(sound: soundfile.SoundFile, span: Span | None) -> Iterator[Samples]:
    """Yield the mean of the channels, block by block."""
    size = max(1, BLOCK_SAMPLES // sound.channels)
    position, end = _frames(sound, span)
    is_int16 = sound.subtype == "PCM_16"
    try:
        if position:
            sound.seek(position)
        while end is None or position < end:
            count = size if end is None else min(size, end - position)
            block = sound.read(count, "int16" if is_int16 else "float32", always_2d=True)
            if not len(block):
                break
            mono = _mean_of_channels(block)
            if is_int16:
                mono *= 1 / 32768  # exact, as libsndfile's own conversion is, and faster
            if not np.isfinite(mono).all():
                frames = f"frames {position} to {position + len(mono)}"
                raise Rejected(Reason.NON_FINITE, f"NaN or infinite samples in {frames}")
            position += len(mono)
            yield mono
    except (soundfile.SoundFileError, OSError) as error:
        detail = f"reading failed after frame {position} of {sound.frames}: {_cause(error)}"
        raise Rejected(Reason.DAMAGED, detail) from error
    if sound.format == "FLAC" and position < (sound.frames if end is None else end):
        raise Rejected(Reason.DAMAGED, f"only {position} of {sound.frames} frames could be read")


def _mean_of_channels(block: np.ndarray[tuple[int, int], np.dtype[np.int16 | np.float32]]) -> Samples:
    """Average (frames, channels) -> (frames,), channel by channel: numpy's mean over a short last axis is slow."""
    samples = block.astype(np.float32, copy=False)
    mono = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        mono += samples[:, channel]
    mono /= samples.shape[1]
    return mono


def _frames(sound: soundfile.SoundFile, span: Span | None) -> tuple[int, int | None]:
    """Return the first frame of a span and the one after its last; the latter is None if the whole file is read."""
    if span is None:
        return 0, None
    length = sound.frames / sound.samplerate
    if not 0 <= span[0] < span[1] <= length + SPAN_TOLERANCE or span[0] >= length:
        part = f"{span[0]:g} to {span[1]:g} s"
        raise Rejected(Reason.TOO_SHORT, f"the recording is {length:g} s long, expected to contain {part}")
    return round(span[0] * sound.samplerate), min(round(span[1] * sound.samplerate), sound.frames)


def _resample_blocks(blocks: Iterator[Samples], source_rate: int, target_rate: int) -> Iterator[Samples]:
    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)


def _check_rate(sample_rate: int) -> None:
    if sample_rate < MIN_RATE:
        raise Rejected(Reason.UNREADABLE, f"sample rate {sample_rate} Hz, expected at least {MIN_RATE} Hz")


def _check_size(sound: soundfile.SoundFile) -> None:
    """Reject a wav, aiff, au or w64 file that was cut off; libsndfile reads the remaining part without a warning.

    Sizes of 2 GiB and more are not checked: programs that write into a pipe use such a number for "unknown".
    """
    sizes = _SIZES.search(sound.extra_info)
    if sizes:
        header_size, actual_size = int(sizes[1]), int(sizes[2])
        if actual_size < 0.99 * header_size < 0x7FFF_0000 * 0.99:
            raise Rejected(Reason.DAMAGED, f"cut off: {actual_size} of {header_size} bytes are left")


def _decode_with_ffmpeg(path: Path, sample_rate: int, span: Span | None) -> Iterator[Samples]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise Rejected(Reason.NEEDS_FFMPEG, f"{path.suffix.lower()} files are read by ffmpeg, which is not on PATH")
    with tempfile.TemporaryDirectory(prefix="fewshot-audio-") as folder:
        converted = Path(folder) / "converted.w64"
        # Read local files only, so that a disguised playlist cannot reach the network; convert the first sound stream.
        command = [program, "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}"]
        command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "w64", str(converted)]
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode != 0 or not converted.is_file():
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            message = lines[-1] if lines else f"exit code {result.returncode}"
            raise Rejected(Reason.UNREADABLE, f"ffmpeg: {message}")
        yield from _decode_with_sndfile(converted, sample_rate, span)


def _cause(error: Exception) -> str:
    """Return the library's message without the path: the caller names the file."""
    return str(getattr(error, "error_string", error)).strip().rstrip(".") or "malformed, or cut off"
