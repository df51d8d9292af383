"""The work of preparation, clip by clip: what one worker does, and how many share it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch

from fewshot_audio.audio.decode import Samples
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.manifest import Clip
from fewshot_audio.data.norm import Moments
from fewshot_audio.data.sources.base import Recording, Skipped
from fewshot_audio.files import write_atomic

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


def prepare_all(
    tasks: Sequence[Task], folder: DatasetFolder, preprocessing: Preprocessing, waveforms: bool, workers: int | None
) -> Iterator[list[Clip | Skipped]]:
    """Prepare all tasks on ``workers`` processes (default: one a core); yields the outcomes of each chunk once done."""
    workers = workers or joblib.cpu_count()
    size = max(1, min(CHUNK, len(tasks) // (4 * workers)))
    chunks = (tasks[start : start + size] for start in range(0, len(tasks), size))
    with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        jobs = joblib.Parallel(return_as="generator_unordered", batch_size=1, idle_worker_timeout=IDLE_SECONDS)
        prepare_chunk = joblib.delayed(_prepare_chunk)
        yield from jobs(prepare_chunk(chunk, folder, preprocessing, waveforms, os.getpid()) for chunk in chunks)


def _prepare_chunk(
    tasks: Sequence[Task], folder: DatasetFolder, preprocessing: Preprocessing, waveforms: bool, owner: int
) -> list[Clip | Skipped]:
    outcomes = []
    with _single_thread():
        for task in tasks:
            if owner not in (os.getpid(), os.getppid()):
                os._exit(1)  # the owner was killed: nobody waits for this, and somebody may have started again
            outcomes.append(_prepare_clip(task, folder, preprocessing, waveforms))
    return outcomes


def _prepare_clip(task: Task, folder: DatasetFolder, preprocessing: Preprocessing, waveforms: bool) -> Clip | Skipped:
    recording = task.recording
    try:
        waveform = preprocessing.normalise(recording.sound.read(preprocessing.sample_rate))
    except Rejected as error:
        return Skipped(recording.source, task.class_name, error.reason, error.detail)
    segments = preprocessing.segments(waveform)
    features = preprocessing.features(segments)
    if waveforms:
        _save(task.path(folder.waveforms), segments)
    _save(task.path(folder.features), features)
    return Clip(
        task.class_name,
        task.clip,
        recording.source,
        task.fingerprint,
        segments=len(segments),
        samples=len(waveform),
        moments=Moments.of(features),
        wave_stats=WaveStats.of(segments, preprocessing.sample_rate) if waveforms else None,
    )


def _save(path: Path, array: Samples) -> None:
    write_atomic(path, lambda stream: np.save(stream, array, allow_pickle=False))


@contextmanager
def _single_thread() -> Iterator[None]:
    """One torch thread a worker: cores are shared by clips, and sums come out the same for any number of workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
