"""Downloads that are killed, run into a limit or fill the disk at random moments: the next run ends with every byte."""

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fewshot_audio.data.download.acquire import ARCHIVES, acquire
from fewshot_audio.data.download.catalog import Archive, CatalogEntry
from fewshot_audio.data.download.fetch import RetryPolicy
from fewshot_audio.errors import DataError, WriteError
from tests.data.download_server import Behavior, Handler, Server, good, running
from tests.data.test_download_archive import contents_of, pack_tar, pack_zip
from tests.disks import file_size_limit, small_disk
from tests.soak.reliability import record

TRIALS = 24
KILLS_EACH = 5  # kills of either work, at least
HASTY = RetryPolicy(tries=2, step=1000, stall_seconds=5.0, first_delay=0.0)
PROGRAM = """
import json, pathlib, sys
from fewshot_audio.data.download.acquire import acquire
from fewshot_audio.data.download.catalog import Archive, CatalogEntry
from fewshot_audio.data.download.fetch import RetryPolicy
text, folder, mark = sys.argv[1:]
entry = json.loads(text)
archives = tuple(Archive(**archive) for archive in entry.pop("archives"))
pathlib.Path(mark).touch()
acquire(CatalogEntry(**entry, archives=archives), pathlib.Path(folder), retry=RetryPolicy(first_delay=0.01))
"""

pytestmark = pytest.mark.soak


def recordings(part: str) -> dict[str, bytes]:
    """Files of many sizes, half of whose bytes can be packed."""
    chance = random.Random(part)
    return {
        f"{part}/audio/{number:03}.wav": chance.randbytes(chance.randrange(20_000)) + bytes(chance.randrange(20_000))
        for number in range(300)
    }


FILES = {part: recordings(part) for part in ("zipped", "tarred")}
EXPECTED = FILES["zipped"] | FILES["tarred"]


def slowly(body: bytes) -> Behavior:
    """The server of ``good``, in pieces with pauses: a download takes about a second."""
    whole = good(body)

    def answer(handler: Handler) -> None:
        write = handler.wfile.write

        def write_pieces(data: bytes) -> int:
            for start in range(0, len(data), 1 << 16):
                write(data[start : start + (1 << 16)])
                time.sleep(0.01)
            return len(data)

        handler.wfile.write = write_pieces  # type: ignore[method-assign, assignment]
        whole(handler)

    return answer


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogEntry]:
    folder = tmp_path_factory.mktemp("packed")
    bodies = {
        "zipped": pack_zip(folder / "zip", FILES["zipped"]).read_bytes(),
        "tarred": pack_tar(folder / "tar", FILES["tarred"]).read_bytes(),
    }
    with pytest.MonkeyPatch.context() as patch, running() as server:
        patch.setenv("no_proxy", "*")
        yield CatalogEntry("toy", "Toy", server.address, "none", "*/audio", tuple(served(server, bodies)))


def served(server: Server, bodies: dict[str, bytes]) -> Iterator[Archive]:
    for part, body in bodies.items():
        url = server.serve(f"/{part}", slowly(body))
        yield Archive(url, f"{part}.bin", part, len(body), sum(map(len, FILES[part].values())))


def differences(folder: Path) -> tuple[int, int]:
    """How many recordings are missing, and how many files are not what they should be, or should not be there."""
    contents = contents_of(folder)
    there = {name: data for name, data in contents.items() if not name.startswith((f"{ARCHIVES}/", ".download.lock"))}
    archives = {name for name in contents if name.startswith(f"{ARCHIVES}/")}
    wrong = sum(EXPECTED.get(name) != data for name, data in there.items())
    wrong += len(archives ^ {f"{ARCHIVES}/{part}.bin" for part in FILES})
    return len(EXPECTED.keys() - there.keys()), wrong


def check_that_what_is_visible_is_whole(folder: Path) -> None:
    for part, files in FILES.items():
        if (folder / part).exists():
            assert contents_of(folder / part) == {
                name.removeprefix(f"{part}/"): data for name, data in files.items()
            }, part


# -- kills -------------------------------------------------------------------------------------------------------------


def start(toy: CatalogEntry, folder: Path) -> "subprocess.Popen[bytes]":
    """Start or continue the download in a process of its own; returns once its work begins."""
    entry = {"name": toy.name, "title": toy.title, "page": toy.page, "license": toy.license, "layout": toy.layout}
    archives = [
        {name: getattr(archive, name) for name in ("url", "file", "folder", "size", "unpacked")}
        for archive in toy.archives
    ]
    mark = folder.with_name(f"{folder.name}.begun")
    mark.unlink(missing_ok=True)
    text = json.dumps(entry | {"archives": archives})
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, text, folder, mark], stderr=subprocess.PIPE)
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.005)
    return process


def end(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a process, which is a kill or a success."""
    _, messages = process.communicate(timeout=120)
    assert process.returncode in (0, -9), messages.decode()
    return process.returncode


def test_kills_at_random_moments_do_not_show(toy: CatalogEntry, tmp_path: Path, chance: random.Random) -> None:
    begin = time.monotonic()
    assert end(start(toy, tmp_path / "undisturbed")) == 0
    seconds = time.monotonic() - begin
    assert differences(tmp_path / "undisturbed") == (0, 0)
    trials = lost = wrong = fetching = unpacking = 0
    while trials < TRIALS or min(fetching, unpacking) < KILLS_EACH:
        assert trials < 4 * TRIALS, f"{fetching} kills hit the transfer and {unpacking} the unpacking"
        folder = tmp_path / str(trials)
        for _ in range(chance.randint(1, 3)):
            process = start(toy, folder)
            time.sleep(chance.uniform(0, seconds))
            process.kill()
            if end(process) == 0:
                break
            in_transfer = not all((folder / ARCHIVES / archive.file).exists() for archive in toy.archives)
            fetching, unpacking = fetching + in_transfer, unpacking + (not in_transfer)
            check_that_what_is_visible_is_whole(folder)
        assert end(start(toy, folder)) == 0
        missing, different = differences(folder)
        trials, lost, wrong = trials + 1, lost + (missing > 0), wrong + (different > 0)
    logging.getLogger(__name__).warning("%d kills in the transfer, %d in the unpacking", fetching, unpacking)
    record("kill -9 of a download or of its unpacking", trials=trials, lost=lost, wrong=wrong)


# -- limits and full disks ---------------------------------------------------------------------------------------------


def test_random_limits_of_file_size_do_not_show(toy: CatalogEntry, tmp_path: Path, chance: random.Random) -> None:
    largest = max(archive.size for archive in toy.archives)
    lost = wrong = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        if trial % 2:  # the archives are there, recordings of up to 40,000 bytes are to be written
            acquire(toy, folder, retry=HASTY)
            for part in FILES:
                (folder / part).rename(tmp_path / f"{trial}-{part}")
        limit = chance.randrange(1, 38_000 if trial % 2 else largest)
        with file_size_limit(limit), pytest.raises(WriteError, match=r"File too large; what .* is kept in"):
            acquire(toy, folder, retry=HASTY)
        check_that_what_is_visible_is_whole(folder)
        acquire(toy, folder, retry=HASTY)
        missing, different = differences(folder)
        lost, wrong = lost + (missing > 0), wrong + (different > 0)
    record("file size limit during a download or its unpacking", trials=TRIALS, lost=lost, wrong=wrong)


def test_a_full_disk_does_not_show(toy: CatalogEntry, tmp_path: Path, chance: random.Random) -> None:
    """Other files take up the space while the download runs; later they are removed."""
    needed = sum(archive.size + archive.unpacked for archive in toy.archives)
    lost = wrong = 0
    for trial in range(TRIALS):
        disk = tmp_path / str(trial)
        with small_disk(disk, needed + (8 << 20)):
            other, most = disk / "other", chance.randrange(needed // 10, needed)

            def fill(description: str, done: int, total: int, details: str = "", disk: Path = disk) -> None:
                if not other.exists():  # noqa: B023
                    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                    other.write_bytes(bytes(max(0, free - most)))  # noqa: B023

            with pytest.raises(WriteError, match="No space left on device"):
                acquire(toy, disk / "toy", retry=HASTY, progress=fill)
            check_that_what_is_visible_is_whole(disk / "toy")
            with pytest.raises((WriteError, DataError)):  # still full
                acquire(toy, disk / "toy", retry=HASTY)
            other.unlink()
            acquire(toy, disk / "toy", retry=HASTY)
            missing, different = differences(disk / "toy")
            lost, wrong = lost + (missing > 0), wrong + (different > 0)
    record("full disk during a download or its unpacking", trials=TRIALS, lost=lost, wrong=wrong)
