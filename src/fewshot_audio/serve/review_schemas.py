"""The JSON of reviews: what is sent, and what is answered."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, FiniteFloat

ClassName = Annotated[str, Field(min_length=1, max_length=200)]
Reviewer = Annotated[str, Field(min_length=1, max_length=100)]


class ReviewWindow(BaseModel):
    """A window to be listened to; ``score`` is what it was drawn by."""

    window: int
    file: str
    start: float
    end: float
    score: float


class ReviewStatus(BaseModel):
    """Whether there is an index to review, and how many windows it has."""

    available: bool
    windows: int


class Round(BaseModel):
    """The windows of a round, the first ones first; none if there are no more."""

    windows: list[ReviewWindow]


class ReviewProgress(BaseModel):
    """How far the review of a class is.

    ``windows`` of the index, and of those that were decided the numbers of each answer. ``found`` is the curve of what
    the review gains: how many windows with the class were found after 1, 2, 3 ... looks; of many looks some are left
    out, and ``looks`` says which those of ``found`` are. ``undoable`` is the reviewer's last window, if it can be taken
    back; ``saved`` says whether choices are on disk.
    """

    windows: int
    yes: int
    no: int
    other: int
    unsure: int
    looks: list[int]
    found: list[int]
    undoable: int | None
    saved: bool


class NewChoice(BaseModel):
    """What a reviewer says about a window; with ``undo`` the last choice about it is taken back.

    ``name`` is the class that was asked for; ``other`` the one that is there instead, if the answer is ``other``.
    """

    window: Annotated[int, Field(ge=0, lt=2**53)]
    name: ClassName
    answer: Literal["yes", "no", "other", "unsure", "undo"]
    other: Annotated[str, Field(max_length=200)] = ""
    reviewer: Reviewer = "me"


class Imported(BaseModel):
    """How many choices a table has added; ``known`` ones were there before."""

    added: int
    known: int


class WindowPicture(BaseModel):
    """The spectrogram of a window, from 0 to ``high_hz``.

    ``levels`` are ``rows`` x ``columns`` bytes (base64), the highest frequency first; 0 is quiet, 255 is loud.
    """

    start: float
    end: float
    high_hz: FiniteFloat
    rows: int
    columns: int
    levels: str
