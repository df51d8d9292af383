"""Bring a dataset of the catalog into a folder: check space, fetch archives in parallel, verify and unpack them."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from fewshot_audio.data.download.addresses import shown_address
from fewshot_audio.data.download.archive import UnpackLimits, extract, unpacked_so_far
from fewshot_audio.data.download.archive_errors import DamagedArchive, RefusedArchive
from fewshot_audio.data.download.catalog import Archive, CatalogEntry
from fewshot_audio.data.download.fetch import RetryPolicy, Stopped, fetch
from fewshot_audio.data.download.partial_file import part_path
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes, locked, remove_temporary_files
from fewshot_audio.progress import Progress, silent

ARCHIVES = "archives"
LOCK = ".download.lock"
SLACK = 64 << 20  # sizes in the catalog may be estimates: twice the size plus this many bytes is accepted


def acquire(
    dataset: CatalogEntry,
    folder: Path,
    *,
    at_once: int = 3,
    retry: RetryPolicy = RetryPolicy(),
    progress: Progress = silent,
) -> Path:
    """Bring ``dataset`` into ``folder`` in its published layout.

    Archives are kept in ``folder/archives``; one that was put there by hand is verified and used. A call continues
    the work of an interrupted one, and fetches or unpacks nothing twice.

    Args:
        dataset: from the catalog.
        folder: the download folder.
        at_once: archives that are fetched at the same time.
        retry: when a transfer is given up.
        progress: called as megabytes arrive.

    Returns:
        The folder that ``prepare`` takes.

    Raises:
        DataError: the dataset can only be fetched by a person, the disk has no space for it, something else is where
            its files belong, a transfer fails (see ``fetch``), a checksum differs, an archive is refused (see
            ``extract``) or has an unexpected layout.
        WriteError: the disk fails; what has arrived and what is unpacked is kept for the next call.
    """
    if not dataset.archives:
        raise DataError(f"{dataset.title} cannot be fetched by a program; see {dataset.page}")
    with locked(folder / LOCK, DataError(f"{folder}: another process downloads to this folder")):
        pending = [archive for archive in dataset.archives if not (folder / archive.folder).is_dir()]
        _check_places(pending, folder)
        _check_space(pending, folder)
        remove_temporary_files(folder / ARCHIVES)
        _fetch_all(pending, folder, at_once, retry, progress)
        for archive in pending:
            _extract(archive, folder, progress)
    missing = [path for path in dataset.expects if not (folder / path).exists()]
    if missing:
        raise DataError(f"{folder}: {missing[0]} is missing after extraction, expected the layout {dataset.layout}")
    return folder / dataset.source


def _file(archive: Archive, folder: Path) -> Path:
    return folder / ARCHIVES / archive.file


def _check_places(archives: list[Archive], folder: Path) -> None:
    """Raise DataError if something else is where files and folders belong, before hours of transfer."""
    for archive in archives:
        target = folder / archive.folder
        if os.path.lexists(target):  # it is no folder
            raise DataError(f"{target} is no folder, expected the contents of {archive.file} or nothing")
        for file in (_file(archive, folder), part_path(_file(archive, folder))):
            if os.path.lexists(file) and not file.is_file():
                raise DataError(f"{file} is no file, expected {archive.file} or nothing")


def _check_space(archives: list[Archive], folder: Path) -> None:
    needed = 0
    for archive in archives:
        file = _file(archive, folder)
        part = part_path(file)
        received = part.stat().st_size if part.is_file() else 0
        to_fetch = 0 if file.is_file() else max(0, archive.size - received)
        needed += to_fetch + max(0, archive.unpacked - unpacked_so_far(folder / archive.folder))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {needed / 1e9:.1f} GB are needed for archives and recordings, {free / 1e9:.1f} GB are free"
        )


def _fetch_all(archives: list[Archive], folder: Path, at_once: int, retry: RetryPolicy, progress: Progress) -> None:
    """Fetch and verify in parallel; the first failure stops the other transfers, which keep the received bytes."""
    stop = threading.Event()
    lock = threading.Lock()
    received = dict.fromkeys((archive.file for archive in archives), 0)
    expected = sum(archive.size for archive in archives)

    def reporter(archive: Archive) -> Callable[[int], None]:
        def report(count: int) -> None:
            with lock:
                received[archive.file] = count
                done = sum(received.values())
                progress("Fetching, MB", done // 10**6, max(expected, done) // 10**6, archive.file)

        return report

    def fetch_one(archive: Archive) -> None:
        if stop.is_set():
            raise Stopped
        try:
            file = _file(archive, folder)
            if not file.is_file():
                limit = 2 * archive.size + SLACK
                fetch(archive.url, file, limit=limit, retry=retry, on_bytes=reporter(archive), stop=stop)
            _verify(archive, file, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(fetch_one, archive) for archive in archives]
        try:
            wait(jobs)
        finally:  # also if the user interrupts: the transfers keep the received bytes
            stop.set()
    failures = [error for job in jobs if (error := job.exception()) is not None]
    if failures:
        raise min(failures, key=lambda error: isinstance(error, Stopped))  # the cause comes first


def _verify(archive: Archive, file: Path, stop: threading.Event) -> None:
    """Raise DataError and set the file aside if its checksum is not the published one."""
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
        with explained_writes(aside):
            file.replace(aside)
        checksum = archive.checksum
        raise DataError(
            f"{shown_address(archive.url)}: the {checksum.algorithm} of the received file is {digest.hexdigest()}, "
            f"expected {checksum.value} (published by {checksum.publisher}); the file is set aside as {aside}, run the "
            "same command again to fetch it again"
        )


def _extract(archive: Archive, folder: Path, progress: Progress) -> None:
    def report(count: int) -> None:
        progress(f"Unpacking {archive.folder}, MB", count // 10**6, max(archive.unpacked, count) // 10**6)

    file, target = _file(archive, folder), folder / archive.folder
    by_hand = (
        f"if you trust the archive, unpack it with another program so that {target} holds what it should, and run the "
        "same command again: a folder that is there is used as it is"
    )
    try:
        extract(file, target, UnpackLimits(unpacked=2 * archive.unpacked + SLACK), on_bytes=report)
    except RefusedArchive as error:
        raise DataError(f"{error}; another download would bring the same: {by_hand}") from error
    except DamagedArchive as error:
        if archive.checksum is None:
            raise DataError(f"{error}; remove it to download it again") from error
        raise DataError(
            f"{error}, though its checksum is the published one, so that another download would bring the same: "
            f"{by_hand}"
        ) from error
