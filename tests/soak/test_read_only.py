"""Folders that can only be read: what is read from there works, what would be written there is refused by name."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import soundfile

from fewshot_audio.files import write_json
from tests.recognition import recognizers
from tests.soak.commands import run
from tests.soak.reliability import record
from tests.tiny import tiny_configs, write_tiny_dataset

CLASSES, CLIPS = 9, 6

pytestmark = pytest.mark.soak


@pytest.fixture(params=["permissions", "file system"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with a bundle, recordings, a dataset without a store and an experiment, all to be read only.

    Its permissions say so, or it is a disk that nobody can write.
    """
    read = tmp_path / "read"
    read.mkdir()
    (tmp_path / "write").mkdir()
    mounted = request.param == "file system"
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(read)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs to mount a disk, which only the administrator may")
    try:
        _fill(read)
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(read)], check=True)
        yield tmp_path
    finally:
        if mounted:
            subprocess.run(["umount", str(read)], check=True)
        for path in [read, *read.rglob("*")]:  # so that pytest can remove it
            path.chmod(0o755 if path.is_dir() else 0o644)


def _fill(folder: Path) -> None:
    recognizers.recognizer().save(folder / "bundle")
    for number in range(CLASSES):
        (folder / "recordings" / f"class {number}").mkdir(parents=True)
        for clip in range(CLIPS):
            sound = recognizers.sound(number % 3, 10 * number + clip, samples=16_000)
            soundfile.write(folder / "recordings" / f"class {number}" / f"{clip}.wav", sound, 16_000)
    write_tiny_dataset(folder / "data")
    for name, config in zip(("e.json", "m.json"), tiny_configs(), strict=True):
        write_json(folder / name, config.model_dump())
    code, messages = run(_training(folder, folder / "experiments"))
    assert code == 0, messages
    shutil.rmtree(folder / "data" / "Tiny" / ".store")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def _training(folder: Path, output: Path) -> list[str | Path]:
    return [
        "train",
        "-e",
        folder / "e.json",
        "-m",
        folder / "m.json",
        "--data-root",
        folder / "data",
        "--output",
        output,
    ]


def as_anybody(home: str) -> None:
    """Have another home, and no right of the administrator to write whatever the permissions say."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "MPLCONFIGDIR"):
        os.environ[name] = home
    version, process = 0x20080522, 0
    header, no_capabilities = (ctypes.c_uint32 * 2)(version, process), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, no_capabilities) == 0


def commands(read: Path, output: Path) -> dict[str, list[str | Path]]:
    """Commands that read one folder and write to another, by what they write."""
    recording = read / "recordings" / "class 0" / "0.wav"
    experiment = read / "experiments" / "tiny"
    return {
        "bundle": ["enroll", read / "bundle", "--add", "new", recording, "-o", output / "bundle"],
        "answers.csv": ["classify", read / "bundle", recording, "--format", "csv", "-o", output / "answers.csv"],
        "network.onnx": ["export", read / "bundle", "--onnx", output / "network.onnx"],
        "report.html": ["report", experiment, "--data-root", read / "data", "-o", output / "report.html"],
        "runs": _training(read, output / "runs"),
        "prepared": [
            *("prepare", "folder", "--source", read / "recordings", "--data-root", output / "prepared"),
            *("--way", "2", "--workers", "1"),
        ],
    }


def test_what_is_read_works_and_what_is_written_is_refused(home: Path) -> None:
    user: Callable[[], object] = partial(as_anybody, str(home / "write"))
    before = _contents(home / "read")
    wrong, trials, problems = 0, 0, list[str]()

    def check(arguments: Sequence[str | Path], expected: int, *words: str) -> None:
        nonlocal wrong, trials
        code, messages = run(arguments, user)
        said = " ".join(messages.split())
        bad = code != expected or "Traceback" in messages or "bug in" in messages
        bad |= bool(words) and not any(word in said for word in words)
        wrong, trials = wrong + bad, trials + 1
        if bad:
            problems.append(f"{' '.join(map(str, arguments))}: {code} {messages}")

    for name, arguments in commands(home / "read", home / "write").items():
        check(arguments, 0)
        if not (home / "write" / name).exists():
            problems.append(f"{name} is missing")
    for arguments in commands(home / "read", home / "read").values():
        check(arguments, 1, "Read-only file system", "Permission denied", "cannot be written")
    check(["enroll", home / "read" / "bundle", "--remove", recognizers.CLASSES[0]], 1, "Read-only", "Permission denied")
    check(["info", home / "read" / "data" / "Tiny"], 0)
    check(["classify", home / "read" / "bundle", home / "read" / "recordings"], 0)
    assert not problems, "\n".join(problems)
    assert _contents(home / "read") == before
    record("read-only folders read, and written to", trials=trials, lost=0, wrong=wrong)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
