"""Pack a dataset folder's clips into one array, the store, and detect when the folder has changed since."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from fewshot_audio.data.clip_files import ClipFile, is_clip, read_shape
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text
from fewshot_audio.progress import Progress

FORMAT = 1
STORE = ".store"  # in the dataset folder
INDEX, SEGMENTS, CLIPS = "index.json", "segments.npy", "clips.npy"  # of a packed store
SCAN_THREADS = 4


def stores_folder(folder: Path) -> Path:
    """Return the folder of packed stores: in the dataset folder, or in the user's cache if that is read-only."""
    inside = folder / STORE
    try:
        inside.mkdir(exist_ok=True)
        if os.access(inside, os.W_OK):
            return inside
    except OSError:
        pass
    key = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:20]
    cache = Path(platformdirs.user_cache_dir("fewshot-audio")) / "stores" / key
    cache.mkdir(parents=True, exist_ok=True)
    return cache


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


def pack(
    clips: Sequence[ClipFile], packed: Path, axes: tuple[str, ...], dtype: np.dtype[Any], progress: Progress
) -> None:
    """Pack clips into the folder ``packed``, and remove the stores of earlier states.

    The store is written next to ``packed`` and renamed in the end. The caller holds the lock of the parent folder.

    Args:
        clips: the clips in order.
        packed: the folder to make.
        axes: names of a segment's axes.
        dtype: how the store keeps numbers.
        progress: called as clips are done.

    Raises:
        DataError: clips do not fit together, hold values that are not finite in ``dtype``, or the disk is full.
    """
    for leftover in packed.parent.glob("*.partial"):  # of a killed process: the caller holds the lock
        shutil.rmtree(leftover)
    partial = packed.with_suffix(".partial")
    partial.mkdir()
    try:
        _write(partial, clips, axes, dtype, progress)
    except OSError as error:
        shutil.rmtree(partial)
        raise DataError(
            f"{error.filename or packed}: {error.strerror or error}; the segments cannot be packed"
        ) from error
    except BaseException:
        shutil.rmtree(partial)
        raise
    outdated = [path for path in packed.parent.iterdir() if path.is_dir() and path != partial]
    partial.rename(packed)
    for path in outdated:  # the dataset folder has changed since; open memory maps of it stay valid
        shutil.rmtree(path, ignore_errors=True)


def _write(
    partial: Path, clips: Sequence[ClipFile], axes: tuple[str, ...], dtype: np.dtype[Any], progress: Progress
) -> None:
    shapes: list[tuple[int, ...]] = []
    for clip in clips:
        shapes.append(read_shape(clip.path, axes, (clips[0].path, shapes[0]) if shapes else None))
    counts = np.array([shape[0] for shape in shapes], dtype=np.int64)
    shape = (int(counts.sum()), *shapes[0][1:])
    dtype = dtype.newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with (partial / SEGMENTS).open("wb") as stream:  # a memory map would kill the process if the disk is full
        np.lib.format.write_array_header_1_0(stream, header)
        for done, (clip, count) in enumerate(zip(clips, counts.tolist(), strict=True), start=1):
            with np.errstate(over="ignore", invalid="ignore"):  # values that the store cannot hold are refused below
                array = np.load(clip.path, allow_pickle=False).astype(dtype).reshape(count, *shape[1:])
            if not np.isfinite(array).all():
                raise DataError(f"{clip.path}: holds values that are not finite (in {dtype.name})")
            stream.write(np.ascontiguousarray(array).data)
            if done % 256 == 0 or done == len(clips):
                progress("packing", done, len(clips))
    classes = sorted({clip.class_name for clip in clips})
    code = {name: number for number, name in enumerate(classes)}
    np.save(partial / CLIPS, np.stack([np.array([code[clip.class_name] for clip in clips]), counts]))
    index = {"classes": classes, "clips": [clip.name for clip in clips]}
    write_text(partial / INDEX, json.dumps(index))  # ASCII with escapes, because file names may be any bytes
