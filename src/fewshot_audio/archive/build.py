"""Making an index, and bringing it up to date: what is new or has changed is embedded, what is gone is left out."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from fewshot_audio.archive.description import INDEX_FILE, IndexDescription, read_index_description
from fewshot_audio.archive.embed import EmbeddingJob, describe_job, embed_recordings, listed
from fewshot_audio.archive.partition import partition_numbers, read_partition, remove_recordings
from fewshot_audio.archive.recordings import IndexedRecording, check_name
from fewshot_audio.audio.recordings import list_recordings
from fewshot_audio.data.parallel import run_chunks
from fewshot_audio.errors import DataError, on_one_line, plural
from fewshot_audio.files import locked, write_text
from fewshot_audio.progress import Progress, silent

CHUNK = 16  # recordings that a process takes at once
LOCK = ".index.lock"


@dataclass(frozen=True)
class IndexUpdate:
    """What bringing an index up to date has done.

    Attributes:
        added: recordings that were embedded, for the first time or because they have changed.
        unchanged: how many were there already.
        removed: how many do not count any more: they are not in the archive, or were embedded and have changed.
        failed: recordings that cannot be used, with the reason.
        not_tried: those of ``failed`` that could not be used before and have not changed since.
        others: how many files in the folders are no recordings by their extensions.
        useless: share of windows on disk that count no more, whose space ``compact_index`` gives back.
    """

    added: tuple[IndexedRecording, ...]
    unchanged: int
    removed: int
    failed: tuple[IndexedRecording, ...]
    not_tried: int
    others: int
    useless: float

    @property
    def windows(self) -> int:
        """Windows that were embedded."""
        return sum(recording.windows for recording in self.added)


def archive_folder(archives: Sequence[Path]) -> Path:
    """The folder that names of recordings are below, if the user says nothing: the one that holds all archives."""
    folders = [path if path.is_dir() else path.parent for path in archives]
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))  # noqa: PTH100 - links stay


def update_index(
    archives: Sequence[Path],
    job: EmbeddingJob,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Progress = silent,
    *,
    retry: bool = False,
) -> IndexUpdate:
    """Embed what is new or has changed in archives, and leave out what is gone from them.

    It may be killed at any moment: what it has done by then stays, and the same call does the rest.

    Args:
        archives: folders of recordings, or recordings; what an index has of other places stays.
        job: the index, and what embeds.
        workers: number of processes; default: one per core.
        cluster: address of a Dask scheduler whose workers do the work; they must see the same folders.
        progress: reports the recordings done.
        retry: whether recordings that could not be used before are tried again although they have not changed.

    Raises:
        DataError: the index cannot be trusted, was made by another network or hop or of another folder, or another
            process is writing to it.
        ConfigError: an encoder is not installed, or the hop is out of its range.
    """
    description = describe_job(job)
    paths, others = list_recordings(archives)
    recordings, missing = _listed(paths, job.archive)
    in_use = DataError(f"{job.folder}: another process is writing to this index")
    with locked(job.folder / LOCK, in_use):
        _check_or_write(job.folder, description)
        indexed = _live(job.folder, description)
        _check_archive(indexed, recordings, job)
        searched = [_name(Path(os.path.abspath(path)), job.archive) for path in archives]  # noqa: PTH100
        unread = recordings.keys() | {recording.file for recording in missing}
        absent = (name for name in indexed if name not in recordings and _is_below(name, searched))
        gone = {name for name in absent if not _is_unread(name, unread)}
        shared = indexed.keys() & recordings.keys()
        same = {name for name in shared if recordings[name].is_embedded_as(indexed[name])}
        failures = {name for name in shared if indexed[name].error}
        current = same - failures if retry else same
        _remove(job.folder, description, gone | (shared - current))
        fresh = [recording for name, recording in recordings.items() if name not in current]
        added = _embed_all(fresh, job, description, workers, cluster, progress)
        useless = remove_repeated(job.folder, description)
    not_tried = [indexed[name] for name in sorted(current & failures)]
    failed = [recording for recording in added if recording.error] + missing + not_tried
    return IndexUpdate(
        tuple(recording for recording in added if not recording.error),
        len(same - failures),
        len(gone | (shared - same - failures)),
        tuple(failed),
        len(not_tried),
        others,
        useless,
    )


def _embed_all(
    recordings: Sequence[IndexedRecording],
    job: EmbeddingJob,
    description: IndexDescription,
    workers: int | None,
    cluster: str | None,
    progress: Progress,
) -> list[IndexedRecording]:
    embedded: list[IndexedRecording] = []
    windows = 0
    progress("indexing", 0, len(recordings))
    work = partial(embed_recordings, job=job, description=description)
    for chunk in run_chunks(work, recordings, CHUNK, workers, cluster) if recordings else ():
        embedded += chunk
        windows += sum(recording.windows for recording in chunk)
        progress("indexing", len(embedded), len(recordings), plural(windows, "window"))
    return embedded


def _listed(paths: Iterable[Path], archive: Path) -> tuple[dict[str, IndexedRecording], list[IndexedRecording]]:
    """The recordings by name, and those that are not there."""
    recordings, missing = {}, []
    for path in paths:
        name = _name(Path(os.path.abspath(path)), archive)  # noqa: PTH100 - links stay
        try:
            check_name(name)
            recordings[name] = listed(path, name)
        except OSError as error:
            missing.append(IndexedRecording(name, 0, 0, error=error.strerror or str(error)))
        except DataError as error:
            missing.append(IndexedRecording(name, 0, 0, error=str(error)))
    return recordings, missing


def _name(path: Path, archive: Path) -> str:
    """The name of an absolute path below the archive's folder. Raises DataError if it is not below it."""
    folder = Path(os.path.abspath(archive))  # noqa: PTH100 - links stay
    if not path.is_relative_to(folder):
        raise DataError(f"{on_one_line(str(path))}: not below {archive}, which --archive names")
    return path.relative_to(folder).as_posix()


def _is_below(name: str, folders: Iterable[str]) -> bool:
    return any(folder == "." or name == folder or name.startswith(folder + "/") for folder in folders)


def _is_unread(name: str, unread: Collection[str]) -> bool:
    """Whether a recording is below a folder that could not be listed: nobody knows whether it is still there."""
    return any(folder.as_posix() in unread for folder in PurePosixPath(name).parents)


def _check_or_write(folder: Path, description: IndexDescription) -> None:
    path = folder / INDEX_FILE
    if not path.exists():
        others = [entry.name for entry in folder.iterdir() if not entry.name.startswith((".", "part-"))]
        if others:
            raise DataError(f"{folder}: neither empty nor an index (it holds {on_one_line(others[0])!r})")
        write_text(path, description.model_dump_json(indent=2) + "\n", sync=True)
        return
    former = read_index_description(folder)
    for field, name in (("network", "another network"), ("hop", "another hop"), ("encoders", "other encoders")):
        if getattr(former, field) != getattr(description, field):
            raise DataError(f"{folder}: made with {name}: give what it was made with, or another folder with -o")
    if former != description:
        raise DataError(f"{folder}: made by another version: make it again in another folder")


def _live(folder: Path, description: IndexDescription) -> dict[str, IndexedRecording]:
    """The recordings that count, by name."""
    live: dict[str, IndexedRecording] = {}
    for number in partition_numbers(folder):
        state = read_partition(folder, number, description)
        for recording, is_live in zip(state.recordings, state.is_live, strict=True):
            if is_live:
                live.setdefault(recording.file, recording)
    return live


def _check_archive(indexed: Collection[str], recordings: Collection[str], job: EmbeddingJob) -> None:
    """Raise DataError if an index holds recordings, and none of them is in the archive's folder."""
    is_other = indexed and not any(name in recordings for name in indexed)
    if is_other and not any((job.archive / name).exists() for name in indexed):
        raise DataError(
            f"{job.folder}: holds recordings such as {next(iter(indexed))!r}, none of which is in {job.archive}: name "
            "their folder by --archive, or make another index"
        )


def _remove(folder: Path, description: IndexDescription, names: set[str]) -> None:
    """Let recordings count no more, in whichever partitions they are."""
    for number in partition_numbers(folder):
        state = read_partition(folder, number, description)
        live = [r.file for r, is_live in zip(state.recordings, state.is_live, strict=True) if is_live]
        if own := [name for name in live if name in names]:
            remove_recordings(folder, number, own)


def remove_repeated(folder: Path, description: IndexDescription) -> float:
    """Let a recording count once: a worker of a cluster that was killed may have done what another did again.

    Returns:
        Share of windows on disk that count no more.
    """
    seen: set[str] = set()
    windows = useless = 0
    for number in partition_numbers(folder):
        state = read_partition(folder, number, description)
        live = {r.file: r for r, is_live in zip(state.recordings, state.is_live, strict=True) if is_live}
        if repeated := [name for name in live if name in seen]:
            remove_recordings(folder, number, repeated)
        windows += state.windows
        useless += state.windows - sum(live[name].windows for name in live.keys() - seen)
        seen.update(live)
    return useless / max(1, windows)
