"""List the recordings among the files and folders that a person names."""

import os
from collections.abc import Iterable
from pathlib import Path

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.errors import DataError, plural


def list_recordings(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """List the files among ``paths``, and the sound files at any depth in the folders among them.

    Hidden files in folders do not count as recordings. A file that is named itself need not exist, nor have the
    extension of a sound file: reading it reports what is wrong. So it does for a folder that cannot be read.

    Returns:
        The recordings in order, without duplicates; and the number of other files in the folders.

    Raises:
        DataError: a folder holds no sound file.
    """
    recordings: dict[Path, None] = {}
    others = 0
    for path in paths:
        if not path.is_dir():
            recordings[path] = None
            continue
        errors: list[OSError] = []
        folders = os.walk(path, onerror=errors.append)
        files = sorted(Path(folder) / name for folder, _, names in folders for name in names)
        unreadable = [Path(error.filename) for error in errors]
        sounds = [file for file in files if is_audio(file) and not file.name.startswith(".")]
        others += len(files) - len(sounds)
        if not sounds and not unreadable:
            raise DataError(f"{path}: no sound files in it ({plural(len(files), 'other file')})")
        recordings |= dict.fromkeys(sounds + unreadable)
    return list(recordings), others
