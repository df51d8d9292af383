"""Formats that libsndfile reads whole and exactly: wav in all its flavors, FLAC, AIFF, CAF, AU, W64."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from fewshot_audio.audio.samples import BLOCK_SAMPLES, Samples, Span, check_rate, mean_of_channels, span_frames
from fewshot_audio.audio.wav_chunks import WAV_FORMS, WavChunks, read_wav_chunks

HEAD = 16  # bytes that tell the format
UNKNOWN_LENGTH = 1 << 48  # frames: libsndfile's number for "unknown" is larger
_SIZES = re.compile(r"^ *(?:data|FORM|SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


class NotExact(Exception):
    """libsndfile does not read a file whole and exactly; another decoder has to.

    Attributes:
        frames: how many it has read.
    """

    def __init__(self, frames: int = 0) -> None:
        super().__init__(frames)
        self.frames = frames


class SndfileReader:
    """A sound file that libsndfile reads: take its ``blocks`` and see ``damage`` afterwards.

    Args:
        path: the file.
        head: its first bytes.

    Raises:
        Rejected: it has no samples, or a header that nothing can be read by.
        NotExact: libsndfile does not read it, or not whole.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self.damage = ""
        self._chunks = read_wav_chunks(path) if head[:4] in WAV_FORMS and head[8:12] == b"WAVE" else None
        if self._chunks and not self._chunks.subtype:
            raise NotExact
        self._parts = None if self._chunks is None or self._chunks.is_plain else _Parts(path, self._chunks)
        try:
            self._file = self._open(path)
            self._check()
        except (soundfile.SoundFileError, OSError) as error:
            self.close()
            raise NotExact from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> soundfile.SoundFile:
        if self._chunks and self._parts:
            form = {"samplerate": self._chunks.rate, "channels": self._chunks.channels, "endian": "LITTLE"}
            return soundfile.SoundFile(self._parts, format="RAW", subtype=self._chunks.subtype, **form)
        # On POSIX a file's name may be any bytes, but soundfile requires strings to be valid Unicode.
        return soundfile.SoundFile(os.fsencode(path) if os.name == "posix" else str(path))

    def _check(self) -> None:
        sound = self._file
        if sound.format == "RAW" and not self._parts:  # any bytes are sound to libsndfile if the name ends in .au
            raise NotExact
        if sound.frames > UNKNOWN_LENGTH or (sound.format == "FLAC" and not sound.frames):
            raise NotExact
        check_rate(sound.samplerate)

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()
        if self._parts:
            self._parts.close()

    @property
    def is_float(self) -> bool:
        """Whether samples are floating-point numbers, whose scale says nothing of loudness."""
        return self._file.subtype in ("FLOAT", "DOUBLE")

    @property
    def rate(self) -> int:
        """Samples per second."""
        return int(self._file.samplerate)

    @property
    def seconds(self) -> float:
        """The length of the recording."""
        return float(self._file.frames / self.rate)

    def blocks(self, span: Span | None) -> Iterator[Samples]:
        """Yield the mean of the channels, block by block.

        Raises:
            Rejected: the recording does not contain the span, or holds samples that are not finite.
            NotExact: libsndfile cannot go on; ``NotExact.frames`` were yielded.
        """
        sound = self._file
        begin, end = span_frames(span, sound.frames, self.rate)
        size = max(1, BLOCK_SAMPLES // sound.channels)
        position = begin
        is_int16 = sound.subtype == "PCM_16"
        try:
            if begin:
                sound.seek(begin)
            while position < end:
                block = sound.read(min(size, end - position), "int16" if is_int16 else "float32", always_2d=True)
                if not len(block):
                    break
                mono = mean_of_channels(block)
                if is_int16:
                    mono *= 1 / 32768  # exact, as libsndfile's own conversion is, and faster
                position += len(mono)
                yield mono
        except (soundfile.SoundFileError, OSError) as error:
            raise NotExact(position - begin) from error
        if position < end:
            raise NotExact(position - begin)
        self.damage = self._what_is_missing(sound.frames)

    def _what_is_missing(self, frames: int) -> str:
        """Compare the length with what the header says; libsndfile reads what is left without a warning."""
        heard = frames / self.rate
        if self._chunks:
            claimed = self._chunks.claimed
            total = heard if claimed is None else claimed * self._chunks.seconds_per_byte
        else:
            sizes = _SIZES.search(self._file.extra_info)
            # Sizes of 2 GiB and more say that a program did not know them.
            known = sizes and int(sizes[2]) < int(sizes[1]) < 0x7FFF_0000
            total = heard * int(sizes[1]) / max(1, int(sizes[2])) if sizes and known else heard
        return f"damaged: {heard:.4g} of {total:.4g} s heard" if total > heard + 1 / self.rate else ""


class _Parts(io.RawIOBase):
    """Several parts of a file, one after the other."""

    def __init__(self, path: Path, chunks: WavChunks) -> None:
        self._file = path.open("rb")
        self._parts = chunks.parts
        self._length = chunks.present
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted, begin = min(len(buffer), self._length - self._position), 0
        for position, length in self._parts:
            if begin <= self._position < begin + length and wanted > 0:
                offset = self._position - begin
                self._file.seek(position + offset)
                data = self._file.read(min(wanted, length - offset))
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
            begin += length
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()
