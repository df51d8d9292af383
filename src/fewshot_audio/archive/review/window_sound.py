"""The sound of a window, decoded from the archive: from the file that was indexed, and from no other one."""

from pathlib import Path

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.recordings import locate
from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError, on_one_line

MOST_TRIED = 100  # recordings that are looked for


def check_archive(index: Index, archive: Path) -> None:
    """Raise DataError if none of the first recordings of an index is in the archive's folder."""
    tried = [recording.file for recording in index.recordings if recording.windows][:MOST_TRIED]
    if not any((archive / name).exists() for name in tried):
        named = f"such as {on_one_line(tried[0])!r}" if tried else "that can be used"
        raise DataError(f"{index.folder}: no recording, {named}, is below {archive}: name their folder by --archive")


def window_sound(index: Index, window: int, archive: Path) -> Samples:
    """Exactly the part of the recording that was embedded, at the index's rate.

    Args:
        index: the index.
        window: its number.
        archive: folder that names of recordings are below; nothing outside of it is read, through links neither.

    Returns:
        Samples (samples,), mono float32.

    Raises:
        DataError: the file is not there, leads outside of the archive, has changed since it was indexed, or cannot be
            decoded; names it.
    """
    if not 0 <= window < len(index):
        raise DataError(f"{index.folder}: there is no window {window}, expected 0 to {len(index) - 1}")
    recording, start, end = index.times(window)
    path = locate(archive, recording.file)
    shown = on_one_line(recording.file)
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{shown}: cannot be read in the archive: {error.strerror or error}") from error
    if (status.st_size, status.st_mtime_ns) != (recording.size, recording.modified):
        raise DataError(f"{shown}: has changed since it was indexed: run `fewshot-audio index` again")
    try:
        samples, _ = decode(path, index.description.rate, (start, end))
    except Rejected as error:
        raise DataError(f"{shown}: {error}") from error
    return samples
