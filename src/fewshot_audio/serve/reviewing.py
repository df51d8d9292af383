"""The review of an index behind the server. Used by one thread at a time, but for sounds and pictures."""

import base64
import io
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile

from fewshot_audio.archive.review.choices import gain
from fewshot_audio.archive.review.review import Order, Review
from fewshot_audio.archive.review.table import choices_table, read_choices, without_known
from fewshot_audio.archive.review.window_sound import window_sound
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.serve import review_schemas as schemas
from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.schemas import State
from fewshot_audio.serve.service import RecognizerService
from fewshot_audio.serve.spectrogram_file import N_FFT, ROWS, levels, picture, shown_range

PLAYED_PEAK = 0.9  # of the loudest moment of a window
MOST_COLUMNS = 400
MOST_POINTS = 500  # of the curve


class ReviewService:
    """Answers what clients ask about the review.

    Args:
        review: the review; its recognizer is that of the service.
        service: changes the recognizer and saves it.
        archive: folder that the index's names of recordings are below.
    """

    def __init__(self, review: Review, service: RecognizerService, archive: Path) -> None:
        self.review = review
        self._service = service
        self._archive = archive

    def next_round(self, name: str, order: Order, count: int, reviewer: str) -> schemas.Round:
        """Windows to be listened to next. Raises ApiError if there is no such class."""
        self._service.state()  # takes over what another program has changed
        try:
            candidates = self.review.next_round(name, order, count, reviewer)
        except DataError as error:
            raise ApiError(404, str(error)) from error
        windows = [
            schemas.ReviewWindow(window=own.window, file=own.file, start=own.start, end=own.end, score=own.score)
            for own in candidates
        ]
        return schemas.Round(windows=windows)

    def progress(self, name: str, reviewer: str) -> schemas.ReviewProgress:
        """How far the review of a class is."""
        choices = self.review.current(name)
        counts, curve = Counter(choice.answer for choice in choices), gain(choices)
        looks = np.unique(np.linspace(1, len(curve), MOST_POINTS).round().astype(int)) if curve else np.empty(0, int)
        own = [choice for choice in choices if choice.reviewer == reviewer]
        return schemas.ReviewProgress(
            windows=len(self.review.index),
            yes=counts["yes"],
            no=counts["no"],
            other=counts["other"],
            unsure=counts["unsure"],
            looks=looks.tolist(),
            found=[curve[look - 1] for look in looks.tolist()],
            undoable=self.review.window_of(own[-1]) if own else None,
            saved=self.review.journal.path is not None,
        )

    def choose(self, new: schemas.NewChoice) -> schemas.ReviewProgress:
        """Record a choice, which is on disk then.

        Raises:
            ApiError: it is none that can be made, or cannot be saved.
        """
        other = new.other if new.answer == "other" else ""
        try:
            choice = self.review.choice(new.window, new.name, new.answer, reviewer=new.reviewer, other=other)
            self.review.choose([choice])
        except DataError as error:
            raise ApiError(422, str(error)) from error
        except WriteError as error:
            raise ApiError(507, "The choice could not be saved: the disk refuses it. Try again.") from error
        return self.progress(choice.asked, choice.reviewer)

    def teach(self) -> State:
        """Let the recognizer learn all choices. Raises Conflict if another program has changed the bundle."""
        try:
            return self._service.learn(self.review.teach, "what the review taught")
        except DataError as error:
            raise ApiError(422, str(error)) from error

    def table(self) -> str:
        """All choices as CSV."""
        return choices_table(self.review.journal.choices)

    def add_table(self, content: bytes, name: str, reviewer: str) -> schemas.Imported:
        """Add the choices of a table. Raises ApiError if it cannot be used, or not be saved."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-table-") as folder:
                table = Path(folder, "table.csv")
                table.write_bytes(content)
                try:
                    choices = read_choices(table, name, reviewer, now)
                except DataError as error:
                    raise ApiError(422, str(error).replace(str(table), "The table")) from error
            new = without_known(choices, self.review.journal.choices)
            self.review.choose(new)
        except DataError as error:
            raise ApiError(422, str(error)) from error
        except (OSError, WriteError) as error:
            raise ApiError(507, "The table could not be saved: the disk refuses it.") from error
        return schemas.Imported(added=len(new), known=len(choices) - len(new))

    def sound(self, window: int) -> bytes:
        """A window as a wav file, its loudest moment at 0.9 of full scale. Raises ApiError if it cannot be had."""
        samples = self._samples(window)
        stream, rate = io.BytesIO(), self.review.index.description.rate
        scaled = samples * (PLAYED_PEAK / max(float(np.abs(samples).max()), 1e-9))
        soundfile.write(stream, scaled, rate, "PCM_16", format="WAV")
        return stream.getvalue()

    def picture(self, window: int) -> schemas.WindowPicture:
        """The spectrogram of a window. Raises ApiError if it cannot be had."""
        samples = self._samples(window)
        hop = max(1, len(samples) // MOST_COLUMNS)
        columns = levels(np.pad(samples, N_FFT // 2), hop)
        image = picture(columns, *shown_range(np.bincount(columns.reshape(-1), minlength=256)))
        _, start, end = self.review.index.times(window)
        return schemas.WindowPicture(
            start=start,
            end=end,
            high_hz=self.review.index.description.rate / 2,
            rows=ROWS,
            columns=image.shape[1],
            levels=base64.b64encode(image.tobytes()).decode(),
        )

    def close(self) -> None:
        """Let other processes have the journal."""
        self.review.journal.close()

    def _samples(self, window: int) -> Samples:
        try:
            return window_sound(self.review.index, window, self._archive)
        except DataError as error:
            raise ApiError(422, str(error).replace(str(self._archive), "the archive")) from error
