"""What remains of an error that nobody expected: its traceback in a log file, for a report."""

import os
import platform
import tempfile
import traceback
from datetime import datetime
from pathlib import Path

from fewshot_audio import __version__


def write_crash_log(error: BaseException, command: str) -> Path:
    """Write the traceback, versions and the name of the command; returns the file.

    Arguments and environment, which may hold an access token or private paths, are left out.
    """
    import platformdirs

    now = datetime.now().astimezone()
    lines = [
        f"fewshot-audio {__version__}, {now.isoformat(timespec='seconds')}",
        f"Python {platform.python_version()}, {platform.platform()}",
        f"command: {command}",
        "".join(traceback.format_exception(error)),
    ]
    name = f"{now:%Y%m%d-%H%M%S}-"
    try:
        folder = Path(platformdirs.user_log_dir("fewshot-audio"))
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=name, suffix=".log", dir=folder)
    except OSError:  # no home, or one that cannot be written
        descriptor, path = tempfile.mkstemp(prefix=f"fewshot-audio-{name}", suffix=".log")
    os.close(descriptor)
    Path(path).write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
    return Path(path)
