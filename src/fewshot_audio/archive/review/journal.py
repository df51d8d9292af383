"""The journal of a review: a line of JSON for each choice, on the disk before it is answered."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fewshot_audio.archive.review.choices import Choice, choice_of
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes, locked, read_bounded, write_bytes

LARGEST = 256 << 20  # bytes
MOST = 500_000  # choices


def journal_beside(bundle: Path) -> Path:
    """The journal of the reviews of a bundle."""
    folder = bundle.absolute()
    return folder.with_name(f"{folder.name}.review.jsonl")


class ChoiceJournal:
    """All choices that were made, in their order; used by one process, and one thread, at a time.

    A process that is killed, or a disk that is full, leaves every choice that ``add`` has returned for. What it was
    about to write then is dropped when the journal is opened again.

    Args:
        path: the file, which need not exist; None keeps choices in memory.

    Attributes:
        choices: that were made.

    Raises:
        DataError: the file is too large, a line is no choice (says which), or another process has it open.
        WriteError: the file cannot be written.

    Example:
        >>> with ChoiceJournal(None) as journal:
        ...     len(journal.choices)
        0
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.choices: list[Choice] = []
        self._size = 0
        self._open = ExitStack()
        if path is None:
            return
        in_use = DataError(f"{path}: another process has this review open")
        self._open.enter_context(locked(path.with_name(f".{path.name}.lock"), in_use))
        try:
            self._read(path)
        except BaseException:
            self.close()
            raise

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        content = read_bounded(path, LARGEST)
        whole, newline, rest = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if newline else (), start=1):
            if number > MOST:
                raise DataError(f"{path}: more than {MOST} choices")
            try:
                values = json.loads(line)
                self.choices.append(choice_of(values if isinstance(values, dict) else {}))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: no JSON") from error
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
        self._size = len(content) - len(rest)
        if rest:  # a killed process was writing it
            write_bytes(path, content[: self._size], sync=True)

    def add(self, choices: Sequence[Choice]) -> None:
        """Record choices: all of them or, if this raises, none.

        Raises:
            DataError: there would be too many.
            WriteError: they cannot be written.
        """
        if len(self.choices) + len(choices) > MOST:
            raise DataError(f"{self.path or 'the review'}: more than {MOST} choices")
        if self.path is not None and choices:
            lines = "".join(json.dumps(choice.values(), ensure_ascii=False) + "\n" for choice in choices).encode()
            if self._size + len(lines) > LARGEST:
                raise DataError(f"{self.path}: more than {LARGEST} bytes")
            with explained_writes(self.path):
                self._append(self.path, lines)
        self.choices += choices

    def _append(self, path: Path, lines: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        with os.fdopen(descriptor, "ab", buffering=0) as stream:
            try:
                rest = memoryview(lines)
                while rest:
                    rest = rest[stream.write(rest) :]
                os.fsync(stream.fileno())
            except OSError:
                with suppress(OSError):
                    stream.truncate(self._size)
                raise
        self._size += len(lines)

    def close(self) -> None:
        """Let other processes have it."""
        self._open.close()

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
