"""The packed store holds what the files hold, follows their changes, and refuses what it cannot trust."""

import errno
import gc
import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.packed_store import PackedStore
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.stored_rows import StoredRows
from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.experiments.dataset import open_dataset
from tests.tiny import tiny_configs

MELS, FRAMES = 3, 5
Clips = dict[str, NDArray[Any]]  # "class/clip" -> array

CLIPS: Clips = {
    "cat/one": np.arange(2 * MELS * FRAMES, dtype=np.float32).reshape(2, MELS, FRAMES),
    "cat/two": np.full((MELS, FRAMES), -1.5, np.float32),
    "ant/b": np.random.default_rng(0).normal(size=(4, MELS, FRAMES)).astype(np.float32),
    "ant/a": np.random.default_rng(1).normal(size=(1, MELS, FRAMES)).astype(np.float32),
}


def write(folder: DatasetFolder, clips: Clips) -> DatasetFolder:
    for name, array in clips.items():
        path = folder.features / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
    return folder


def home(folder: DatasetFolder) -> Path:
    """Where the store of the folder's features lies."""
    return folder.path / ".store" / "features"


def packed(store: SegmentStore) -> PackedStore:
    """What the store is read from."""
    assert isinstance(store.segments, StoredRows)
    return store.segments.store


def as_segments(array: NDArray[Any]) -> NDArray[np.float32]:
    return array.reshape(-1, *array.shape[-2:]).astype(np.float32)


def check(store: SegmentStore, clips: Clips) -> None:
    """The store's clips, one by one, are the arrays; nothing else is in it."""
    assert store.classes == tuple(sorted({name.partition("/")[0] for name in clips}))
    assert len(store.clips) == len(clips)
    actual = {}
    for class_name, members in store.index.by_class.items():
        for clip in members.tolist():
            actual[f"{class_name}/{store.clips[clip]}"] = clip
    assert actual.keys() == clips.keys()
    for name, clip in actual.items():
        expected = as_segments(clips[name])
        segments = np.array(store.index.segments(clip))
        assert np.array_equal(store.read(segments), expected)
        assert store.classes[store.class_of[clip]] == name.partition("/")[0]
    assert len(store.segments) == sum(len(as_segments(array)) for array in clips.values())


class Packing:
    """Counts how often a store was packed."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        assert description == "packing"
        self.times += done == total


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return write(DatasetFolder(tmp_path / "Own"), CLIPS)


# -- what it holds -----------------------------------------------------------------------------------------------------


def test_the_store_equals_the_files(folder: DatasetFolder) -> None:
    store = SegmentStore.open(folder)
    check(store, CLIPS)
    assert store.shape == (MELS, FRAMES)
    assert packed(store).segments.dtype == np.float32
    assert store.clips == ("a", "b", "one", "two")  # by class, then by file name


def test_gathered_segments_are_copies_of_a_read_only_map(folder: DatasetFolder) -> None:
    store = SegmentStore.open(folder)
    segments = packed(store).segments
    assert isinstance(segments, np.memmap)
    assert not segments.flags.writeable
    indices = np.array([[0, 5], [3, 3]])
    gathered = store.read(indices)
    assert gathered.shape == (2, 2, MELS, FRAMES)
    gathered += 1
    assert np.array_equal(store.read(indices) + 1, gathered)


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1))
def test_any_tree_of_clips_is_packed(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, list[int]]) -> None:
    random = np.random.default_rng(len(tree))
    clips = {
        f"{name}/{i}": random.normal(size=(count, MELS, FRAMES) if count else (MELS, FRAMES)).astype(np.float32)
        for name, counts in tree.items()
        for i, count in enumerate(counts)
    }
    root = tmp_path_factory.mktemp("tree")
    check(SegmentStore.open(write(DatasetFolder(root), clips)), clips)
    shutil.rmtree(root)


def test_a_folder_made_by_another_tool_is_read_as_it_is(tmp_path: Path) -> None:
    """No file of this package's own; float64 and Fortran order; stray files; pickled splits of lists."""
    random = np.random.default_rng(3)
    names = [f"speaker {i}" for i in range(9)]
    clips: Clips = {f"{name}/{i:02}": random.normal(size=(MELS, FRAMES)) for name in names for i in range(4)}
    folder = write(DatasetFolder(tmp_path / "VoxCeleb"), clips)
    fortran = np.asfortranarray(random.normal(size=(2, MELS, FRAMES)).astype(np.float32))
    clips["speaker 0/fortran"] = fortran
    np.save(folder.features / "speaker 0" / "fortran.npy", fortran)
    (folder.features / "README.txt").write_text("not a class")
    (folder.features / "speaker 1" / ".hidden.npy").write_text("not an array")
    (folder.features / "speaker 1" / "notes.txt").write_text("not an array either")
    (folder.features / "empty class").mkdir()
    splits = np.empty(3, object)
    splits[:] = [names[:3], names[3:6], names[6:]]
    np.save(folder.splits, splits, allow_pickle=True)
    folder.norm_stats.parent.mkdir()
    np.save(folder.norm_stats, np.array([0.25, 1.5], np.float32).reshape(2, 1, 1))

    experiment, _ = tiny_configs({"dataset_name": "voxceleb"})
    dataset = open_dataset(tmp_path, experiment)
    check(dataset.data.store, clips)
    assert (dataset.mean, dataset.std) == (0.25, 1.5)
    assert dataset.preprocessing is None
    assert dataset.data.splits.test == tuple(names[6:])


def test_names_of_any_alphabet_are_kept(tmp_path: Path) -> None:
    clips: Clips = {"Amsel (männlich)/größe 1": CLIPS["cat/two"], "カエル/鳴き声.wav": CLIPS["ant/b"]}
    check(SegmentStore.open(write(DatasetFolder(tmp_path), clips)), clips)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse file names that are not UTF-8")
def test_a_file_name_that_is_not_utf8_is_no_obstacle(tmp_path: Path) -> None:
    clips = {f"cat/{os.fsdecode(b'm' + bytes([0xE4]) + b'nnlich')}": CLIPS["cat/two"]}
    check(SegmentStore.open(write(DatasetFolder(tmp_path), clips)), clips)


# -- when it is packed -------------------------------------------------------------------------------------------------


def test_an_unchanged_folder_is_packed_once(folder: DatasetFolder) -> None:
    packing = Packing()
    SegmentStore.open(folder, progress=packing)
    check(SegmentStore.open(folder, progress=packing), CLIPS)
    assert packing.times == 1


def _add(folder: DatasetFolder) -> Clips:
    added: Clips = {"dog/new": np.zeros((3, MELS, FRAMES), np.float32)}
    write(folder, added)
    return CLIPS | added


def _change(folder: DatasetFolder) -> Clips:
    """Other values in a file of the same size and name."""
    changed = {"cat/two": CLIPS["cat/two"] + 1}
    path = folder.features / "cat" / "two.npy"
    before = path.stat().st_mtime_ns
    write(folder, changed)
    os.utime(path, ns=(before + 1, before + 1))  # however coarse the file system's clock is
    return CLIPS | changed


def _remove(folder: DatasetFolder) -> Clips:
    (folder.features / "ant" / "b.npy").unlink()
    return {name: array for name, array in CLIPS.items() if name != "ant/b"}


def _rename(folder: DatasetFolder) -> Clips:
    (folder.features / "ant").rename(folder.features / "bee")
    return {name.replace("ant/", "bee/"): array for name, array in CLIPS.items()}


@pytest.mark.parametrize("change", [_add, _change, _remove, _rename])
def test_a_changed_folder_is_packed_anew_and_the_old_store_goes(folder: DatasetFolder, change: Any) -> None:
    packing = Packing()
    before = SegmentStore.open(folder, progress=packing)
    clips = change(folder)
    check(SegmentStore.open(folder, progress=packing), clips)
    assert packing.times == 2
    assert len([path for path in home(folder).iterdir() if path.is_dir()]) == 1
    assert np.array_equal(before.read(np.arange(len(before.segments))), before.segments[:])  # still readable
    assert len(before.clips) == len(CLIPS)


def test_leftovers_of_a_killed_packer_are_removed(folder: DatasetFolder) -> None:
    killed = """
        import os, signal, sys
        from pathlib import Path
        from fewshot_audio.data.layout import DatasetFolder
        from fewshot_audio.data.store import SegmentStore
        SegmentStore.open(DatasetFolder(Path(sys.argv[1])), progress=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(killed), str(folder.path)], check=False)
    assert process.returncode == -signal.SIGKILL
    partial = list(home(folder).glob("*.partial"))
    assert len(partial) == 1
    partial[0].rename(partial[0].with_name("of-another-state.partial"))
    check(SegmentStore.open(folder), CLIPS)
    assert not list(home(folder).glob("*.partial"))


def test_processes_that_start_at_once_share_one_store(folder: DatasetFolder, tmp_path: Path) -> None:
    """Real processes; the one that packs dawdles, so that the other arrives while it does."""
    opening = """
        import sys, time
        from pathlib import Path
        from fewshot_audio.data.layout import DatasetFolder
        from fewshot_audio.data.store import SegmentStore
        folder, ready, go = map(Path, sys.argv[1:])
        packed = []
        def dawdle(*_):
            packed.append(True)
            time.sleep(0.3)
        ready.touch()
        while not go.exists():
            time.sleep(0.001)
        store = SegmentStore.open(DatasetFolder(folder), progress=dawdle)
        print(len(packed), store.segments.store.path, float(store.segments[:].sum(dtype="f8")), store.clips)
    """
    go = tmp_path / "go"
    signs = [tmp_path / "ready-1", tmp_path / "ready-2"]
    command = [sys.executable, "-c", textwrap.dedent(opening), str(folder.path)]
    processes = [subprocess.Popen([*command, str(sign), str(go)], stdout=subprocess.PIPE, text=True) for sign in signs]
    try:
        while not all(sign.exists() for sign in signs):
            assert [process.poll() for process in processes] == [None, None]
            time.sleep(0.01)
        go.touch()
        said = [process.communicate()[0].split(maxsplit=1) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(times for times, _ in said) == ["0", "1"]  # one packed, the other waited
    assert said[0][1] == said[1][1]
    check(SegmentStore.open(folder), CLIPS)


# -- where it lies -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["no store yet", "a store that cannot be written"])
def read_only(request: pytest.FixtureRequest, folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    """A dataset folder that refuses writes, as a read-only file system would (the tests may run as root)."""
    make, access = Path.mkdir, os.access
    inside = folder.path / ".store"

    def mkdir(path: Path, *arguments: Any, **options: Any) -> None:
        if path == inside:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *arguments, **options)

    if request.param == "no store yet":
        monkeypatch.setattr(Path, "mkdir", mkdir)
    else:
        inside.mkdir()
        monkeypatch.setattr(os, "access", lambda path, *rest, **options: path != inside and access(path, *rest))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is named by XDG_CACHE_HOME on Linux only")
def test_a_read_only_folder_is_packed_into_the_users_cache(read_only: DatasetFolder, cache: Path) -> None:
    packing = Packing()
    store = SegmentStore.open(read_only, progress=packing)
    check(store, CLIPS)
    assert isinstance(packed(store).segments, np.memmap)
    assert cache in packed(store).path.parents
    inside = read_only.path / ".store"
    assert not inside.exists() or not list(inside.iterdir())
    check(SegmentStore.open(read_only, progress=packing), CLIPS)
    assert packing.times == 1


def test_a_read_only_folder_with_its_store_inside_is_used_as_it_is(
    folder: DatasetFolder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SegmentStore.open(folder)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    packing = Packing()
    store = SegmentStore.open(folder, progress=packing)
    check(store, CLIPS)
    assert folder.path / ".store" in packed(store).path.parents
    assert packing.times == 0
    assert not cache.exists()


def test_a_full_disk_is_an_error_that_says_so_and_leaves_nothing_behind(
    folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(stream: Any, header: Any) -> None:
        stream.write(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(WriteError, match=r"\.store.*cannot be written: No space left on device"):
        SegmentStore.open(folder)
    assert not list((folder.path / ".store").rglob("*.npy"))
    monkeypatch.undo()
    check(SegmentStore.open(folder), CLIPS)


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is named by XDG_CACHE_HOME on Linux only")
def test_two_read_only_folders_of_one_name_do_not_meet_in_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: array + 1 for name, array in CLIPS.items()}
    one = write(DatasetFolder(tmp_path / "a" / "Own"), CLIPS)
    other = write(DatasetFolder(tmp_path / "b" / "Own"), others)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    check(SegmentStore.open(one), CLIPS)
    check(SegmentStore.open(other), others)
    check(SegmentStore.open(one), CLIPS)


# -- what it refuses ---------------------------------------------------------------------------------------------------


def _npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def _saved(array: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def _archive() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, segments=CLIPS["cat/one"])
    return stream.getvalue()


GOOD = CLIPS["cat/one"]
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a readable"),
    "garbage": (bytes(range(256)), "not a readable"),
    "text": (b"these are not the numbers you are looking for", "not a readable"),
    "cut off": (_saved(GOOD)[:-7], "not a readable"),
    "header only": (_saved(GOOD)[:128], "not a readable"),
    "header cut off": (_saved(GOOD)[:40], "not a readable"),
    "header unbalanced": (_npy(b"{'descr': '<f4', 'shape': (2, (3, 5"), "not a readable"),
    "header no dict": (_npy(b"[1, 2]\n"), "not a readable"),
    "header a name": (_npy(b"{'descr': boom, 'fortran_order': False, 'shape': (2, 3, 5), }\n"), "not a readable"),
    "huge shape": (
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 3, 5), }\n"),
        "not a readable",
    ),
    "negative shape": (_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3, 5), }\n"), "not a readable"),
    "npz": (_archive(), "expected a float array"),
    "integers": (_saved(GOOD.astype(np.int16)), "expected a float array.*int16"),
    "complex": (_saved(GOOD.astype(np.complex64)), "expected a float array.*complex64"),
    "records": (_saved(np.zeros((2, 3, 5), [("x", "f4")])), "expected a float array"),
    "one axis": (_saved(GOOD.ravel()), r"expected a float array.*\(30,\)"),
    "four axes": (_saved(GOOD[None]), "expected a float array"),
    "no segments": (_saved(GOOD[:0]), "expected a float array"),
    "no frames": (_saved(GOOD[:, :, :0]), "expected a float array"),
    "other frames": (_saved(GOOD[:, :, :4]), r"\(3, 4\).*\(3, 5\)"),
    "other mels": (_saved(GOOD[:, :2]), r"\(2, 5\).*\(3, 5\)"),
    "NaN": (_saved(np.where(GOOD == 7, np.nan, GOOD)), "not finite"),
    "infinity": (_saved(np.where(GOOD == 7, np.inf, GOOD).astype(np.float32)), "not finite"),
    "too large for float32": (_saved(np.where(GOOD == 7, 1e300, GOOD.astype(float))), "not finite"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_clip_is_an_error_that_names_it(folder: DatasetFolder, content: bytes, message: str) -> None:
    path = folder.features / "cat" / "two.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        SegmentStore.open(folder)
    assert str(path) in str(caught.value)
    del caught
    gc.collect()  # a file that was left open is told of here
    assert [entry.name for entry in home(folder).iterdir()] in ([], ["lock"])
    write(folder, CLIPS)
    check(SegmentStore.open(folder), CLIPS)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["object array", "pickle"])
def test_a_pickle_in_a_clip_never_runs(folder: DatasetFolder, tmp_path: Path, form: str) -> None:
    mark = tmp_path / "payload-ran"
    array = np.empty((1, MELS, FRAMES), object)
    array[:] = Payload(mark)
    content = _saved(array, allow_pickle=True) if form == "object array" else pickle.dumps(Payload(mark))
    path = folder.features / "cat" / "two.npy"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        SegmentStore.open(folder)
    assert str(path) in str(caught.value)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()  # the payload does work


def test_a_clip_that_cannot_be_opened_is_an_error_that_names_it(folder: DatasetFolder) -> None:
    (folder.features / "cat" / "dangling.npy").symlink_to(folder.path / "nowhere.npy")
    with pytest.raises(DataError, match=r"dangling\.npy"):
        SegmentStore.open(folder)


def test_a_folder_in_the_place_of_a_clip_is_an_error_that_names_it(folder: DatasetFolder) -> None:
    (folder.features / "cat" / "folder.npy").mkdir()
    with pytest.raises(DataError, match=r"folder\.npy"):
        SegmentStore.open(folder)


@pytest.fixture(params=["no features", "features a file", "no classes", "no clips"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatasetFolder]:
    folder = DatasetFolder(tmp_path / "Own")
    folder.path.mkdir()
    if request.param == "features a file":
        folder.features.touch()
    elif request.param != "no features":
        folder.features.mkdir()
    if request.param == "no clips":
        (folder.features / "cat").mkdir()
    yield folder
    assert not (folder.path / ".store").exists()


def test_a_folder_without_features_is_an_error_that_names_it(empty: DatasetFolder) -> None:
    with pytest.raises(DataError) as caught:
        SegmentStore.open(empty)
    assert str(empty.features) in str(caught.value)
