"""A scan of many recordings by several processes, or by the workers of a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

from fewshot_audio.config.plugins import name_plugins, named_packages
from fewshot_audio.data.parallel import check_owner, run_chunks
from fewshot_audio.errors import DataError
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.results import FileResult
from fewshot_audio.recognition.scan import answer_file
from fewshot_audio.recognition.scan_journal import ScanJournal, recording_key, scan_fingerprint
from fewshot_audio.runtime.allocator import keep_pages

CHUNK = 16  # recordings that a process takes at once


@dataclass(frozen=True)
class ScanJob:
    """What answers recordings, for other processes and machines.

    Args:
        bundle: the recognizer's folder.
        device: where the network computes.
        options: how recordings are answered.
        fingerprint: of bundle and options, as ``scan_fingerprint`` gives it; a bundle that has another one is refused.
        plugins: packages that the user named.
    """

    bundle: Path
    device: str
    options: ScanOptions
    fingerprint: str
    plugins: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Path, device: str, options: ScanOptions) -> Self:
        """The job for a bundle as it is now."""
        folder = bundle.absolute()  # workers of a cluster have other current folders
        return cls(folder, device, options, scan_fingerprint(folder, options), tuple(named_packages()))


def scan_by_workers(
    job: ScanJob,
    files: Sequence[Path],
    workers: int | None = None,
    cluster: str | None = None,
    journal: ScanJournal | None = None,
    progress: Progress = silent,
) -> list[FileResult]:
    """Answer for each file as ``scan`` does; returns the results in the order of the files.

    Args:
        job: what answers, and how.
        files: the recordings; for those that cannot be used the result says why.
        workers: number of processes; default: one per core.
        cluster: address of a Dask scheduler whose workers do the work; they must see the same folders.
        journal: keeps each result; recordings that it has, unchanged since, are not read again.
        progress: reports the recordings done.
    """
    keys = {path: recording_key(path) for path in files}
    results = {path: journal.results[key] for path, key in keys.items() if journal and key in journal.results}
    rest = {path.absolute(): path for path in keys if path not in results}  # for processes in other folders
    progress("classifying", len(results), len(keys))
    for answers in run_chunks(partial(_answer_files, job=job), list(rest), CHUNK, workers, cluster) if rest else ():
        for absolute, answer in answers:
            path = rest[absolute]
            results[path] = replace(answer, file=as_text(path))
            if journal:
                journal.add(keys[path], results[path])
        progress("classifying", len(results), len(keys))
    return [results[path] for path in files]


def _answer_files(files: Sequence[Path], owner: int | None, job: ScanJob) -> list[tuple[Path, FileResult]]:
    keep_pages()
    name_plugins(job.plugins)
    recognizer = _open_recognizer(job)
    answers = []
    for path in files:
        check_owner(owner)
        answers.append((path, answer_file(recognizer, path, job.options)))
    return answers


@lru_cache(maxsize=1)
def _open_recognizer(job: ScanJob) -> Recognizer:
    recognizer = Recognizer.load(job.bundle, job.device, backend="auto")
    if scan_fingerprint(job.bundle, job.options) != job.fingerprint:
        raise DataError(f"{job.bundle}: it has changed since this scan began; the same command starts anew")
    return recognizer
