"""The API's JSON: every reply, and every request that is JSON, has one of these shapes."""

from typing import Annotated

from pydantic import BaseModel, Field


class ErrorBody(BaseModel):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


class ErrorReply(BaseModel):
    """The body of every answer from 400 on."""

    error: ErrorBody


class Health(BaseModel):
    """The server runs."""

    status: str
    version: str


class ClassInfo(BaseModel):
    """An enrolled class, its clips, and whether it is ignored: it is never an answer then.

    ``with_sound`` names those of the clips whose sound is kept.
    """

    name: str
    clips: int
    clip_names: list[str]
    with_sound: list[str]
    ignored: bool


class BackgroundInfo(BaseModel):
    """A recording of the background: sounds that are known, and never an answer."""

    name: str
    segments: int


class ClientLimits(BaseModel):
    """The limits that a client can check before it sends."""

    upload_bytes: int
    recording_bytes: int
    clip_seconds: float
    clips: int
    name_length: int


class State(BaseModel):
    """The recognizer as it is now.

    ``revision`` grows with every change; it starts anew, at a random number, with the server. ``saves`` tells whether
    changes are written to the bundle's folder, ``unsaved`` counts those that are not, and ``save_error`` says why.
    ``undoable`` is the last change in words, if it can be taken back. ``unknown`` tells whether an answer can be "none
    of the enrolled classes". ``keeps_sound`` tells whether the sound of clips is kept, null that nobody has decided;
    ``sound_bytes`` is its size.
    """

    version: str
    sample_rate: int
    segment_seconds: float
    classes: list[ClassInfo]
    background: list[BackgroundInfo]
    revision: int
    unsaved: int
    saves: bool
    unknown: bool
    save_error: str | None
    undoable: str | None
    keeps_sound: bool | None
    sound_bytes: int
    limits: ClientLimits


class ConflictReply(ErrorReply):
    """The body of an answer 409: what the recognizer's state does not allow, and that state. Nothing was changed."""

    state: State


class RejectedClip(BaseModel):
    """A recording that could not be used: its number in the request (from 0), a reason code, and a sentence."""

    clip: int
    reason: str
    detail: str


class DamagedClip(BaseModel):
    """A damaged recording that was used as far as it goes: its number in the request (from 0), and a sentence."""

    clip: int
    detail: str


class DuplicateClip(BaseModel):
    """A recording that was enrolled before, exactly the same: its number in the request (from 0), and where it is."""

    clip: int
    name: str
    enrolled_as: str


class EnrollReply(BaseModel):
    """The outcome of an enrollment; ``duplicates`` were enrolled once more."""

    name: str
    enrolled: int
    rejected: list[RejectedClip]
    damaged: list[DamagedClip]
    duplicates: list[DuplicateClip]
    state: State


class BackgroundReply(BaseModel):
    """The outcome of adding recordings to the background."""

    enrolled: int
    rejected: list[RejectedClip]
    damaged: list[DamagedClip]
    state: State


class Rename(BaseModel):
    """A class's new name."""

    name: Annotated[str, Field(min_length=1)]


class ClipChange(BaseModel):
    """A clip's new name, or the class that it belongs to."""

    name: Annotated[str | None, Field(min_length=1)] = None
    new_class: Annotated[str | None, Field(min_length=1)] = None


class Probability(BaseModel):
    """A class and its calibrated probability."""

    name: str
    probability: float


class Picture(BaseModel):
    """The clip as the network hears it: its segments, one after the other.

    ``lowest`` and ``highest`` are the waveform's extremes per column, scaled to -1..1. ``log_mel`` is the log-mel
    spectrogram, ``rows`` x ``columns`` bytes (base64), the highest frequency first, 255 = the loudest point,
    0 = ``range_db`` below it or less.
    """

    seconds: float
    lowest: list[float]
    highest: list[float]
    rows: int
    columns: int
    range_db: float
    log_mel: str


class Point(BaseModel):
    """A point on the map."""

    x: float
    y: float


class ClassifyReply(BaseModel):
    """The answer for a clip.

    ``label`` is null for "none of the enrolled classes": ``unknown_score`` is above ``unknown_threshold``. If the
    threshold is null, every clip is taken for one of the classes. Probabilities are sorted, best first; they are those
    of the classes among each other, and 0 for an ignored one. ``background`` tells from 0 to 1 how much the clip is
    like the background or ignored classes; from 0.5 on, more than like ``best``. It is null if there is neither.
    ``damage`` says what is wrong with a recording of which the rest was heard; it is empty if nothing is.
    """

    label: str | None
    best: str
    probabilities: list[Probability]
    unknown_score: float
    unknown_threshold: float | None
    background: float | None
    seconds: float
    segments: int
    damage: str
    picture: Picture
    point: Point
    revision: int


class MapPoint(Point):
    """An enrolled clip on the map."""

    name: str


class EmbeddingMap(BaseModel):
    """The enrolled clips' embeddings on their first two principal axes, and each axis's share of the variance."""

    points: list[MapPoint]
    explained: list[float]
    revision: int


class Finding(BaseModel):
    """A sentence about the enrolled clips: good, accuracy, head, collision, outlier, silence or duplicate."""

    kind: str
    message: str


class Findings(BaseModel):
    """Findings about the enrolled clips, and the one thing to do next; null if there is nothing to judge."""

    findings: list[Finding]
    next: str | None
