"""A dataset of the catalog into a folder: space checked, archives fetched side by side, verified, unpacked."""

import hashlib
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from filelock import FileLock, Timeout

from fewshot_audio.data.download.archive import Limits, extract, unpacked_so_far
from fewshot_audio.data.download.catalog import Archive, Dataset
from fewshot_audio.data.download.fetch import Patience, Stopped, fetch, part_of
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent

ARCHIVES = "archives"
LOCK = ".download.lock"
SLACK = 64 << 20  # sizes in the catalog may be estimates: twice as much, and this, is still believed


def acquire(
    dataset: Dataset,
    folder: Path,
    *,
    at_once: int = 3,
    patience: Patience = Patience(),
    progress: Progress = silent,
) -> Path:
    """Bring ``dataset`` into ``folder`` in its published layout; return the folder that ``prepare`` takes.

    Archives are kept in ``folder/archives`` (one put there by hand is verified and used); what is there already, or
    half, is not fetched or unpacked again. ``at_once`` archives are fetched at the same time.

    Raises DataError when a person has to fetch the dataset, when the disk has no room for it, when a transfer fails
    (see ``fetch``), a checksum differs, an archive is refused (see ``extract``) or has another layout than published.
    """
    if not dataset.archives:
        raise DataError(f"{dataset.title} cannot be fetched by a program; see {dataset.page}")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            wanted = [archive for archive in dataset.archives if not (folder / archive.folder).exists()]
            _check_space(wanted, folder)
            _fetch_all(wanted, folder, at_once, patience, progress)
            for archive in wanted:
                _extract(archive, folder, progress)
    except Timeout as error:
        raise DataError(f"{folder}: another download is at work there") from error
    missing = [path for path in dataset.expects if not (folder / path).exists()]
    if missing:
        raise DataError(f"{folder}: {missing[0]} is missing after extraction, expected the layout {dataset.layout}")
    return folder / dataset.source


def _file(archive: Archive, folder: Path) -> Path:
    return folder / ARCHIVES / archive.file


def _check_space(wanted: list[Archive], folder: Path) -> None:
    needed = 0
    for archive in wanted:
        file = _file(archive, folder)
        here = max((path.stat().st_size for path in (file, part_of(file)) if path.is_file()), default=0)
        to_fetch = 0 if file.is_file() else max(0, archive.size - here)
        needed += to_fetch + max(0, archive.unpacked - unpacked_so_far(folder / archive.folder))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {needed / 1e9:.1f} GB are needed for archives and recordings, {free / 1e9:.1f} GB are free"
        )


def _fetch_all(wanted: list[Archive], folder: Path, at_once: int, patience: Patience, progress: Progress) -> None:
    """Fetch and verify side by side; the first failure stops the others, which keep what they have."""
    stop = threading.Event()
    lock = threading.Lock()
    arrived = dict.fromkeys((archive.file for archive in wanted), 0)
    expected = sum(archive.size for archive in wanted)

    def moved(archive: Archive) -> Callable[[int], None]:
        def report(count: int) -> None:
            with lock:
                arrived[archive.file] = count
                done = sum(arrived.values())
                progress("Fetching, MB", done // 10**6, max(expected, done) // 10**6, archive.file)

        return report

    def one(archive: Archive) -> None:
        if stop.is_set():
            raise Stopped
        try:
            file = _file(archive, folder)
            if not file.is_file():
                limit = 2 * archive.size + SLACK
                fetch(archive.url, file, limit=limit, patience=patience, moved=moved(archive), stop=stop)
            _verify(archive, file, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(one, archive) for archive in wanted]
        try:
            wait(jobs)
        finally:  # the user interrupts: the rest keeps what it has, too
            stop.set()
    failures = [error for job in jobs if (error := job.exception()) is not None]
    if failures:
        raise min(failures, key=lambda error: isinstance(error, Stopped))  # the cause, not those it stopped


def _verify(archive: Archive, file: Path, stop: threading.Event) -> None:
    """Raise DataError, setting the file aside, when its checksum is not the published one."""
    if archive.checksum is None:
        return
    digest = hashlib.new(archive.checksum.algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            if stop.is_set():
                raise Stopped
    if digest.hexdigest() != archive.checksum.value:
        aside = file.with_name(file.name + ".bad")
        file.replace(aside)
        raise DataError(
            f"{archive.url}: the {archive.checksum.algorithm} of what arrived is {digest.hexdigest()}, expected "
            f"{archive.checksum.value} (published by {archive.checksum.publisher}); the file is set aside as {aside}, "
            "run the same command again to fetch it anew"
        )


def _extract(archive: Archive, folder: Path, progress: Progress) -> None:
    def moved(count: int) -> None:
        progress(f"Unpacking {archive.folder}, MB", count // 10**6, max(archive.unpacked, count) // 10**6)

    limits = Limits(unpacked=2 * archive.unpacked + SLACK)
    extract(_file(archive, folder), folder / archive.folder, limits, moved=moved)
