"""The JSON of long recordings: what is sent, and what is answered."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat

Label = Annotated[str, Field(min_length=1, max_length=100)]
Time = Annotated[FiniteFloat, Field(ge=0)]
Progress = Literal["waiting", "reading", "ready", "learning", "searching", "failed"]


class RecordingState(BaseModel):
    """A long recording that the server holds for a while.

    ``progress`` is ``waiting`` (for its turn), ``reading``, ``ready``, ``learning`` (from the marks), ``searching``, or
    ``failed``: it cannot be used. ``seconds`` grows while it is read; ``searched`` tells how much a search has done,
    and ``found_until`` up to which second its events are there already. ``searches`` counts those that have ended.
    ``error`` says why it cannot be used, or why the last search has failed; ``damage`` what is wrong with a file of
    which the rest is used.
    """

    id: str
    name: str
    progress: Progress
    seconds: float
    searched: float
    found_until: float
    searches: int
    high_hz: float
    error: str | None
    damage: str


class SpectrogramView(BaseModel):
    """A part of a spectrogram from ``start`` to ``end`` seconds, and from 0 to ``high_hz``.

    ``levels`` are ``rows`` x ``columns`` bytes (base64), the highest frequency first; 0 is quiet, 255 is loud.
    """

    start: float
    end: float
    high_hz: float
    rows: int
    columns: int
    levels: str


class Mark(BaseModel):
    """An event that somebody marked: from ``start`` to ``end`` seconds.

    ``quality`` is ``POS`` for an example of its label, ``NEG`` for a sound that is not the label's, ``UNK`` for one
    that may be: from it nothing is learned.
    """

    start: Time
    end: Time
    label: Label
    quality: Literal["POS", "NEG", "UNK"] = "POS"


class Search(BaseModel):
    """What to search for: two or more examples of each label, and sounds that are none.

    ``complete_between`` says that every event before the last example is marked: all else there is known to be none.
    Null decides it by where the examples are, as the command ``detect`` does.
    """

    marks: list[Mark]
    complete_between: bool | None = None


class ScoredEvent(BaseModel):
    """An event with a score from 0 to 1, how sure the detector is."""

    start: Time
    end: Time
    label: Label
    score: Annotated[FiniteFloat, Field(ge=0, le=1)]


class Detections(BaseModel):
    """The events that the last search has found, in order, without the marks.

    ``left_out`` counts those that are too many, which are the least sure ones.
    """

    events: list[ScoredEvent]
    left_out: int


class Table(BaseModel):
    """Events to be written as a table."""

    events: list[ScoredEvent]
    format: Literal["csv", "raven", "audacity", "dcase"] = "csv"
