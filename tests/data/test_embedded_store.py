"""The store of embeddings: computed once, resumed, verified, and side by side."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fewshot_audio.data.embedded_store import CHUNK, EmbeddedFolder, open_embedded
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import DataError

CLASSES, CLIPS, SAMPLES = 3, 15, 40
TOTAL = CLASSES * CLIPS

asked: Counter[int] = Counter()


@dataclass(frozen=True)
class Sums:
    """Sums of each half of a segment, beside the segment's number; stops at one segment if it is to."""

    factor: float = 1.0
    stops_at: int | None = None
    width: int = field(default=3)

    @property
    def key(self) -> str:
        return f"{self.factor:020.3f}"

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.width

    def embed(self, segment: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        asked[number] += 1
        if number == self.stops_at:
            raise KeyboardInterrupt
        values = [*segment.reshape(2, -1).sum(1), number]
        return self.factor * np.array([values], np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    asked.clear()
    random = np.random.default_rng(0)
    made = DatasetFolder(tmp_path / "Sounds")
    for name in range(CLASSES):
        (made.waveforms / f"class-{name}").mkdir(parents=True)
        for clip in range(CLIPS):
            segments = random.normal(size=(1, SAMPLES)).astype(np.float32)
            np.save(made.waveforms / f"class-{name}" / f"clip-{clip:02}.npy", segments)
    return made


def expected(folder: DatasetFolder, factor: float = 1.0) -> NDArray[np.float32]:
    clips = sorted(folder.waveforms.glob("*/*.npy"))
    rows = [[*np.load(clip)[0].reshape(2, -1).sum(1), number] for number, clip in enumerate(clips)]
    return (factor * np.array(rows, np.float32)).astype(np.float16).astype(np.float32)[:, None]


def test_each_segment_is_embedded_once(folder: DatasetFolder) -> None:
    for _ in range(2):
        store = open_embedded(folder, [Sums()])
        assert np.array_equal(store.read(np.arange(TOTAL)), expected(folder))
    assert asked == Counter(range(TOTAL))
    waveforms = SegmentStore.open(folder, "waveforms")
    assert store.clips == waveforms.clips
    assert np.array_equal(store.index.offsets, waveforms.index.offsets)
    assert store.segments[:1].dtype == np.float16


def test_workers_make_the_same_store(folder: DatasetFolder) -> None:
    store = EmbeddedFolder(folder, "float32", Sums(), workers=2).open()
    assert np.array_equal(store.read(np.arange(TOTAL)), expected(folder))
    assert not asked  # in this process


def test_an_interruption_loses_one_chunk(folder: DatasetFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_embedded(folder, [Sums(stops_at=CHUNK + 2)])
    store = open_embedded(folder, [Sums()])
    assert np.array_equal(store.read(np.arange(TOTAL)), expected(folder))
    assert {number for number, times in asked.items() if times > 1} == set(range(CHUNK, CHUNK + 3))
    assert not list((folder.path / ".store").glob("embeddings-*/*.chunks"))


def test_a_chunk_that_was_written_in_part_is_embedded_again(folder: DatasetFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        open_embedded(folder, [Sums(stops_at=CHUNK)])
    (chunk,) = (folder.path / ".store").glob("embeddings-*/*.chunks/*.npy")
    chunk.write_bytes(chunk.read_bytes()[:-10])
    assert np.array_equal(open_embedded(folder, [Sums()]).read(np.arange(TOTAL)), expected(folder))


def test_other_encoders_and_other_clips_have_stores_of_their_own(folder: DatasetFolder) -> None:
    open_embedded(folder, [Sums()])
    assert np.array_equal(open_embedded(folder, [Sums(2.0)]).read(np.arange(TOTAL)), expected(folder, 2.0))
    clip = folder.waveforms / "class-0" / "clip-00.npy"
    np.save(clip, np.ones((1, SAMPLES), np.float32))
    assert np.array_equal(open_embedded(folder, [Sums()]).read(np.array([0]))[0, 0], [20, 20, 0])


def test_a_damaged_segment_is_embedded_anew(folder: DatasetFolder) -> None:
    open_embedded(folder, [Sums()])
    (file,) = (folder.path / ".store").glob("embeddings-*/*/segments.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 0xFF
    file.write_bytes(bytes(content))
    store = open_embedded(folder, [Sums()])
    assert np.array_equal(store.read(np.arange(TOTAL)), expected(folder))
    assert asked[0] == 2


def test_encoders_stand_side_by_side(folder: DatasetFolder) -> None:
    store = open_embedded(folder, [Sums(2.0), Sums()])
    assert store.shape == (1, 6)
    rows = store.read(np.array([5, 1]))
    assert np.array_equal(rows, np.concatenate([expected(folder, 2.0), expected(folder)], axis=-1)[[5, 1]])
    assert store.segments.nbytes == TOTAL * 6 * 2
    assert store.segments[0].shape == (1, 6)


def test_numbers_that_half_precision_lacks_are_refused(folder: DatasetFolder) -> None:
    with pytest.raises(DataError, match="numbers beyond 65504"):
        open_embedded(folder, [Sums(1e5)])


def test_a_store_that_is_there_is_read_from_a_folder_without_waveform_files_of_another_place(
    folder: DatasetFolder, tmp_path: Path
) -> None:
    open_embedded(folder, [Sums()])
    asked.clear()
    copy = DatasetFolder(tmp_path / "copy" / "Sounds")
    shutil.copytree(folder.path, copy.path)  # with times, as backups do
    open_embedded(copy, [Sums()])
    assert not asked
