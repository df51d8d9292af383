"""What one server grants: sizes, counts and times, all in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients may send and hold; every one of them is told to the page.

    Attributes:
        upload_bytes: body of one request.
        upload_seconds: time in which a body must have arrived.
        clip_seconds: length of one recording.
        request_seconds: length of all recordings of one enrollment.
        clips: recordings in one enrollment.
        classes: classes of the bundle.
        clips_in_all: recordings that the bundle holds.
        name_length: characters of a class name.
        waiting: requests that are worked on or wait, over all clients; more are answered with 503.
        waiting_per_client: the same of one address; more are answered with 429.
        working: requests among them whose recordings are in memory.
        decoders: processes that decode side by side.
        decode_seconds: time for one recording, after which its process is killed.
        decode_bytes: address space of such a process.
    """

    upload_bytes: int = 64 << 20
    upload_seconds: float = 60.0
    clip_seconds: float = 300.0
    request_seconds: float = 1800.0
    clips: int = 50
    classes: int = 200
    clips_in_all: int = 2000
    name_length: int = 100
    waiting: int = 32
    waiting_per_client: int = 16
    working: int = 4
    decoders: int = 2
    decode_seconds: float = 20.0
    decode_bytes: int = 768 << 20
