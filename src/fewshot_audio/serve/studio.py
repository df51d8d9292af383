"""The recognizer behind the server: its changes, its limits, its bundle. Used by one thread at a time."""

import logging
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from fewshot_audio import __version__
from fewshot_audio.audio.decode import Samples
from fewshot_audio.errors import FewShotError
from fewshot_audio.functional.pca import Plane
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.findings import findings
from fewshot_audio.serve.limits import Limits
from fewshot_audio.serve.messages import (
    Classified,
    ClassInfo,
    EmbeddingMap,
    Enrolled,
    Findings,
    Granted,
    MapPoint,
    Point,
    Probability,
    RejectedClip,
    State,
)
from fewshot_audio.serve.pictures import picture
from fewshot_audio.serve.refusals import Refusal

log = logging.getLogger(__name__)

BUNDLE_NAME = "recognizer"


class Studio:
    """A recognizer that clients change and ask.

    Args:
        backend: the recognizer.
        limits: what clients may make it hold.
        folder: the bundle's folder, into which every change is saved; None keeps changes in memory.
    """

    def __init__(self, backend: Backend, limits: Limits, folder: Path | None) -> None:
        self.backend = backend
        self.limits = limits
        self.folder = folder
        self.unsaved = 0
        self.save_error: str | None = None
        self._revision = 0
        self._map: tuple[Plane, EmbeddingMap] | None = None

    def state(self) -> State:
        """What is enrolled, what is saved, what is granted."""
        preprocessing = self.backend.preprocessing
        return State(
            version=__version__,
            sample_rate=preprocessing.sample_rate,
            segment_seconds=preprocessing.segment_seconds,
            classes=[ClassInfo(name=name, clips=self._clips(name)) for name in self.backend.classes],
            revision=self._revision,
            unsaved=self.unsaved,
            unknown=self.backend.unknown_threshold is not None,
            saves=self.folder is not None,
            save_error=self.save_error,
            limits=Granted(
                upload_bytes=self.limits.upload_bytes,
                clip_seconds=self.limits.clip_seconds,
                clips=self.limits.clips,
                name_length=self.limits.name_length,
            ),
        )

    def enroll(self, name: str, clips: Sequence[Samples], rejected: Sequence[RejectedClip]) -> Enrolled:
        """Add clips to a class, which is new or not. Raises Refusal for a name or number that is not granted."""
        name = self.checked_name(name)
        known = self.backend.classes
        if name not in known and len(known) >= self.limits.classes:
            raise Refusal(409, f"The bundle holds {len(known)} classes, which is the most. Remove one first.")
        if sum(map(self._clips, known)) + len(clips) > self.limits.clips_in_all:
            raise Refusal(409, f"The bundle would hold more than {self.limits.clips_in_all} clips, which is the most.")
        self.backend.enroll(name, clips)
        self._changed()
        return Enrolled(name=name, enrolled=len(clips), rejected=list(rejected), state=self.state())

    def remove(self, name: str) -> State:
        """Forget a class."""
        self._check_known(name)
        self.backend.remove(name)
        self._changed()
        return self.state()

    def rename(self, name: str, new_name: str) -> State:
        """Give a class another name, which no other class has."""
        self._check_known(name)
        new_name = self.checked_name(new_name)
        if new_name != name:
            if new_name in self.backend.classes:
                raise Refusal(409, f"There is a class “{new_name}” already.")
            self.backend.rename(name, new_name)
            self._changed()
        return self.state()

    def classify(self, samples: Samples) -> Classified:
        """Answer one clip, with its picture and its place on the map."""
        if not self.backend.classes:
            raise Refusal(409, "No class is enrolled yet: teach it a sound first.")
        answer, embedding = self.backend.classify_with_embeddings([samples])[0]
        ranked = sorted(answer.probabilities.items(), key=lambda entry: -entry[1])
        plane, _ = self._mapped()
        x, y = plane.place(embedding)
        return Classified(
            label=answer.label if answer.label in answer.probabilities else None,
            best=answer.best,
            probabilities=[Probability(name=name, probability=value) for name, value in ranked],
            unknown_score=answer.unknown_score,
            unknown_threshold=self.backend.unknown_threshold,
            seconds=len(samples) / self.backend.preprocessing.sample_rate,
            segments=answer.segments,
            picture=picture(samples, self.backend.preprocessing),
            point=Point(x=x, y=y),
            revision=self._revision,
        )

    def embedding_map(self) -> EmbeddingMap:
        """Where the enrolled clips lie."""
        return self._mapped()[1] if self.backend.classes else EmbeddingMap(points=[], explained=[0, 0], revision=0)

    def diagnosis(self) -> Findings:
        """What the recognizer thinks of its clips."""
        return Findings(findings=findings(self.backend.diagnose()) if self.backend.classes else [])

    def bundle(self) -> IO[bytes]:
        """The bundle as a zip archive, in a temporary file at its start."""
        archive = tempfile.TemporaryFile()  # noqa: SIM115 - the caller sends and closes it
        try:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-bundle-") as scratch:
                folder = Path(scratch) / BUNDLE_NAME
                self.backend.save(folder)
                with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # weights do not compress
                    for path in sorted(folder.rglob("*")):
                        file.write(path, path.relative_to(scratch))
            archive.seek(0)
        except BaseException:
            archive.close()
            raise
        return archive

    def checked_name(self, name: str) -> str:
        """A class name as it is kept. Raises Refusal for one that nobody could read."""
        name = name.strip()
        if not 1 <= len(name) <= self.limits.name_length:
            raise Refusal(422, f"A class name has 1 to {self.limits.name_length} characters; this one has {len(name)}.")
        if not name.isprintable():
            raise Refusal(422, "A class name consists of printable characters.")
        return name

    def _check_known(self, name: str) -> None:
        if name not in self.backend.classes:
            raise Refusal(404, f"There is no class “{name}”.")

    def _clips(self, name: str) -> int:
        return len(self.backend.clips(name))

    def _changed(self) -> None:
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

    def _mapped(self) -> tuple[Plane, EmbeddingMap]:
        if self._map is None:
            embeddings = {name: self.backend.support_embeddings(name) for name in self.backend.classes}
            plane = Plane.fit(np.concatenate(list(embeddings.values())))
            points = [
                MapPoint(name=name, x=x, y=y)
                for name, rows in embeddings.items()
                for x, y in plane.place(rows).tolist()
            ]
            shown = EmbeddingMap(points=points, explained=list(plane.explained), revision=self._revision)
            self._map = plane, shown
        return self._map
