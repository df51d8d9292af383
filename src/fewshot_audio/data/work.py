"""The work of preparation, clip by clip: what one worker does, and how many share it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import joblib
import numpy as np

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.data.cluster import connected
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.limits import Limits
from fewshot_audio.data.manifest import Clip
from fewshot_audio.data.norm import Moments
from fewshot_audio.data.sources.base import Recording, Skipped
from fewshot_audio.files import write_atomic
from fewshot_audio.runtime.allocator import keep_pages

CHUNK = 16  # clips a worker takes at once: small, so that little is lost when the work is stopped
IDLE_SECONDS = 10  # after which a worker without work ends, also when nobody is left to tell it


@dataclass(frozen=True, slots=True)
class Task:
    """One recording to prepare, and the names it gets."""

    recording: Recording
    class_name: str
    clip: str
    fingerprint: str

    @property
    def key(self) -> tuple[str, str]:
        """Class and clip as they are named on disk."""
        return self.class_name, self.clip

    def path(self, root: Path) -> Path:
        """Where the clip's array lies below ``features/`` or ``waveforms_npy/``."""
        return root / self.class_name / f"{self.clip}.npy"


@dataclass(frozen=True)
class Job:
    """How every recording is prepared, and where to."""

    folder: DatasetFolder
    preprocessing: Preprocessing
    waveforms: bool
    limits: Limits


def prepare_all(
    tasks: Sequence[Task], job: Job, workers: int | None, cluster: str | None = None
) -> Iterator[list[Clip | Skipped]]:
    """Prepare all tasks on ``workers`` processes (default: one a core); yields the outcomes of each chunk once done.

    With ``cluster``, the address of a Dask scheduler, the processes are its workers, who see the same folders.
    """
    if cluster:
        with connected(cluster) as count:
            yield from _run(tasks, job, workers or count, owner=None)
    else:
        count = workers or joblib.cpu_count()
        with joblib.parallel_config("loky", n_jobs=count, inner_max_num_threads=1):
            yield from _run(tasks, job, count, os.getpid(), idle_worker_timeout=IDLE_SECONDS)


def _run(
    tasks: Sequence[Task], job: Job, workers: int, owner: int | None, **options: int
) -> Iterator[list[Clip | Skipped]]:
    size = max(1, min(CHUNK, len(tasks) // (4 * workers)))
    chunks = (tasks[start : start + size] for start in range(0, len(tasks), size))
    jobs = joblib.Parallel(return_as="generator_unordered", batch_size=1, **options)
    prepare_chunk = joblib.delayed(_prepare_chunk)
    yield from jobs(prepare_chunk(chunk, job, owner) for chunk in chunks)


def _prepare_chunk(tasks: Sequence[Task], job: Job, owner: int | None) -> list[Clip | Skipped]:
    keep_pages()
    outcomes = []
    for task in tasks:
        if owner is not None and owner not in (os.getpid(), os.getppid()):
            os._exit(1)  # the owner was killed: nobody waits for this, and somebody may have started again
        outcomes.append(_prepare_clip(task, job))
    return outcomes


def _prepare_clip(task: Task, job: Job) -> Clip | Skipped:
    recording, preprocessing = task.recording, job.preprocessing
    try:
        waveform = preprocessing.normalize(recording.sound.read(preprocessing.sample_rate))
        job.limits.check(len(waveform), preprocessing.sample_rate)
    except Rejected as error:
        return Skipped(recording.source, task.class_name, error.reason, error.detail)
    segments = preprocessing.segments(waveform)
    features = preprocessing.features(segments)
    if job.waveforms:
        _save(task.path(job.folder.waveforms), segments)
    _save(task.path(job.folder.features), features)
    return Clip(
        task.class_name,
        task.clip,
        recording.source,
        task.fingerprint,
        segments=len(segments),
        samples=len(waveform),
        moments=Moments.of(features),
        wave_stats=WaveStats.of(segments, preprocessing.sample_rate) if job.waveforms else None,
    )


def _save(path: Path, array: Samples) -> None:
    """Write an npy file as ``np.save`` does, but for a full disk, of which that says no more than how much it wrote."""

    def write(stream: IO[bytes]) -> None:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(np.ascontiguousarray(array).data)

    write_atomic(path, write)
