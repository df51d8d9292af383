"""The packed store of a dataset folder: found, packed if it is missing or damaged or the folder has changed."""

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.clip_checksums import read_checksums
from fewshot_audio.data.clip_files import SEGMENT_AXES, is_clip, is_whole, lengths_differ, list_clips
from fewshot_audio.data.clip_index import Indices
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import FORMAT, DamagedStore, PackedStore
from fewshot_audio.data.published import published_preprocessing
from fewshot_audio.data.store_packing import pack
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes, locked
from fewshot_audio.progress import Progress, silent

logger = logging.getLogger(__name__)

STORE = ".store"  # in the dataset folder
SCAN_THREADS = 4


@dataclass(frozen=True)
class StoreFolder:
    """Where a dataset folder's packed store is: in its ``.store``, or in the user's cache if that is read-only.

    Attributes:
        folder: the dataset folder.
        kind: which of its arrays.
        precision: how the packed store keeps numbers.
    """

    folder: DatasetFolder
    kind: Literal["features", "waveforms"]
    precision: Literal["float32", "float16"]

    @property
    def clips(self) -> Path:
        """The folder of the clips' arrays."""
        return self.folder.features if self.kind == "features" else self.folder.waveforms

    def open(self, progress: Progress = silent) -> PackedStore:
        """Open the packed store; pack it first if it is missing or damaged.

        If two processes start at once, one packs and the other waits.

        Raises:
            DataError: the folder has no such arrays, or they do not fit together, or are damaged; names the file.
            WriteError: the disk is full.
        """
        if not self.clips.is_dir():
            how = "`prepare`" if self.kind == "features" else "`prepare --waveforms`"
            raise DataError(
                f"{self.clips}: no such folder; a dataset folder keeps its {self.kind} there ({how} makes it)"
            )
        name = self._name()
        store = read_packed(self.folder.path / STORE / name)  # even if the folder cannot be written
        return store or self._pack(name, lambda _: True, progress)

    def exists(self) -> bool:
        """Whether the clips, as they are now, have been packed."""
        if not self.clips.is_dir():
            return False
        name = self._name()
        return any((place / name).is_dir() for place in (self.folder.path / STORE, _user_cache(self.folder.path)))

    def pack_again(self, store: PackedStore, damaged: Indices) -> PackedStore:
        """Return an intact store in the place of one that has damaged segments.

        Raises:
            DataError: the clips have changed since, or are damaged themselves.
            WriteError: the disk is full.
        """
        logger.warning("%s: damaged in %d segments; packed anew from %s", store.path, len(damaged), self.clips)
        name = self._name()
        if name.name != store.path.name:
            raise DataError(f"{store.path} is damaged, and {self.clips} has changed since it was packed: start again")
        return self._pack(name, lambda other: not other.damaged(damaged), silent)

    def _name(self) -> Path:
        kind = self.kind if self.precision == "float32" else f"{self.kind}-{self.precision}"
        cut = self._cut()
        how = f"-{hashlib.sha256(cut.to_json().encode()).hexdigest()[:8]}" if cut else ""
        return Path(kind) / f"{clips_fingerprint(self.clips)[:20]}{how}"

    def _cut(self) -> Preprocessing | None:
        """How waveforms that another tool kept whole are cut; None if the clips are segments already."""
        first = next(list_clips(self.clips), None) if self.kind == "waveforms" else None
        if first is None or not is_whole(first):
            return None
        return self.folder.read_preprocessing() or published_preprocessing(self.folder.name)

    def _pack(self, name: Path, is_intact: Callable[[PackedStore], bool], progress: Progress) -> PackedStore:
        """Pack the store, unless another process has done so, or does it now."""
        packed = stores_folder(self.folder.path) / name
        with explained_writes(packed):
            packed.parent.mkdir(parents=True, exist_ok=True)
        with locked(packed.parent / "lock"):
            store = read_packed(packed)
            if store and is_intact(store):
                return store
            clips, axes = list(list_clips(self.clips)), SEGMENT_AXES[self.kind]
            checksums = read_checksums(self.folder, self.kind)
            cut = self._cut()
            if cut and not lengths_differ(clips):
                cut = None
            elif cut:
                logger.warning(
                    "%s: clips of different lengths, cut into segments of %g s", self.clips, cut.segment_seconds
                )
            pack(clips, packed, axes, np.dtype(self.precision), checksums, progress, cut)
            return PackedStore.read(packed)


def read_packed(packed: Path) -> PackedStore | None:
    """Read a packed store; None if there is none, or if it is damaged, which is logged."""
    if not packed.is_dir():
        return None
    try:
        return PackedStore.read(packed)
    except DamagedStore as error:
        logger.warning("%s; the segments are packed anew", error)
        return None


def stores_folder(folder: Path) -> Path:
    """Return the folder of packed stores: in the dataset folder, or in the user's cache if that is read-only."""
    inside = folder / STORE
    try:
        inside.mkdir(exist_ok=True)
        if os.access(inside, os.W_OK):
            return inside
    except OSError:
        pass
    return _user_cache(folder)


def _user_cache(folder: Path) -> Path:
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:20]
    return Path(platformdirs.user_cache_dir("fewshot-audio")) / "stores" / key


def clips_fingerprint(root: Path) -> str:
    """Return a digest of the names, sizes and times of all clips, which changes when any file does.

    A few threads read them in parallel, because a network drive may take long for each of many files.

    Raises:
        DataError: the folder has no clips, or cannot be read.
    """

    def scan(name: str) -> str:
        try:
            with os.scandir(root / name) as entries:
                clips = sorted(
                    (entry.name, (stat := entry.stat()).st_size, stat.st_mtime_ns)
                    for entry in entries
                    if is_clip(entry)
                )
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
        return "".join(f"{name}\0{file[:-4]}\0{size}\0{modified}\n" for file, size, modified in clips)

    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    digest, empty = hashlib.sha256(f"{FORMAT}\n".encode()), True
    with ThreadPoolExecutor(SCAN_THREADS) as threads:
        for clips in threads.map(scan, names):
            digest.update(clips.encode("utf-8", "surrogateescape"))
            empty &= not clips
    if empty:
        raise DataError(f"{root}: no <class>/<clip>.npy files in it")
    return digest.hexdigest()
