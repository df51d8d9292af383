"""The work of one process: embed recordings into a partition that no other process is appending to."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from fewshot_audio.archive.description import IndexDescription, describe
from fewshot_audio.archive.halves import narrow
from fewshot_audio.archive.partition import MOST_PARTITIONS, PartitionWriter, lock_path, partition_numbers
from fewshot_audio.archive.provenance import provenance
from fewshot_audio.archive.recordings import LONGEST_TEXT, IndexedRecording
from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.config.plugins import name_plugins, named_packages
from fewshot_audio.data.parallel import check_owner
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.files import locked
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.named_encoders import named_encoder
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.windows import EmbeddedWindow, embed_windows, hop_samples
from fewshot_audio.runtime.allocator import keep_pages

BATCH = 256  # windows whose rows are in memory at once


@dataclass(frozen=True)
class EmbeddingJob:
    """What embeds recordings, and where the rows go; for other processes and machines.

    Args:
        folder: the index.
        archive: the folder that names of recordings are below.
        bundle: the recognizer whose network and encoders embed.
        encoders: names of frozen encoders beside those of the bundle.
        device: where the network computes.
        hop: seconds from a window to the next.
        plugins: packages that the user named.
    """

    folder: Path
    archive: Path
    bundle: Path
    encoders: tuple[str, ...]
    device: str
    hop: float
    plugins: tuple[str, ...] = field(default_factory=lambda: tuple(named_packages()))


@cache
def open_recognizer(bundle: Path, encoders: tuple[str, ...], device: str) -> Recognizer:
    """The recognizer of a bundle with further frozen encoders; in each process it is read once."""
    recognizer = Recognizer.load(bundle, device)
    if encoders:
        added = ClipEncoders.of([named_encoder(name) for name in encoders]).descriptions
        recognizer.encoders = ClipEncoders({**added, **recognizer.encoders.descriptions})
    return recognizer


def describe_job(job: EmbeddingJob) -> IndexDescription:
    """The description of the index that a job makes; a segment of noise is embedded for the widths."""
    recognizer = open_recognizer(job.bundle, job.encoders, job.device)
    preprocessing = recognizer.preprocessing
    hop = hop_samples(preprocessing, job.hop)
    noise = np.random.default_rng(0).normal(size=(1, preprocessing.segment_samples)).astype(np.float32)
    _, rows, width = recognizer.embedder.rows(recognizer.embedder.features(noise)).shape
    encoded = recognizer.encoders.rows(noise, noise.size, preprocessing.sample_rate)
    return describe(recognizer, hop, {name: values.shape[1] for name, values in encoded.items()}, rows, width)


def embed_recordings(
    recordings: Sequence[IndexedRecording], owner: int | None, job: EmbeddingJob, description: IndexDescription
) -> list[IndexedRecording]:
    """Embed recordings into a free partition; returns what is known of each now.

    Args:
        recordings: as they were listed, with names, sizes and times.
        owner: the process that started this one, if it is on this machine.
        job: what embeds them.
        description: of the index.
    """
    keep_pages()
    name_plugins(job.plugins)
    recognizer = _recognizer_of(job, description)
    embedded = []
    with _free_partition(job.folder) as number, PartitionWriter(job.folder, number, description) as writer:
        for recording in recordings:
            check_owner(owner)
            # A worker that outlived the process which started it may have embedded it since it was listed.
            former = writer.live.get(recording.file)
            if former is not None and recording.is_embedded_as(former):
                embedded.append(former)
                continue
            embedded.append(_embed(recognizer, recording, job, description, writer))
            writer.add(embedded[-1])
        writer.commit()
    return embedded


def _recognizer_of(job: EmbeddingJob, description: IndexDescription) -> Recognizer:
    """The recognizer that an index is made by; a worker of a cluster may have an earlier state of its bundle open."""
    encoders = {name: encoder.digest for name, encoder in description.encoders.items()}
    try:
        recognizer = open_recognizer(job.bundle, job.encoders, job.device)
        description.check_recognizer(recognizer, job.folder, encoders)
    except DataError:
        open_recognizer.cache_clear()
        recognizer = open_recognizer(job.bundle, job.encoders, job.device)
        description.check_recognizer(recognizer, job.folder, encoders)
    return recognizer


@contextmanager
def _free_partition(folder: Path) -> Iterator[int]:
    """Lock the first partition that no other process has; a lock of a process that was killed is free.

    Numbers below all that are there were those of parts that ``compact_index`` has removed: they do not come back.
    """
    for number in range(min(partition_numbers(folder), default=0), MOST_PARTITIONS):
        in_use = DataError(f"part {number} is in use")
        try:
            lock = locked(lock_path(folder, number), in_use)
            lock.__enter__()
        except DataError as error:
            if error is not in_use:
                raise
            continue
        try:
            yield number
        finally:
            lock.__exit__(None, None, None)
        return
    raise DataError(f"{folder}: {MOST_PARTITIONS} processes are writing to it")


def _embed(
    recognizer: Recognizer,
    recording: IndexedRecording,
    job: EmbeddingJob,
    description: IndexDescription,
    writer: PartitionWriter,
) -> IndexedRecording:
    path = job.archive / recording.file
    origin = provenance(path, recording.file)
    recording = replace(recording, time=origin.time, site=origin.site, recorder=origin.recorder)
    decoding = Decoding(path, description.rate)
    windows = samples = 0
    batch: list[EmbeddedWindow] = []
    try:
        for window in embed_windows(
            recognizer, decoding, job.hop, timbre=True, encoders=recognizer.encoders.descriptions
        ):
            windows, samples = windows + 1, window.end
            batch.append(window)
            if len(batch) == BATCH:
                _add(writer, batch, description)
                batch = []
        if batch:
            _add(writer, batch, description)
    except DataError as error:  # Rejected, or numbers that an index does not hold
        if isinstance(error, Rejected) and error.reason in (Reason.DENIED, Reason.MISSING):
            recording = replace(recording, size=0, modified=0)  # permissions change without a trace in these
        return replace(recording, error=_short(str(error)))
    silence = ""
    try:
        decoding.level.check(description.rate)
    except Rejected as error:
        silence = error.detail
    return replace(
        recording,
        windows=windows,
        samples=samples,
        rate=decoding.rate,
        damage=_short(decoding.damage),
        silence=_short(silence),
    )


def _short(text: str) -> str:
    return on_one_line(text)[:LONGEST_TEXT]


def _add(writer: PartitionWriter, windows: Sequence[EmbeddedWindow], description: IndexDescription) -> None:
    """Append windows; a silent one has only zeros, which no other has in its timbre."""
    rows = {block: np.zeros((len(windows), width), np.float32) for block, width in description.blocks.items()}
    for place, window in enumerate(windows):
        if window.rows is None:
            continue
        if window.segments != 1 or window.timbre is None:
            raise DataError(f"a window of {window.segments} segments, expected one")
        rows["embedding"][place] = window.rows.reshape(-1)
        rows["timbre"][place] = window.timbre[0]
        for name, values in window.encoded.items():
            rows[encoder_block(name)][place] = values[0]
    writer.add_rows({block: narrow(values) for block, values in rows.items()})


def listed(path: Path, name: str) -> IndexedRecording:
    """A recording as it lies on disk, not embedded yet. Raises OSError if it is not there."""
    status = os.stat(path)  # noqa: PTH116 - once for each of 300,000
    return IndexedRecording(name, status.st_size, status.st_mtime_ns)
