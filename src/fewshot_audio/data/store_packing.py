"""Pack a dataset folder's clips into one array, the store."""

import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.clip_checksums import Checksums, check_clip
from fewshot_audio.data.clip_files import ClipFile, read_clip, read_shape
from fewshot_audio.data.packed_store import SEGMENTS, write_index
from fewshot_audio.errors import DataError
from fewshot_audio.files import explained_writes
from fewshot_audio.progress import Progress


def pack(
    clips: Sequence[ClipFile],
    packed: Path,
    axes: tuple[str, ...],
    dtype: np.dtype[Any],
    checksums: Checksums,
    progress: Progress,
    cut: Preprocessing | None = None,
) -> None:
    """Pack clips into the folder ``packed``, and remove the stores of earlier states.

    The store is written next to ``packed`` and renamed in the end. The caller holds the lock of the parent folder.

    Args:
        clips: the clips in order.
        packed: the folder to make; a damaged store that is there is replaced.
        axes: names of a segment's axes.
        dtype: how the store keeps numbers.
        checksums: what is recorded of the clips' files.
        progress: called as clips are done.
        cut: how clips that are kept whole (samples,) are cut; None: each is one segment.

    Raises:
        DataError: clips are damaged, do not fit together, or hold values that are not finite in ``dtype``.
        WriteError: the disk is full.
    """
    shapes: list[tuple[int, ...]] = []
    for clip in clips:
        try:
            shapes.append(read_shape(clip.path, axes, (clips[0].path, shapes[0]) if shapes else None, cut))
        except DataError:
            check_clip(clip, checksums)  # says what to do
            raise
    counts = np.array([shape[0] for shape in shapes], dtype=np.int64)
    shape = (int(counts.sum()), *shapes[0][1:])
    dtype = dtype.newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    classes = sorted({clip.class_name for clip in clips})
    code = {name: number for number, name in enumerate(classes)}
    of_segments: list[int] = []
    with in_place_of(packed) as folder:
        with (folder / SEGMENTS).open("wb") as stream:  # a memory map would kill the process if the disk is full
            np.lib.format.write_array_header_1_0(stream, header)
            for done, (clip, count) in enumerate(zip(clips, counts.tolist(), strict=True), start=1):
                check_clip(clip, checksums)
                array = read_clip(clip.path, axes, dtype, cut)
                if array.shape != (count, *shape[1:]):
                    raise DataError(f"{clip.path}: has changed while it was read: {array.shape}")
                of_segments += map(zlib.crc32, array)
                stream.write(array.data)
                if done % 256 == 0 or done == len(clips):
                    progress("packing", done, len(clips))
        write_index(
            folder,
            classes=classes,
            clips=[clip.name for clip in clips],
            class_of=np.array([code[clip.class_name] for clip in clips]),
            counts=counts,
            dtype=dtype,
            shape=shape,
            checksums=np.array(of_segments, np.uint32),
        )


@contextmanager
def in_place_of(packed: Path) -> Iterator[Path]:
    """Yield a folder that becomes ``packed`` in the end; if the block fails, it is removed."""
    for leftover in packed.parent.glob("*.partial"):  # of a killed process: the caller holds the lock
        shutil.rmtree(leftover)
    partial = packed.with_suffix(".partial")
    try:
        with explained_writes(packed):
            partial.mkdir()
            yield partial
            outdated = [path for path in packed.parent.iterdir() if path.is_dir() and path not in (packed, partial)]
            if packed.is_dir():  # damaged
                shutil.rmtree(packed)
            partial.rename(packed)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for path in outdated:  # the dataset folder has changed since; open memory maps of it stay valid
        shutil.rmtree(path, ignore_errors=True)
