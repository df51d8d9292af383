"""Atomic writes: a reader sees the old file or the new one, never a half-written one."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file by calling ``write(stream)`` on a temporary sibling, then replacing ``path`` with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
        Path(name).chmod(0o644)  # mkstemp makes private files; results are meant to be read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""
    write_atomic(path, lambda stream: stream.write(data))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically: indented, final newline, no NaN."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def clear_leftovers(folder: Path) -> None:
    """Remove temporary files that killed writes left in ``folder`` and below; nobody else may be writing there."""
    for leftover in folder.rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)
