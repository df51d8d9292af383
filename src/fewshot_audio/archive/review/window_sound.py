"""The sound of a window, decoded from the archive: from the file that was indexed, and from no other one."""

from pathlib import Path

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.recordings import locate
from fewshot_audio.audio.decode import decode
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.errors import DataError, on_one_line


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
