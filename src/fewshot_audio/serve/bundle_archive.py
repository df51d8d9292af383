"""A recognizer's bundle as one zip archive."""

import tempfile
import zipfile
from pathlib import Path
from typing import IO

from fewshot_audio.errors import WriteError
from fewshot_audio.serve.api_errors import no_space
from fewshot_audio.serve.backend import Backend

BUNDLE_NAME = "recognizer"


def pack_bundle(backend: Backend, *, with_audio: bool = False) -> tuple[IO[bytes], int]:
    """Pack a bundle into a temporary file, with the kept sound of clips only if asked for.

    Returns:
        The file, positioned at its start, that the caller closes; and its size.

    Raises:
        HTTPException: the folder for temporary files has no space for it.
    """
    try:
        archive = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-bundle-") as parent:
                folder = Path(parent) / BUNDLE_NAME
                backend.save_copy(folder, with_audio=with_audio)
                with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:  # weights do not compress
                    for path in sorted(folder.glob("[!.]*")):  # not the lock of its writers
                        file.write(path, path.relative_to(parent))
            archive.flush()
            size = archive.tell()
            archive.seek(0)
        except BaseException:
            archive.close()
            raise
    except OSError as error:
        raise no_space("The bundle cannot be packed", error) from error
    except WriteError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else OSError(0, "a file cannot be written")
        raise no_space("The bundle cannot be packed", cause) from error
    return archive, size
