"""The server's limits: sizes, counts and times."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """Bounds on what clients may send and the server holds.

    ``guard`` and ``request_body`` enforce those of bodies and requests, ``form`` those of a form's parts, ``uploads``
    and ``decoder`` those of recordings, ``routes`` and ``service`` those of classes and clips, ``recording_store`` and
    ``recording_routes`` those of long recordings.

    Attributes:
        upload_bytes: body of a request that sends recordings.
        text_bytes: body of any other request, and every field of a form; they hold a name at most.
        target_bytes: path and query of a request.
        header_bytes: all that stands before a request's body.
        upload_seconds: time in which a body must have arrived.
        clip_seconds: length of one recording.
        request_seconds: length of all recordings of one enrollment.
        clips_per_request: recordings in one enrollment.
        classes: classes of the bundle.
        total_clips: recordings of the bundle.
        background_clips: recordings of the background, each of up to 64 segments.
        name_length: characters of a class name.
        requests: requests of all clients that are processed or wait; more are answered with 503.
        requests_per_client: the same for one address; more are answered with 429.
        requests_in_memory: requests among them whose recordings are in memory.
        decoders: processes that decode in parallel.
        decode_seconds: time for one recording, after which its process is killed.
        decode_bytes: address space of such a process.
        recording_bytes: body of a request that sends a long recording.
        recording_upload_seconds: time in which it must have arrived.
        recording_seconds: its length.
        recording_decode_seconds: time for decoding it.
        recordings: long recordings that the server holds, in a temporary folder.
        recording_idle_seconds: time after which one that nobody asks for is removed.
        recording_spare_seconds: time after which it may be removed to make room for another.
        marks_bytes: body of a request that sends a table of events.
        marks: events in such a table.
        detections: events in an answer, the surest of them.
        excerpt_seconds: length of an excerpt to play.
        spectrogram_columns: width of a spectrogram.
    """

    upload_bytes: int = 64 << 20
    text_bytes: int = 4 << 10
    target_bytes: int = 4 << 10
    header_bytes: int = 16 << 10
    upload_seconds: float = 60.0
    clip_seconds: float = 300.0
    request_seconds: float = 1800.0
    clips_per_request: int = 50
    classes: int = 200
    total_clips: int = 2000
    background_clips: int = 200
    name_length: int = 100
    requests: int = 32
    requests_per_client: int = 16
    requests_in_memory: int = 4
    decoders: int = 2
    decode_seconds: float = 20.0
    decode_bytes: int = 768 << 20
    recording_bytes: int = 768 << 20
    recording_upload_seconds: float = 900.0
    recording_seconds: float = 7200.0
    recording_decode_seconds: float = 300.0
    recordings: int = 4
    recording_idle_seconds: float = 3600.0
    recording_spare_seconds: float = 120.0
    marks_bytes: int = 1 << 20
    marks: int = 2000
    detections: int = 5000
    excerpt_seconds: float = 60.0
    spectrogram_columns: int = 2000
