"""The recognizer behind the server: its changes, its limits, its bundle. Used by one thread at a time."""

import logging
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from fewshot_audio import __version__
from fewshot_audio.errors import FewShotError
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.checkup import checkup_findings
from fewshot_audio.serve.clip_picture import clip_picture
from fewshot_audio.serve.limits import ServerLimits

log = logging.getLogger(__name__)

BUNDLE_NAME = "recognizer"


class RecognizerService:
    """A recognizer that clients change and ask.

    Args:
        backend: the recognizer.
        limits: bounds on what clients may enroll.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
    """

    def __init__(self, backend: Backend, limits: ServerLimits, folder: Path | None) -> None:
        self.backend = backend
        self.limits = limits
        self.folder = folder
        self.unsaved = 0
        self.save_error: str | None = None
        self._revision = 0
        self._map: tuple[PrincipalComponents, schemas.EmbeddingMap] | None = None  # of the current revision

    def state(self) -> schemas.State:
        """The enrolled classes, unsaved changes, and the limits that clients can check."""
        preprocessing = self.backend.preprocessing
        return schemas.State(
            version=__version__,
            sample_rate=preprocessing.sample_rate,
            segment_seconds=preprocessing.segment_seconds,
            classes=[schemas.ClassInfo(name=name, clips=self._clip_count(name)) for name in self.backend.classes],
            revision=self._revision,
            unsaved=self.unsaved,
            unknown=self.backend.unknown_threshold is not None,
            saves=self.folder is not None,
            save_error=self.save_error,
            limits=schemas.ClientLimits(
                upload_bytes=self.limits.upload_bytes,
                clip_seconds=self.limits.clip_seconds,
                clips=self.limits.clips_per_request,
                name_length=self.limits.name_length,
            ),
        )

    def enroll(self, name: str, clips: Sequence[LoadedClip]) -> schemas.State:
        """Add clips to a class, new or not, of a ``checked_name``. Raises ApiError if the bundle would be too full."""
        classes = self.backend.classes
        if name not in classes and len(classes) >= self.limits.classes:
            raise ApiError(409, f"The bundle has {len(classes)} classes, the maximum. Remove one first.")
        if sum(map(self._clip_count, classes)) + len(clips) > self.limits.total_clips:
            raise ApiError(409, f"The bundle would have more than {self.limits.total_clips} clips, the maximum.")
        self.backend.enroll(name, clips)
        self._on_change()
        return self.state()

    def remove(self, name: str) -> schemas.State:
        """Remove a class. Raises ApiError if it is not enrolled."""
        self._check_enrolled(name)
        self.backend.remove(name)
        self._on_change()
        return self.state()

    def rename(self, name: str, new_name: str) -> schemas.State:
        """Give a class another name. Raises ApiError if it is not enrolled, or if another class has the new name."""
        self._check_enrolled(name)
        new_name = self.checked_name(new_name)
        if new_name != name:
            if new_name in self.backend.classes:
                raise ApiError(409, f"A class “{new_name}” already exists.")
            self.backend.rename(name, new_name)
            self._on_change()
        return self.state()

    def classify(self, clip: LoadedClip) -> schemas.ClassifyReply:
        """Answer for one clip, with its picture and its point on the map. Raises ApiError if no class is enrolled."""
        if not self.backend.classes:
            raise ApiError(409, "No class is enrolled yet. Enroll one first.")
        answer, embedding = self.backend.classify_with_embeddings([clip])[0]
        ranking = sorted(answer.probabilities.items(), key=lambda entry: -entry[1])
        components, _ = self._current_map()
        x, y = components.project(embedding)
        return schemas.ClassifyReply(
            label=answer.label if answer.label in answer.probabilities else None,
            best=answer.best,
            probabilities=[schemas.Probability(name=name, probability=value) for name, value in ranking],
            unknown_score=answer.unknown_score,
            unknown_threshold=self.backend.unknown_threshold,
            seconds=clip.seconds,
            segments=answer.segments,
            picture=clip_picture(clip.segments, self.backend.preprocessing),
            point=schemas.Point(x=x, y=y),
            revision=self._revision,
        )

    def embedding_map(self) -> schemas.EmbeddingMap:
        """The enrolled clips on their first two principal axes."""
        if not self.backend.classes:
            return schemas.EmbeddingMap(points=[], explained=[0, 0], revision=0)
        return self._current_map()[1]

    def diagnosis(self) -> schemas.Findings:
        """What the leave-one-out diagnosis says about the enrolled clips."""
        return schemas.Findings(findings=checkup_findings(self.backend.diagnose()) if self.backend.classes else [])

    def bundle(self) -> IO[bytes]:
        """The bundle as a zip archive: a temporary file, positioned at its start, that the caller closes."""
        archive = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-bundle-") as parent:
                folder = Path(parent) / BUNDLE_NAME
                self.backend.save(folder)
                with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # weights do not compress
                    for path in sorted(folder.rglob("*")):
                        file.write(path, path.relative_to(parent))
            archive.seek(0)
        except BaseException:
            archive.close()
            raise
        return archive

    def checked_name(self, name: str) -> str:
        """A class name without blanks around it. Raises ApiError if it is too long or not printable."""
        name = name.strip()
        if not 1 <= len(name) <= self.limits.name_length:
            raise ApiError(422, f"A class name has 1 to {self.limits.name_length} characters, not {len(name)}.")
        if not name.isprintable():
            raise ApiError(422, "A class name consists of printable characters.")
        return name

    def _check_enrolled(self, name: str) -> None:
        if name not in self.backend.classes:
            raise ApiError(404, f"There is no class “{name}”.")

    def _clip_count(self, name: str) -> int:
        return len(self.backend.clips(name))

    def _on_change(self) -> None:
        self._revision += 1
        self._map = None
        self.unsaved += 1
        if self.folder is None:
            return
        try:
            self.backend.save(self.folder)
        except (OSError, FewShotError) as error:  # the change itself is made; the page tells that it is not on disk
            log.error("%s: not saved: %s", self.folder, error)
            self.save_error = "The last change could not be written to the bundle's folder; the server's log says why."
        else:
            self.unsaved, self.save_error = 0, None

    def _current_map(self) -> tuple[PrincipalComponents, schemas.EmbeddingMap]:
        if self._map is None:
            embeddings = {name: self.backend.support_embeddings(name) for name in self.backend.classes}
            components = PrincipalComponents.fit(np.concatenate(list(embeddings.values())))
            points = [
                schemas.MapPoint(name=name, x=x, y=y)
                for name, rows in embeddings.items()
                for x, y in components.project(rows).tolist()
            ]
            explained = list(components.explained)
            self._map = components, schemas.EmbeddingMap(points=points, explained=explained, revision=self._revision)
        return self._map
