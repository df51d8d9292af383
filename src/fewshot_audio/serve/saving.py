"""The bundle's folder behind a server: what is not in it yet, and what another program wrote into it."""

import logging
from pathlib import Path

from fewshot_audio.errors import FewShotError
from fewshot_audio.recognition.bundle import BundleChanged
from fewshot_audio.serve.backend import Backend

log = logging.getLogger(__name__)


class BundleFolder:
    """Saves a recognizer's changes, and takes over those of other programs.

    No error of the disk reaches the client's request: a change that is not saved stays in memory, is counted, and is
    saved with the next one.

    Args:
        backend: the recognizer.
        path: the bundle's folder; None keeps changes in memory.
    """

    def __init__(self, backend: Backend, path: Path | None) -> None:
        self.path = path
        self.unsaved = 0
        self._backend = backend
        self._write_error: str | None = None
        self._read_error: str | None = None

    @property
    def error(self) -> str | None:
        """Why changes are not in the folder, or the folder's not here; None if all is well."""
        return self._write_error or self._read_error

    def is_current(self) -> bool:
        """Whether no other program has changed the folder."""
        if self.path is None:
            return True
        try:
            current = self._backend.is_current(self.path)
        except Exception as error:  # noqa: BLE001 - whatever a library raises: it is logged and told
            self._report_unreadable(error)
            return True
        if current:
            self._read_error = None
        return current

    def refresh(self, *, undo: int = 0) -> bool:
        """Read the folder again, and make the unsaved changes anew, except the last ``undo`` ones.

        Returns:
            Whether that was possible; if not, the recognizer is what it was, and ``error`` says why.
        """
        assert self.path is not None
        try:
            self._backend.refresh(self.path, undo=undo)
        except Exception as error:  # noqa: BLE001 - as above
            self._report_unreadable(error)
            return False
        self.unsaved -= undo
        self._read_error = None
        return True

    def save(self) -> bool:
        """Save the recognizer after one more change.

        Returns:
            False if another program has changed the folder meanwhile: nothing is saved; True otherwise, also if
            nothing is saved for another reason.
        """
        self.unsaved += 1
        return self._write()

    def save_rest(self) -> None:
        """Try once more to save what could not be saved, at the server's end."""
        if self.path is None or not self.unsaved:
            return
        if self.is_current() or self.refresh():
            self._write()

    def _write(self) -> bool:
        if self.path is None:
            return True
        try:
            self._backend.save(self.path)
        except BundleChanged:
            return False
        except Exception as error:  # whatever a library raises: the change itself is made
            log.exception("%s: not saved", self.path)
            self._write_error = (
                f"The last change could not be written to the bundle's folder: {self._reason(error)}. It is kept in "
                "memory; the next change writes it too."
            )
        else:
            self.unsaved = 0
            self._write_error = None
        return True

    def _report_unreadable(self, error: Exception) -> None:
        message = (
            "Another program has changed the bundle's folder, and its state cannot be joined with the one here: "
            f"{self._reason(error)}. Download the bundle to keep the state here."
        )
        if message != self._read_error:  # once, not with every request
            log.error("%s: not read", self.path, exc_info=error)
        self._read_error = message

    def _reason(self, error: BaseException) -> str:
        """Say in words why the disk failed, without the server's paths."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.strerror:
                return cause.strerror
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, FewShotError):
            return str(error).replace(str(self.path), "the folder").rstrip(".")
        return f"an unexpected {type(error).__name__}, which the server's log shows"
