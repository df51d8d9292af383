"""The store of a dataset folder's embeddings: each segment is embedded once by a frozen encoder, and kept.

It is a packed store as that of the segments is: half precision, memory-mapped, with a checksum for each segment.
"""

import functools
import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from fewshot_audio.audio.samples import Samples
from fewshot_audio.config.plugins import name_plugins, named_packages
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import SEGMENTS, PackedStore, write_index
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.store_folder import STORE, read_packed, stores_folder
from fewshot_audio.data.store_packing import in_place_of
from fewshot_audio.data.stored_rows import StoredRows
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes, locked, write_atomic
from fewshot_audio.progress import Progress, silent

logger = logging.getLogger(__name__)

CHUNK = 32  # segments that a worker embeds at once; few, so that an interruption loses little
DTYPE = np.dtype("<f2")


class SegmentEncoder(Protocol):
    """A frozen encoder of a dataset's segments. It can be pickled, for other processes."""

    @property
    def key(self) -> str:
        """A digest of all that its embeddings depend on, except for the segments."""

    @property
    def shape(self) -> tuple[int, int]:
        """What a segment becomes: (rows, width)."""

    def embed(self, segment: Samples, number: int) -> Samples:
        """Embed a segment of that number. Shape: (samples,) -> (rows, width)."""


@dataclass(frozen=True)
class EmbeddedFolder:
    """The embeddings of a dataset folder's waveforms by an encoder.

    Attributes:
        folder: the dataset folder.
        precision: of the packed store of its waveforms.
        encoder: embeds them.
        workers: processes that do so; None: one per core.
        plugins: that the user named, for these processes.
    """

    folder: DatasetFolder
    precision: Literal["float32", "float16"]
    encoder: SegmentEncoder
    workers: int | None = None
    plugins: tuple[str, ...] = field(default_factory=lambda: tuple(named_packages()))

    def open(self, progress: Progress = silent) -> SegmentStore:
        """Open the store; what is missing of it is embedded first, and kept if that is interrupted.

        If two processes start at once, one embeds and the other waits.

        Raises:
            DataError: the waveforms are missing or damaged.
            ConfigError: the encoder cannot be used, or gives numbers that half precision does not hold.
            WriteError: the disk is full.
        """
        waveforms = self._waveforms(progress)
        name = self._name(waveforms)
        packed = read_packed(self.folder.path / STORE / name)  # even if the folder cannot be written
        return SegmentStore.of(packed or self._embed(waveforms, name, progress), self._embed_again)

    def _waveforms(self, progress: Progress = silent) -> SegmentStore:
        return SegmentStore.open(self.folder, "waveforms", progress, self.precision)

    def _name(self, waveforms: SegmentStore) -> Path:
        source = _packed(waveforms).path
        return Path(f"embeddings-{self.encoder.key[:20]}") / f"{source.parent.name}-{source.name}"

    def _embed_again(self, store: PackedStore, damaged: Indices) -> PackedStore:
        """Return an intact store in the place of one that has damaged segments."""
        logger.warning("%s: damaged in %d segments; embedded anew", store.path, len(damaged))
        waveforms = self._waveforms()
        name = self._name(waveforms)
        if name.name != store.path.name:
            raise DataError(f"{store.path} is damaged, and the waveforms have changed since it was made: start again")
        return self._embed(waveforms, name, silent, damaged)

    def _embed(
        self, waveforms: SegmentStore, name: Path, progress: Progress, damaged: Indices | None = None
    ) -> PackedStore:
        """Embed all segments, unless another process has done so, or does it now."""
        packed = stores_folder(self.folder.path) / name
        with explained_writes(packed):
            packed.parent.mkdir(parents=True, exist_ok=True)
        with locked(packed.parent / "lock"):
            store = read_packed(packed)
            if store and (damaged is None or not store.damaged(damaged)):
                return store
            chunks = packed.with_suffix(".chunks")  # ``in_place_of`` removes it with the stores of earlier states
            total = len(waveforms.segments)
            missing = [start for start in range(0, total, CHUNK) if self._read(chunks, start, total) is None]
            done = total - CHUNK * len(missing)
            for _ in self._run(waveforms, chunks, missing):
                done += CHUNK
                progress("embedding segments", min(max(done, 0), total), total)
            self._pack(waveforms, chunks, packed)
            return PackedStore.read(packed)

    def _run(self, waveforms: SegmentStore, chunks: Path, starts: Sequence[int]) -> Iterator[None]:
        import joblib  # now, because whatever opens a dataset imports this module

        from fewshot_audio.data.parallel import run_chunks  # now, too: it imports joblib

        workers = min(self.workers or joblib.cpu_count(), len(starts))
        if workers <= 1:
            for start in starts:
                _embed_chunk(self, waveforms, chunks, start)
                yield
            return
        yield from run_chunks(functools.partial(_work_on_chunks, job=self, chunks=chunks), starts, 1, workers)

    def _read(self, chunks: Path, start: int, total: int) -> Any:
        """The rows of a chunk, half precision; None if it has not been embedded, or not wholly."""
        try:
            rows = np.load(chunks / f"{start:012}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        expected = (min(CHUNK, total - start), *self.encoder.shape)
        return rows if rows.shape == expected and rows.dtype == DTYPE else None

    def _pack(self, waveforms: SegmentStore, chunks: Path, packed: Path) -> None:
        source, total = _packed(waveforms), len(waveforms.segments)
        shape = (total, *self.encoder.shape)
        checksums: list[int] = []
        with in_place_of(packed) as folder:
            with (folder / SEGMENTS).open("wb") as stream:
                header = {"descr": DTYPE.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                for start in range(0, total, CHUNK):
                    rows = self._read(chunks, start, total)
                    if rows is None:
                        raise DataError(f"{chunks / f'{start:012}.npy'}: removed while it was needed: start again")
                    checksums += map(zlib.crc32, rows)
                    stream.write(rows.data)
            write_index(
                folder,
                classes=list(source.classes),
                clips=list(source.clips),
                class_of=source.class_of,
                counts=source.counts,
                dtype=DTYPE,
                shape=shape,
                checksums=np.array(checksums, np.uint32),
            )


class SideBySideRows:
    """The rows of stores of the same clips, beside each other; reading rows copies them."""

    def __init__(self, stores: Sequence[SegmentStore]) -> None:
        self._stores = stores

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        width = sum(store.shape[-1] for store in self._stores)
        return (*self._stores[0].segments.shape[:-1], width)

    @property
    def nbytes(self) -> int:
        """As an array's."""
        return sum(store.segments.nbytes for store in self._stores)

    def __len__(self) -> int:
        """Number of segments."""
        return len(self._stores[0].segments)

    def __getitem__(self, indices: Any) -> Any:
        """Copy rows. Raises DataError as reading a damaged store does."""
        return np.concatenate([store.segments[indices] for store in self._stores], axis=-1)


def open_embedded(
    folder: DatasetFolder,
    encoders: Sequence[SegmentEncoder],
    progress: Progress = silent,
    precision: Literal["float32", "float16"] = "float32",
) -> SegmentStore:
    """Open the store of a dataset folder's embeddings by one or several encoders, side by side.

    Args:
        folder: the dataset folder, which has waveforms.
        encoders: the encoders, each with as many rows of a segment.
        progress: called while segments are embedded.
        precision: of the packed store of the waveforms.

    Raises:
        DataError, ConfigError, WriteError: as ``EmbeddedFolder.open``.
    """
    stores = [EmbeddedFolder(folder, precision, encoder).open(progress) for encoder in encoders]
    first = stores[0]
    if len(stores) == 1:
        return first
    return SegmentStore(SideBySideRows(stores), first.classes, first.clips, first.class_of, first.index.offsets)


def _packed(store: SegmentStore) -> PackedStore:
    assert isinstance(store.segments, StoredRows)
    return store.segments.store


@functools.lru_cache(maxsize=1)
def _waveforms_of(folder: DatasetFolder, precision: Literal["float32", "float16"]) -> SegmentStore:
    """The packed waveforms of a folder, opened once in a worker."""
    return SegmentStore.open(folder, "waveforms", silent, precision)


def _work_on_chunks(starts: Sequence[int], owner: int | None, job: EmbeddedFolder, chunks: Path) -> None:
    """Embed some segments in a worker of the process ``owner``."""
    from fewshot_audio.data.parallel import check_owner

    name_plugins(job.plugins)
    for start in starts:
        check_owner(owner)
        _embed_chunk(job, _waveforms_of(job.folder, job.precision), chunks, start)


def _embed_chunk(job: EmbeddedFolder, waveforms: SegmentStore, chunks: Path, start: int) -> None:
    """Embed some segments and write them to a file of their own."""
    numbers = np.arange(start, min(start + CHUNK, len(waveforms.segments)))
    segments = zip(waveforms.read(numbers), numbers.tolist(), strict=True)
    rows = np.stack([job.encoder.embed(segment, number) for segment, number in segments])
    with np.errstate(over="ignore"):
        half = rows.astype(DTYPE)
    if not np.isfinite(half).all():
        raise DataError(f"{job.encoder}: its embeddings have numbers beyond 65504, which half precision does not hold")
    write_atomic(chunks / f"{start:012}.npy", lambda stream: np.save(stream, half))
