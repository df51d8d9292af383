"""A PostgreSQL server of a test's own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("initdb", "pg_ctl", "postgres")


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server that listens on a socket in a temporary folder; skips where PostgreSQL is not installed."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        pytest.skip(f"PostgreSQL is not on PATH: no {', '.join(absent)}")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # sockets need a short path
    options: dict[str, Any] = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
    options["env"] = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "nobody")
        options |= {"user": "nobody", "group": 65534, "extra_groups": []}
    data, log = folder / "data", folder / "log"
    try:
        create = ["initdb", "-D", data, "-A", "trust", "-U", "tuner", "-E", "UTF8", "--no-sync"]
        subprocess.run(create, **options)
        listen = f"-c listen_addresses='' -c fsync=off -k {folder}"
        subprocess.run(["pg_ctl", "-D", data, "-w", "-l", log, "-o", listen, "start"], **options)
        try:
            yield f"postgresql://tuner@/postgres?host={folder}"
        finally:
            subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(folder)
