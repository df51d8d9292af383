"""The sound of enrolled clips, for whoever wants it kept: as FLAC, by its content, and bounded.

What is kept lies in the bundle's folder, a file for each clip. In memory is only what is not on disk yet, and what has
been removed, so that this can be undone.
"""

import hashlib
import io
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.kept_audio import LARGEST_KEPT, KeptAudio

MOST_REMOVED = 64 << 20
"""Bytes of removed clips that stay in memory, so that their removal can be undone; of more, the oldest go."""
PEAK = 0.9  # of full scale
MAGIC = b"fLaC"


class AudioStore:
    """The files of kept sound: in memory, or in the folders that a recognizer was read from or saved to."""

    def __init__(self) -> None:
        self._held: dict[str, bytes] = {}  # by SHA-256, what was removed first, the oldest before the others
        self._folders: list[Path] = []  # the latest one first

    def keep(self, clip: LoadedClip, preprocessing: Preprocessing, room: int) -> KeptAudio | None:
        """Keep a clip's sound, unless it has more than ``room`` bytes, or ``LARGEST_KEPT``, or FLAC cannot hold it."""
        content = encode_clip(clip, preprocessing)
        if content is None or len(content) > min(room, LARGEST_KEPT):
            return None
        digest = hashlib.sha256(content).hexdigest()
        self._held.setdefault(digest, content)
        return KeptAudio(digest, len(content))

    def read(self, audio: KeptAudio) -> bytes | None:
        """The FLAC file; None if it is gone, or is not that file any more."""
        if audio.sha256 in self._held:
            return self._held[audio.sha256]
        for folder in self._folders:
            path = folder / audio.file
            with suppress(OSError):
                if path.is_file() and path.stat().st_size == audio.size <= LARGEST_KEPT:
                    content = path.read_bytes()
                    if content.startswith(MAGIC) and hashlib.sha256(content).hexdigest() == audio.sha256:
                        return content
        return None

    def has(self, audio: KeptAudio) -> bool:
        """Whether the file is there; what is in it is looked at by ``read``."""
        return audio.sha256 in self._held or any((folder / audio.file).is_file() for folder in self._folders)

    def lies_in(self, folder: Path) -> None:
        """Look for files in a folder, which a recognizer was read from or saved to, before all others."""
        folder = folder.resolve()
        self._folders = [folder, *(own for own in self._folders if own != folder and own.exists())]
        self._held = {
            digest: content
            for digest, content in self._held.items()
            if not (folder / KeptAudio(digest, len(content)).file).is_file()
        }

    def hold(self, path: Path) -> None:
        """Read a file of kept sound that is about to be removed from its folder."""
        with suppress(OSError):
            if path.is_file() and path.stat().st_size <= LARGEST_KEPT:
                content = path.read_bytes()
                self._held[hashlib.sha256(content).hexdigest()] = content

    def trim(self, current: Collection[KeptAudio]) -> None:
        """Forget the oldest removed sound, as far as there is too much; ``current`` is that of all enrolled clips."""
        digests = {audio.sha256 for audio in current}
        removed = {digest: content for digest, content in self._held.items() if digest not in digests}
        needed = {digest: content for digest, content in self._held.items() if digest in digests}
        while sum(map(len, removed.values())) > MOST_REMOVED:
            del removed[next(iter(removed))]
        self._held = {**removed, **needed}  # what is removed next comes after what was removed before


def encode_clip(clip: LoadedClip, preprocessing: Preprocessing) -> bytes | None:
    """A clip as a FLAC file of 16 bits: what the network hears, its loudest moment at ``PEAK``.

    None if its segments are not its sound, since ``compat`` stretches those of a short clip, or if FLAC has no such
    rate.
    """
    samples = _samples(clip, preprocessing)
    if not len(samples):
        return None
    stream = io.BytesIO()
    scaled = samples * (PEAK / max(float(np.abs(samples).max()), 1e-9))
    try:
        soundfile.write(stream, scaled, preprocessing.recording_rate, "PCM_16", format="FLAC")
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return None
    return stream.getvalue()


def _samples(clip: LoadedClip, preprocessing: Preprocessing) -> Samples:
    length = round(clip.seconds * preprocessing.recording_rate)
    if preprocessing.compat:  # only whole segments are surely the sound itself
        length -= length % preprocessing.segment_samples
    samples: Samples = clip.segments.reshape(-1)[:length]
    return samples
