"""The JSON that goes over the wire: every reply has one of these shapes."""

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
    """An enrolled class and how many clips it is known by."""

    name: str
    clips: int


class Granted(BaseModel):
    """The limits that a client can check before it sends."""

    upload_bytes: int
    clip_seconds: float
    clips: int
    name_length: int


class State(BaseModel):
    """The recognizer at hand.

    ``revision`` grows with every change; ``unsaved`` changes are not in the bundle's folder, into which changes are
    written where ``saves``; ``unknown`` tells whether an answer can be "none of the enrolled classes".
    """

    version: str
    sample_rate: int
    segment_seconds: float
    classes: list[ClassInfo]
    revision: int
    unsaved: int
    saves: bool
    unknown: bool
    save_error: str | None
    limits: Granted


class RejectedClip(BaseModel):
    """A recording that could not be used: its place in the request, a reason code, and the reason in words."""

    clip: int
    reason: str
    detail: str


class Enrolled(BaseModel):
    """The outcome of an enrollment."""

    name: str
    enrolled: int
    rejected: list[RejectedClip]
    state: State


class Rename(BaseModel):
    """A class's new name."""

    name: Annotated[str, Field(min_length=1)]


class Probability(BaseModel):
    """A class and its calibrated probability."""

    name: str
    probability: float


class Picture(BaseModel):
    """What the network hears: its segments of the clip, one after the other.

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
    """A place on the map."""

    x: float
    y: float


class Classified(BaseModel):
    """A clip's answer. ``label`` is null for "none of the enrolled classes": ``unknown_score`` passes the threshold.

    Probabilities are sorted, best first. A null threshold: every clip is taken for one of the classes.
    """

    label: str | None
    best: str
    probabilities: list[Probability]
    unknown_score: float
    unknown_threshold: float | None
    seconds: float
    segments: int
    picture: Picture
    point: Point
    revision: int


class MapPoint(Point):
    """An enrolled clip on the map."""

    name: str


class EmbeddingMap(BaseModel):
    """The enrolled clips' embeddings on their first two principal axes, and the share of variance that each shows."""

    points: list[MapPoint]
    explained: list[float]
    revision: int


class Finding(BaseModel):
    """Something about the enrolled clips: good, accuracy, collision, outlier, silence or duplicate, and in words."""

    kind: str
    message: str


class Findings(BaseModel):
    """What is to be said of the enrolled clips."""

    findings: list[Finding]
