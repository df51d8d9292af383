"""Every other sound file, by FFmpeg's libraries (PyAV): mp3, m4a, aac, ogg, opus, webm, wma, amr, 3gp, damaged ones.

FFmpeg opens playlists, and files that name others. It gets an open file, a list of containers, and no protocol, so that
it can read that file only; and it runs in a process of its own (``sandbox``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
import soxr
from av.container import InputContainer

from fewshot_audio.audio.container_ends import caf_seconds, mp3_says_length, ogg_is_cut_off, tag_bytes
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.samples import Samples, check_rate, mean_of_channels

CONTAINERS = (
    "aac,aiff,amr,amrnb,amrwb,ape,asf,au,caf,flac,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,ogg,tak,tta,w64,wav,wv"
)
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "", "enable_drefs": "0", "use_absolute_path": "0"}
TOLERANCE = 0.1  # seconds that may be missing without a word: lossy formats pad a recording by a codec frame or two
EXACT_TOLERANCE = 0.001
LONGEST_GAP = 3600.0  # seconds of silence that may stand for a hole
ROWS_OF_FRAMES = ("mp3", "aac", "loas")  # no containers: what is between two frames is damage, or a tag
WITHOUT_LENGTH = (*ROWS_OF_FRAMES, "amr", "amrnb", "amrwb", "ogg")  # FFmpeg guesses by the bit rate, or tells a part's


class AvReader:
    """A sound file that FFmpeg reads: take its ``blocks`` and see ``damage`` afterwards.

    Raises:
        Rejected: there is no sound in it.
    """

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._path = path
        self._resamplers: dict[int, soxr.ResampleStream] = {}
        av.logging.set_level(None)
        self._file = path.open("rb")
        try:
            self._container: InputContainer = av.open(self._file, "r", options=OPTIONS, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            self._file.close()
            raise Rejected(Reason.UNREADABLE, f"not a sound file, or damaged at its start ({_cause(error)})") from error
        streams = self._container.streams.audio
        if not streams:
            self.close()
            raise Rejected(Reason.NOT_AUDIO, "there is no sound in it")
        self._stream = streams[0]
        codec_context: Any = self._stream.codec_context
        if codec_context is None:
            self.close()
            raise Rejected(Reason.UNREADABLE, "its sound is coded in a way that is not known")
        codec_context.thread_count = 1
        self.rate = int(self._stream.rate or 0)
        check_rate(self.rate)
        self._tolerance = EXACT_TOLERANCE if codec_context.codec.lossless else TOLERANCE

    def close(self) -> None:
        """Close the file."""
        self._container.close()
        self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """Yield the mean of the channels, frame by frame; a hole becomes silence, so that times stay right.

        Raises:
            Rejected: nothing of it can be decoded.
        """
        heard = lost = 0.0
        end: float | None = None  # of the last frame, on the clock of the container
        for frame in self._frames():
            if frame.pts is not None and frame.time_base is not None:
                begin = float(frame.pts * frame.time_base)
                gap = begin - end if end is not None else 0.0
                if self._tolerance < gap < LONGEST_GAP:
                    lost += gap
                    yield np.zeros(round(gap * self.rate), np.float32)
                end = begin
            if end is not None:
                end += frame.samples / frame.sample_rate
            block = self._at_own_rate(_mono(frame), frame.sample_rate)
            heard += frame.samples / frame.sample_rate
            yield block
        if not heard:
            raise Rejected(Reason.UNREADABLE, "nothing of it can be decoded")
        lost += self._skipped_bytes() * heard / max(1, self._bytes)
        total = max(heard + lost, self._claimed_seconds() or 0.0)
        if total - heard > self._tolerance:
            self.damage = f"damaged: {heard:.4g} of {total:.4g} s heard"
        elif self._ends_in_an_error or (self._container.format.name == "ogg" and ogg_is_cut_off(self._path)):
            self.damage = f"damaged: {heard:.4g} s heard, the end is missing"

    def _at_own_rate(self, block: Samples, rate: int) -> Samples:
        """Resample what another rate than the first one has: parts of a chained file."""
        if rate != self.rate and rate not in self._resamplers:
            check_rate(rate)
            self._resamplers[rate] = soxr.ResampleStream(rate, self.rate, 1, dtype="float32", quality="HQ")
        resampler = self._resamplers.get(rate)
        resampled: Samples = resampler.resample_chunk(block) if resampler else block
        return resampled

    def _frames(self) -> Iterator[Any]:
        """Yield what can be decoded, and count the bytes that it was decoded from."""
        self._bytes, self._ends_in_an_error = 0, False
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # the container is damaged from here on
                self._ends_in_an_error = True
                return
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._ends_in_an_error = True
                continue
            if packet.size:
                self._bytes += packet.size
                self._ends_in_an_error = False
            yield from frames

    def _skipped_bytes(self) -> int:
        """How many bytes between and after the frames are neither sound nor a tag."""
        if self._container.format.name not in ROWS_OF_FRAMES:
            return 0
        skipped = self._path.stat().st_size - self._bytes
        return max(0, skipped - tag_bytes(self._path)) if skipped > 0 else 0

    def _claimed_seconds(self) -> float | None:
        """The length that the container says it has; None if it does not say any."""
        name = self._container.format.name
        if name == "caf":
            return caf_seconds(self._path)
        if name in WITHOUT_LENGTH and not (name == "mp3" and mp3_says_length(self._path)):
            return None
        if self._stream.duration and self._stream.time_base:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / av.time_base if self._container.duration else None


def _mono(frame: Any) -> Samples:
    """The mean of a frame's channels, from any sample format."""
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, len(frame.layout.channels))
    if array.dtype == np.uint8:
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype.kind == "i":
        array = (array / 2.0 ** (8 * array.dtype.itemsize - 1)).astype(np.float32)
    return mean_of_channels(array.astype(np.float32, copy=False))


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).split(":")[0] or type(error).__name__
