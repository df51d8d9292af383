"""Prepare many clips: the work of one worker on a clip, and its distribution to several workers."""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.plugins import name_plugins, named_packages
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import Moments
from fewshot_audio.data.parallel import check_owner, run_chunks
from fewshot_audio.data.preparation_journal import PreparedClip
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.files import write_atomic
from fewshot_audio.runtime.allocator import keep_pages

CHUNK = 16  # clips that a worker takes at once; few, so that an interruption loses little


@dataclass(frozen=True, slots=True)
class PlannedClip:
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
        """Return the path of the clip's array below ``features/`` or ``waveforms_npy/``."""
        return root / self.class_name / f"{self.clip}.npy"


@dataclass(frozen=True)
class PreparationJob:
    """The settings of a preparation, its destination, and the plugins that the user named, for other machines."""

    folder: DatasetFolder
    preprocessing: Preprocessing
    waveforms: bool
    limits: SourceLimits
    plugins: tuple[str, ...] = field(default_factory=lambda: tuple(named_packages()))


def prepare_clips(
    clips: Sequence[PlannedClip], job: PreparationJob, workers: int | None, cluster: str | None = None
) -> Iterator[list[PreparedClip | SkippedInput]]:
    """Prepare clips in parallel.

    Args:
        clips: the clips.
        job: how they are prepared.
        workers: number of processes; by default one per core.
        cluster: address of a Dask scheduler whose workers do the work instead; they must see the same folders.

    Yields:
        The outcomes of each finished chunk of clips.
    """
    yield from run_chunks(partial(_prepare_chunk, job=job), clips, CHUNK, workers, cluster)


def _prepare_chunk(
    clips: Sequence[PlannedClip], owner: int | None, job: PreparationJob
) -> list[PreparedClip | SkippedInput]:
    keep_pages()
    name_plugins(job.plugins)
    outcomes = []
    for clip in clips:
        check_owner(owner)
        outcomes.append(_prepare_clip(clip, job))
    return outcomes


def _prepare_clip(clip: PlannedClip, job: PreparationJob) -> PreparedClip | SkippedInput:
    preprocessing, rate = job.preprocessing, job.preprocessing.recording_rate
    try:
        samples, damage = clip.recording.sound.read(rate)
        waveform = preprocessing.normalize(samples)
        job.limits.check(len(waveform), rate, damage)
    except Rejected as error:
        return SkippedInput(clip.recording.source, clip.class_name, error.reason, error.detail)
    segments = preprocessing.segments(waveform)
    features = preprocessing.features(segments)
    waveforms_crc32 = _save(clip.path(job.folder.waveforms), segments) if job.waveforms else None
    features_crc32 = _save(clip.path(job.folder.features), features)
    return PreparedClip(
        clip.class_name,
        clip.clip,
        clip.recording.source,
        clip.fingerprint,
        segments=len(segments),
        samples=len(waveform),
        moments=Moments.of(features),
        wave_stats=WaveStats.of(segments, preprocessing.sample_rate) if job.waveforms else None,
        features_crc32=features_crc32,
        waveforms_crc32=waveforms_crc32,
        damage=damage,
    )


def _save(path: Path, array: Samples) -> int:
    """Write an npy file as ``np.save`` does, in one piece; returns its CRC-32."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    data = np.ascontiguousarray(array).data

    def write(stream: IO[bytes]) -> None:
        stream.write(header.getvalue())
        stream.write(data)

    write_atomic(path, write)
    return zlib.crc32(data, zlib.crc32(header.getvalue()))
