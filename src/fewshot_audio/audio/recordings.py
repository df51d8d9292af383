"""Which of the files that a person names, and of those in folders, are recordings."""

import os
from collections.abc import Iterable
from pathlib import Path

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.errors import DataError


def list_recordings(paths: Iterable[Path]) -> tuple[list[Path], int]:
    """List files as they are named, and the sound files in folders and below.

    Hidden files in folders are no recordings. Whether a named file exists is found out when it is read.

    Returns:
        The recordings, in order, each once; and the number of other files in the folders.

    Raises:
        DataError: a folder holds no sound file.
    """
    recordings: dict[Path, None] = {}
    others = 0
    for path in paths:
        if not path.is_dir():
            recordings[path] = None
            continue
        files = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        sounds = [file for file in files if is_audio(file) and not file.name.startswith(".")]
        others += len(files) - len(sounds)
        if not sounds:
            raise DataError(f"{path}: no sound files in it ({len(files)} other files)")
        recordings |= dict.fromkeys(sounds)
    return list(recordings), others
