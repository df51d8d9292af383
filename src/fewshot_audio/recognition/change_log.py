"""Which changes a bundle's folder lacks, so that they can be made on what another program has saved there."""

from pathlib import Path
from typing import NamedTuple

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle.folder import BundleState, current_digest
from fewshot_audio.recognition.changes import AddBackground, AddClips, Change, Learn, Restore
from fewshot_audio.recognition.enrolled import EnrolledSounds

MAX_UNSAVED = 10_000  # changes


class _Saved(NamedTuple):
    state: BundleState
    changes: int  # how many of the log's changes the folder holds


class ChangeLog:
    """The bundle folders that a recognizer was read from or written to, and the changes that each of them lacks."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._saved: dict[Path, _Saved] = {}

    def add(self, change: Change) -> None:
        """Record a change, if there is a folder that lacks it now."""
        if self._saved:
            self._changes.append(change)
        if len(self._changes) > MAX_UNSAVED:  # nobody saves: forget the folders, whose next states could not be joined
            self._changes, self._saved = [], {}

    @property
    def revision(self) -> int:
        """Of the folder that was read or written last; 0 if there is none."""
        return next(reversed(self._saved.values())).state.revision if self._saved else 0

    def state(self, folder: Path) -> BundleState | None:
        """The state in which a folder was read or written last; None if it was not."""
        saved = self._saved.get(folder.resolve())
        return saved.state if saved else None

    def saved(self, folder: Path, state: BundleState) -> None:
        """A folder holds all changes, in that state."""
        self._saved.pop(folder.resolve(), None)  # the latest one comes last
        self._saved = {path: saved for path, saved in self._saved.items() if path.exists()}  # others lack nothing
        self._saved[folder.resolve()] = _Saved(state, len(self._changes))
        needed = min(saved.changes for saved in self._saved.values())
        self._changes = self._changes[needed:]
        self._saved = {path: _Saved(saved.state, saved.changes - needed) for path, saved in self._saved.items()}

    def is_current(self, folder: Path) -> bool:
        """Whether a folder holds the state in which it was read or written last; True if it holds no bundle."""
        state, digest = self.state(folder), current_digest(folder)
        return digest is None or (state is not None and digest == state.digest)

    def on_another_state(
        self, folder: Path, state: BundleState, sounds: EnrolledSounds, undo: int, *, same_encoders: bool = True
    ) -> EnrolledSounds:
        """Make the unsaved changes, but for the last ``undo``, on what a folder holds now.

        Raises:
            DataError: the network or the frozen encoders are other ones, or a change cannot be made; nothing has
                changed.
        """
        saved = self._saved.get(folder.resolve())
        unsaved = self._changes[saved.changes :] if saved else []
        kept = unsaved[: len(unsaved) - undo]
        if any(isinstance(change, AddClips | AddBackground | Learn | Restore) for change in kept):
            if saved and saved.state.model != state.model:
                raise DataError(f"{folder}: holds another network now: clips have to be enrolled again for it")
            if not same_encoders:
                raise DataError(f"{folder}: has other encoders now: clips have to be enrolled again for them")
        for change in kept:
            sounds = change.apply(sounds)
        self._changes = kept
        self._saved = {folder.resolve(): _Saved(state, 0)}
        return sounds
