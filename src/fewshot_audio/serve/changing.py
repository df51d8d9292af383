"""Changes that clients make to the recognizer: checked, counted, saved and taken back. One thread at a time."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePath

from fewshot_audio.errors import plural
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.recognition.changes import MOST_UNDONE
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import ApiError, Conflict
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.revisions import Revisions
from fewshot_audio.serve.saving import BundleFolder
from fewshot_audio.serve.state import recognizer_state

BACKGROUND_KEY = ""  # stands for the background among the names of classes, which are never blank
LOOK_AGAIN = "so this change was not made. Look at the classes as they are now, and repeat it if it still fits."
CHANGED_ELSEWHERE = f"Another program has changed the bundle, {LOOK_AGAIN}"


class ChangingService:
    """The part of a ``RecognizerService`` that changes the recognizer.

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
        self._done: deque[str] = deque(maxlen=MOST_UNDONE)  # changes that can be undone, in words
        self._map: tuple[PrincipalComponents, schemas.EmbeddingMap] | None = None  # of the current revision
        self._findings: schemas.Findings | None = None  # of the current revision

    def enroll(self, name: str, clips: Sequence[LoadedClip]) -> tuple[schemas.State, list[schemas.DuplicateClip]]:
        """Add clips to a class, new or not, of a ``checked_name``.

        Returns:
            The new state, and those of the clips that were enrolled before.

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
        places = self._places()
        self.backend.enroll(name, clips)
        duplicates = []
        for number, row in enumerate(self.backend.support_embeddings(name)[-len(clips) :]):
            if row.tobytes() in places:
                own, clip = places[row.tobytes()]
                duplicates.append(schemas.DuplicateClip(clip=number, name=own, enrolled_as=clip))
            places.setdefault(row.tobytes(), (name, clips[number].name))
        return self._on_change(f"{plural(len(clips), 'clip')} added to “{name}”", name), duplicates

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
        return self._on_change(f"“{name}” removed", name)

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
        return self._on_change(f"“{name}” renamed to “{new_name}”", name, new_name)

    def ignore(self, name: str, ignored: bool, revision: int | None = None) -> schemas.State:
        """Let a class never be an answer, or again be one; raises as ``remove`` does."""
        self._check_class(name, revision)
        self.backend.ignore(name, ignored)
        return self._on_change(f"“{name}” {'ignored' if ignored else 'no longer ignored'}", name)

    def remove_clip(self, name: str, clip: str, revision: int | None = None) -> schemas.State:
        """Remove a clip of a class, and the class if it is its only one; raises as ``remove`` does."""
        self._check_clip(name, clip, revision)
        self.backend.remove(name, clip if self._clip_count(name) > 1 else None)
        return self._on_change(f"“{clip}” of “{name}” removed", name)

    def rename_clip(self, name: str, clip: str, new: str, revision: int | None = None) -> schemas.State:
        """Give a clip of a class another name; raises as ``remove`` does, and Conflict if the name is taken."""
        self._check_clip(name, clip, revision)
        new = self.checked_name(new)
        if new != clip and new in self._clip_names(name):
            raise self._conflict(f"“{name}” has a clip “{new}” already.")
        self.backend.rename_clip(name, clip, new)
        return self._on_change(f"“{clip}” renamed to “{new}”", name)

    def move_clip(self, name: str, clip: str, new_class: str, revision: int | None = None) -> schemas.State:
        """Put a clip into another class, new or not; raises as ``remove`` does, and Conflict if there are too many."""
        self._check_clip(name, clip, revision)
        new_class = self.checked_name(new_class)
        if new_class == name:
            return self._state()
        if new_class not in self.backend.classes and len(self.backend.classes) >= self.limits.classes:
            raise self._conflict(f"The bundle has {len(self.backend.classes)} classes, the maximum. Remove one first.")
        self.backend.move_clip(name, clip, new_class)
        return self._on_change(f"“{clip}” moved from “{name}” to “{new_class}”", name, new_class)

    def undo(self, revision: int | None = None) -> schemas.State:
        """Take the last change back.

        Args:
            revision: of the state that the client saw; None takes any change back.

        Raises:
            Conflict: there is none to be taken back, the state has changed since, or another program has changed it.
        """
        self._refuse_if_taken_over()
        if not self._done:
            raise self._conflict("There is nothing to undo.")
        if revision is not None and revision != self._revisions.latest:
            raise self._conflict(f"Something has changed since you saw it, {LOOK_AGAIN}")
        before = self._contents()
        self.backend.undo()
        after = self._contents()
        self._done.pop()
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return self._on_change(None, *changed)

    def enroll_background(self, clips: Sequence[LoadedClip]) -> schemas.State:
        """Add recordings to the background. Raises as ``enroll`` does."""
        self._refuse_if_taken_over()
        self._check_preprocessing()
        if len(self.backend.background) + len(clips) > self.limits.background_clips:
            most = self.limits.background_clips
            raise self._conflict(f"The background would have more than {most} recordings, the maximum.")
        self.backend.enroll_background(clips)
        return self._on_change(f"{plural(len(clips), 'recording')} added to the background", BACKGROUND_KEY)

    def remove_background(self, clip: str, revision: int | None = None) -> schemas.State:
        """Remove a recording from the background, as it was at the revision. Raises as ``remove`` does."""
        self._refuse_if_taken_over()
        is_there = any(own.name == clip for own in self.backend.background)
        if revision is not None and not (is_there and self._revisions.is_current(BACKGROUND_KEY, revision)):
            raise self._conflict(f"The background has changed since you saw it, {LOOK_AGAIN}")
        if not is_there:
            raise ApiError(404, f"The background has no recording “{clip}”.")
        self.backend.remove_background(clip)
        return self._on_change(f"“{clip}” removed from the background", BACKGROUND_KEY)

    def learn(self, teach: Callable[[], bool], lesson: str) -> schemas.State:
        """Let the recognizer learn something by one change, which ``undo`` takes back.

        Args:
            teach: does so; whether that has changed anything.
            lesson: what is learned, in words.

        Raises:
            Conflict: another program has changed the bundle.
        """
        self._refuse_if_taken_over()
        before = self._contents()
        if not teach():
            return self._state()
        after = self._contents()
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return self._on_change(lesson, *changed)

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

    def _state(self) -> schemas.State:
        undoable = self._done[-1] if self._done else None
        return recognizer_state(self.backend, self.folder, self._revisions.latest, self.limits, undoable)

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

    def _check_clip(self, name: str, clip: str, revision: int | None) -> None:
        self._check_class(name, revision)
        self._check_clip_is_there(name, clip)

    def _check_clip_is_there(self, name: str, clip: str) -> None:
        if name not in self.backend.classes:
            raise ApiError(404, f"There is no class “{name}”.")
        if clip not in self._clip_names(name):
            raise ApiError(404, f"“{name}” has no clip “{clip}”.")

    def _take_over(self, *, undo: int = 0) -> bool:
        """Take over what another program has saved into the folder; whether there was something."""
        if not undo and self.folder.is_current():
            return False
        before = self._contents()
        if not self.folder.refresh(undo=undo):
            return False
        after = self._contents()
        self._done.clear()
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

    def _places(self) -> dict[bytes, tuple[str, str]]:
        """Class and name of each enrolled clip by its embedding, which the same recording has again."""
        return {
            row.tobytes(): (name, clip)
            for name in self.backend.classes
            for clip, row in zip(self._clip_names(name), self.backend.support_embeddings(name), strict=True)
        }

    def _clip_count(self, name: str) -> int:
        return len(self.backend.clips(name))

    def _clip_names(self, name: str) -> list[str]:
        return [clip.name for clip in self.backend.clips(name)]

    def _on_change(self, change: str | None, *names: str) -> schemas.State:
        """Count and save a change of these classes, and return the new state; ``change`` says what can be undone."""
        self._count_change(names)
        if change:
            self._done.append(change)
        if not self.folder.save() and self._take_over(undo=1):
            raise self._conflict(CHANGED_ELSEWHERE)
        return self._state()

    def _count_change(self, names: Collection[str]) -> None:
        self._revisions.add(names, [*self.backend.classes, BACKGROUND_KEY])
        self._map = self._findings = None
