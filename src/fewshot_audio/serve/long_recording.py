"""A long recording that the server holds for a while: its sound and its spectrogram, as files in a temporary folder."""

import base64
import io
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.events.annotation import Annotation, Detection
from fewshot_audio.events.detection.frames import RATE
from fewshot_audio.events.write import DETECTION_FORMATS, FileDetections
from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.recording_schemas import (
    Detections,
    Mark,
    Progress,
    RecordingState,
    ScoredEvent,
    SpectrogramView,
    Table,
)
from fewshot_audio.serve.spectrogram_file import (
    HOP,
    N_FFT,
    ROWS,
    Levels,
    SpectrogramWriter,
    levels,
    picture,
    read_columns,
    shown_range,
)

CLOSE_VIEW = 12.0  # seconds; the spectrogram of a shorter part is computed anew, in finer steps
FINE_VIEW = 3.0  # seconds; in a shorter part times matter more than frequencies
PLAYED_PEAK = 0.9  # of the loudest moment of the recording, whatever the scale of its file


class Removed(Exception):
    """The recording was removed while it was worked on."""


class LongRecording:
    """A recording that is decoded once, looked at, searched and played.

    Args:
        key: by which clients name it; nobody can guess it.
        name: of its file, printable.
        folder: its own one.

    Attributes:
        progress: what happens to it.
        touched: when a client asked for it last, in seconds of ``time.monotonic``.
        is_removed: whether the work on it is to stop.
    """

    def __init__(self, key: str, name: str, folder: Path) -> None:
        self.key, self.name, self.folder = key, name, folder
        self.sound = folder / "sound.wav"
        self.progress: Progress = "waiting"
        self.touched = time.monotonic()
        self.is_removed = False
        self.seconds = self.searched = self.found_until = 0.0
        self.searches = 0
        self.error: str | None = None
        self.damage = ""
        self.events: Sequence[Detection] = ()
        self._spectrogram = folder / "spectrogram"
        self._peak = 0.0
        self._shown = (0, 255)

    @property
    def is_at_work(self) -> bool:
        """Whether something is done with it, or will be."""
        return self.progress not in ("ready", "failed")

    def state(self) -> RecordingState:
        """What a client is told about it."""
        return RecordingState(
            id=self.key,
            name=self.name,
            progress=self.progress,
            seconds=self.seconds,
            searched=self.searched,
            found_until=self.found_until,
            searches=self.searches,
            high_hz=RATE / 2,
            error=self.error,
            damage=self.damage,
        )

    def check_running(self) -> None:
        """Raise Removed if the work is to stop."""
        if self.is_removed:
            raise Removed

    def read(self, upload: Path, decoder: Decoder, limits: ServerLimits) -> None:
        """Decode an uploaded file, in a confined process, into the sound and the spectrogram; the file is deleted.

        Raises:
            Rejected: it cannot be used.
            OSError: there is no space.
        """
        self.progress = "reading"
        with (
            soundfile.SoundFile(self.sound, "w", RATE, 1, "FLOAT", format="WAV") as sound,
            self._spectrogram.open("wb") as spectrogram,
        ):
            writer = SpectrogramWriter(spectrogram)

            def take(block: memoryview) -> None:
                self.check_running()
                samples: Samples = np.frombuffer(block, np.float32)
                sound.write(samples)
                writer.add(samples)
                self._peak = max(self._peak, float(np.abs(samples).max(initial=0.0)))
                self.seconds = sound.tell() / RATE

            try:
                self.damage = decoder.decode_file(
                    upload, take, RATE, limits.recording_seconds, limits.recording_decode_seconds
                )
            finally:
                upload.unlink()
            writer.close()
        self._shown = shown_range(writer.counts)
        self.progress = "ready"

    def spectrogram(self, start: float, end: float, width: int) -> SpectrogramView:
        """The spectrogram of a part, at most ``width`` columns."""
        start, end = self._part(start, end)
        columns = self._close_columns(start, end, width) if end - start < CLOSE_VIEW else None
        if columns is None:
            first, last = round(start * RATE / HOP), round(end * RATE / HOP)
            columns = read_columns(self._spectrogram, first, last, width)
        image = picture(columns, *self._shown)
        return SpectrogramView(
            start=start,
            end=end,
            high_hz=RATE / 2,
            rows=ROWS,
            columns=image.shape[1],
            levels=base64.b64encode(image.tobytes()).decode(),
        )

    def _close_columns(self, start: float, end: float, width: int) -> Levels:
        first, last = round(start * RATE), max(round(start * RATE) + 1, round(end * RATE))
        window = N_FFT if end - start > FINE_VIEW else N_FFT // 2
        hop = max(1, (last - first) // width)
        count = min(width, max(1, (last - first) // hop))
        samples = self._samples(first - window // 2, first - window // 2 + (count - 1) * hop + window)
        return levels(samples, hop, window)

    def excerpt(self, start: float, end: float, limits: ServerLimits) -> bytes:
        """A part as a wav file, as loud as the loudest moment of the recording allows."""
        start, end = self._part(start, end)
        if end - start > limits.excerpt_seconds:
            raise ApiError(422, f"An excerpt lasts at most {limits.excerpt_seconds:g} s, not {end - start:.1f} s.")
        samples = self._samples(round(start * RATE), max(round(start * RATE) + 1, round(end * RATE)))
        stream = io.BytesIO()
        soundfile.write(stream, samples * (PLAYED_PEAK / max(self._peak, 1e-9)), RATE, "PCM_16", format="WAV")
        return stream.getvalue()

    def annotations(self, marks: Sequence[Mark]) -> list[Annotation]:
        """Marks as the detector takes them.

        What is marked as no event of its label, and as an event of another one, is a counterexample by the latter.

        Raises:
            ApiError: a mark is not inside the recording, or its label is not printable.
        """
        for number, mark in enumerate(marks):
            if not mark.start < mark.end <= self.seconds + 0.01:
                found = f"{mark.start:g} to {mark.end:g} s"
                raise ApiError(422, f"marks[{number}] is from {found}: expected a part of 0 to {self.seconds:.2f} s.")
            check_label(mark.label)
        events = [mark for mark in marks if mark.quality == "POS"]
        return [
            Annotation(self.sound, mark.start, min(mark.end, self.seconds), mark.label, quality=mark.quality)
            for mark in marks
            if mark.quality == "POS" or not any(mark.start < own.end and own.start < mark.end for own in events)
        ]

    def detections(self, limits: ServerLimits) -> Detections:
        """What the last search has found, or so far."""
        events = sorted(self.events, key=lambda event: -event.score)[: limits.detections]
        found = [
            ScoredEvent(start=event.start, end=event.end, label=event.label, score=event.score)
            for event in sorted(events, key=lambda event: event.start)
        ]
        return Detections(events=found, left_out=len(self.events) - len(found))

    def table(self, table: Table) -> str:
        """Events as a table of this recording.

        Raises:
            ApiError: an event is not inside the recording, or its label is not printable.
        """
        self.annotations([Mark(start=event.start, end=event.end, label=event.label) for event in table.events])
        events = (Detection(event.start, event.end, event.label, event.score) for event in table.events)
        ordered = tuple(sorted(events, key=lambda event: (event.start, event.end, event.label)))
        result = FileDetections(self.name, self.seconds, ordered, RATE, self.damage)
        return DETECTION_FORMATS[table.format]().text([result])

    def explained(self, error: Exception) -> str:
        """An error in words, without the server's paths."""
        detail = error.detail if isinstance(error, Rejected) else str(error)
        return detail.replace(str(self.sound), self.name).replace(str(self.folder), self.name)

    def remove(self) -> None:
        """Stop the work on it and delete its files."""
        self.is_removed = True
        shutil.rmtree(self.folder, ignore_errors=True)

    def _part(self, start: float, end: float) -> tuple[float, float]:
        if not 0 <= start < end:
            raise ApiError(422, f"The part from {start:g} to {end:g} s has no length: expected a start before its end.")
        if start >= self.seconds:
            raise ApiError(422, f"The part begins at {start:g} s: expected before {self.seconds:.2f} s, the end.")
        return start, min(end, self.seconds)

    def _samples(self, first: int, last: int) -> Samples:
        """Samples of the sound; what lies outside of it is silence."""
        with soundfile.SoundFile(self.sound) as sound:
            begin = min(max(0, first), sound.frames)
            sound.seek(begin)
            samples: Samples = sound.read(max(0, last - begin), dtype="float32")
        return np.pad(samples, (begin - first, last - begin - len(samples)))


def check_label(label: str) -> None:
    """Raise ApiError if a label is blank or not printable."""
    if not label.strip() or not label.isprintable():
        raise ApiError(422, "A label consists of printable characters, and is not blank.")
