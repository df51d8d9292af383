"""The recognizer behind the server: its changes, its limits, its bundle. Used by one thread at a time."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import IO

import numpy as np

from fewshot_audio import __version__
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import ApiError, Conflict
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.bundle_archive import pack_bundle
from fewshot_audio.serve.checkup import checkup_findings
from fewshot_audio.serve.clip_picture import clip_picture
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.revisions import Revisions
from fewshot_audio.serve.saving import BundleFolder

BACKGROUND_KEY = ""  # stands for the background among the names of classes, which are never blank
LOOK_AGAIN = "so this change was not made. Look at the classes as they are now, and repeat it if it still fits."
CHANGED_ELSEWHERE = f"Another program has changed the bundle, {LOOK_AGAIN}"


class RecognizerService:
    """A recognizer that clients change and ask. What another program changes in its folder is taken over first.

    Args:
        backend: the recognizer.
        limits: bounds on what clients may enroll.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
    """

    def __init__(self, backend: Backend, limits: ServerLimits, folder: Path | None) -> None:
        self.backend = backend
        self.limits = limits
        self.folder = BundleFolder(backend, folder)
        self._preprocessing = backend.preprocessing  # by which clips are loaded
        self._revisions = Revisions()
        self._map: tuple[PrincipalComponents, schemas.EmbeddingMap] | None = None  # of the current revision
        self._findings: schemas.Findings | None = None  # of the current revision

    def state(self) -> schemas.State:
        """The enrolled classes, unsaved changes, and the limits that clients can check."""
        self._take_over()
        return self._state()

    def enroll(self, name: str, clips: Sequence[LoadedClip]) -> schemas.State:
        """Add clips to a class, new or not, of a ``checked_name``.

        Raises:
            Conflict: the bundle would be too full, or another program has changed it.
        """
        self._refuse_if_taken_over()
        self._check_preprocessing()
        classes = self.backend.classes
        if name not in classes and len(classes) >= self.limits.classes:
            raise self._conflict(f"The bundle has {len(classes)} classes, the maximum. Remove one first.")
        if sum(map(self._clip_count, classes)) + len(clips) > self.limits.total_clips:
            raise self._conflict(f"The bundle would have more than {self.limits.total_clips} clips, the maximum.")
        self.backend.enroll(name, clips)
        return self._on_change(name)

    def remove(self, name: str, revision: int | None = None) -> schemas.State:
        """Remove a class.

        Args:
            name: the class.
            revision: of the state in which the client saw it; None removes any class of that name.

        Raises:
            ApiError: it is not enrolled.
            Conflict: it has changed since that revision, or another program has changed the bundle.
        """
        self._check_class(name, revision)
        self.backend.remove(name)
        return self._on_change(name)

    def rename(self, name: str, new_name: str, revision: int | None = None) -> schemas.State:
        """Give a class another name.

        Args:
            name: the class.
            new_name: its new name.
            revision: of the state in which the client saw it; None renames any class of that name.

        Raises:
            ApiError: it is not enrolled.
            Conflict: another class has the new name; or as ``remove`` does.
        """
        self._check_class(name, revision)
        new_name = self.checked_name(new_name)
        if new_name == name:
            return self._state()
        if new_name in self.backend.classes:
            raise self._conflict(f"A class “{new_name}” already exists.")
        self.backend.rename(name, new_name)
        return self._on_change(name, new_name)

    def ignore(self, name: str, ignored: bool, revision: int | None = None) -> schemas.State:
        """Let a class never be an answer, or again be one; raises as ``remove`` does."""
        self._check_class(name, revision)
        self.backend.ignore(name, ignored)
        return self._on_change(name)

    def enroll_background(self, clips: Sequence[LoadedClip]) -> schemas.State:
        """Add recordings to the background. Raises as ``enroll`` does."""
        self._refuse_if_taken_over()
        self._check_preprocessing()
        if len(self.backend.background) + len(clips) > self.limits.background_clips:
            most = self.limits.background_clips
            raise self._conflict(f"The background would have more than {most} recordings, the maximum.")
        self.backend.enroll_background(clips)
        return self._on_change(BACKGROUND_KEY)

    def remove_background(self, clip: str, revision: int | None = None) -> schemas.State:
        """Remove a recording from the background, as it was at the revision. Raises as ``remove`` does."""
        self._refuse_if_taken_over()
        is_there = any(own.name == clip for own in self.backend.background)
        if revision is not None and not (is_there and self._revisions.is_current(BACKGROUND_KEY, revision)):
            raise self._conflict(f"The background has changed since you saw it, {LOOK_AGAIN}")
        if not is_there:
            raise ApiError(404, f"The background has no recording “{clip}”.")
        self.backend.remove_background(clip)
        return self._on_change(BACKGROUND_KEY)

    def classify(self, clip: LoadedClip) -> schemas.ClassifyReply:
        """Answer for one clip, with its picture and its point on the map. Raises Conflict if no class is enrolled."""
        self._take_over()
        self._check_preprocessing()
        if not self.backend.classes:
            raise self._conflict("No class is enrolled yet. Enroll one first.")
        if not self._has_answers():
            raise self._conflict("Every class is ignored: nothing can be an answer.")
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
            background=answer.background,
            seconds=clip.seconds,
            segments=answer.segments,
            damage=clip.damage,
            picture=clip_picture(clip.segments, self.backend.preprocessing),
            point=schemas.Point(x=x, y=y),
            revision=self._revisions.latest,
        )

    def embedding_map(self) -> schemas.EmbeddingMap:
        """The enrolled clips on their first two principal axes."""
        self._take_over()
        if not self.backend.classes:
            return schemas.EmbeddingMap(points=[], explained=[0, 0], revision=self._revisions.latest)
        return self._current_map()[1]

    def diagnosis(self) -> schemas.Findings:
        """What the leave-one-out diagnosis says about the enrolled clips."""
        self._take_over()
        if self._findings is None:
            findings = checkup_findings(self.backend.diagnose()) if self._has_answers() else []
            self._findings = schemas.Findings(findings=findings)
        return self._findings

    def bundle(self) -> tuple[IO[bytes], int]:
        """The bundle as a zip archive, and its size; see ``pack_bundle``.

        Raises:
            HTTPException: the folder for temporary files has no space for it.
        """
        self._take_over()
        return pack_bundle(self.backend)

    def checked_name(self, name: str) -> str:
        """A class name without blanks around it. Raises ApiError if it is too long or not printable."""
        name = name.strip()
        if not 1 <= len(name) <= self.limits.name_length:
            raise ApiError(422, f"A class name has 1 to {self.limits.name_length} characters, not {len(name)}.")
        if not name.isprintable():
            raise ApiError(422, "A class name consists of printable characters.")
        return name

    def clip_name(self, file_name: str) -> str:
        """A recording's name, by that of its file, which anybody may have chosen: short, and printable."""
        name = "".join(letter for letter in PurePath(file_name).name if letter.isprintable())
        return name[: self.limits.name_length].strip() or "recording"

    def close(self) -> None:
        """Try once more to save what could not be saved."""
        self.folder.save_rest()

    def _state(self) -> schemas.State:
        preprocessing = self.backend.preprocessing
        return schemas.State(
            version=__version__,
            sample_rate=preprocessing.recording_rate,
            segment_seconds=preprocessing.recording_seconds,
            classes=[
                schemas.ClassInfo(name=name, clips=self._clip_count(name), ignored=name in self.backend.ignored)
                for name in self.backend.classes
            ],
            background=[
                schemas.BackgroundInfo(name=clip.name, segments=clip.segments) for clip in self.backend.background
            ],
            revision=self._revisions.latest,
            unsaved=self.folder.unsaved,
            unknown=self.backend.unknown_threshold is not None,
            saves=self.folder.path is not None,
            save_error=self.folder.error,
            limits=schemas.ClientLimits(
                upload_bytes=self.limits.upload_bytes,
                recording_bytes=self.limits.recording_bytes,
                clip_seconds=self.limits.clip_seconds,
                clips=self.limits.clips_per_request,
                name_length=self.limits.name_length,
            ),
        )

    def _conflict(self, message: str) -> Conflict:
        return Conflict(message, self._state())

    def _check_preprocessing(self) -> None:
        if self.backend.preprocessing != self._preprocessing:
            raise ApiError(503, "The bundle was replaced by one that hears sounds otherwise. Restart the server.")

    def _check_class(self, name: str, revision: int | None) -> None:
        """Refuse to change a class that is not the one that a client means."""
        self._refuse_if_taken_over()
        is_enrolled = name in self.backend.classes
        if revision is not None and not (is_enrolled and self._revisions.is_current(name, revision)):
            raise self._conflict(f"“{name}” has changed since you saw it, {LOOK_AGAIN}")
        if not is_enrolled:
            raise ApiError(404, f"There is no class “{name}”.")

    def _take_over(self, *, undo: int = 0) -> bool:
        """Take over what another program has saved into the folder; whether there was something."""
        if not undo and self.folder.is_current():
            return False
        before = self._contents()
        if not self.folder.refresh(undo=undo):
            return False
        after = self._contents()
        self._count_change([name for name in after if before.get(name) != after[name]])
        return True

    def _refuse_if_taken_over(self) -> None:
        if self._take_over():
            raise self._conflict(CHANGED_ELSEWHERE)

    def _contents(self) -> dict[str, bytes]:
        """What each class consists of, to tell which classes have changed."""
        contents = {
            name: self.backend.support_embeddings(name).tobytes() + bytes([name in self.backend.ignored])
            for name in self.backend.classes
        }
        return {**contents, BACKGROUND_KEY: repr(list(self.backend.background)).encode()}

    def _has_answers(self) -> bool:
        return len(self.backend.ignored) < len(self.backend.classes)

    def _clip_count(self, name: str) -> int:
        return len(self.backend.clips(name))

    def _on_change(self, *names: str) -> schemas.State:
        self._count_change(names)
        if not self.folder.save() and self._take_over(undo=1):
            raise self._conflict(CHANGED_ELSEWHERE)
        return self._state()

    def _count_change(self, names: Collection[str]) -> None:
        self._revisions.add(names, [*self.backend.classes, BACKGROUND_KEY])
        self._map = self._findings = None

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
            self._map = (
                components,
                schemas.EmbeddingMap(points=points, explained=explained, revision=self._revisions.latest),
            )
        return self._map
