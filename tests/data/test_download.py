"""From a catalog entry to a dataset in its published layout; the catalog itself; the command."""

import hashlib
import json
import re
import shutil
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from filelock import FileLock

from fewshot_audio.cli import main
from fewshot_audio.data.download.acquire import ARCHIVES, LOCK, acquire
from fewshot_audio.data.download.catalog import DATASETS, Archive, CatalogEntry, Checksum
from fewshot_audio.data.download.fetch import RetryPolicy
from fewshot_audio.data.sources.base import Recording, Source
from fewshot_audio.data.sources.esc50 import Esc50
from fewshot_audio.data.sources.fsdkaggle2018 import FsdKaggle2018
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.sources.speechcommands import SpeechCommands
from fewshot_audio.errors import DataError
from tests.data.download_server import Behavior, Handler, Server, good, status
from tests.data.test_download_archive import contents_of, pack_tar, pack_zip

HASTY = RetryPolicy(tries=2, step=1000, stall_seconds=0.3, first_delay=0.0)
TRAIN = {f"toy-train/audio/{number}.wav": bytes([number]) * 5000 for number in range(4)}
TEST = {"audio/0.wav": b"test", "list.txt": b"0"}
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def toy(server: Server, tmp_path: Path) -> CatalogEntry:
    """Two archives, a zip of one folder with a published checksum and a flat tar.gz without, on the server."""
    train = pack_zip(tmp_path / "train.zip", TRAIN).read_bytes()
    test = pack_tar(tmp_path / "test.tar.gz", TEST).read_bytes()
    checksum = Checksum("sha256", hashlib.sha256(train).hexdigest(), "its maker")
    archives = (
        Archive(server.serve("/train", good(train)), "train.zip", "toy-train", len(train), 20_000, checksum),
        Archive(server.serve("/test", good(test)), "test.tar.gz", "toy-test", len(test), 10),
    )
    expects = ("toy-train/audio", "toy-test/list.txt")
    return CatalogEntry("toy", "Toy", server.address, "none", "toy-*/audio", archives, expects, source="toy-train")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "toy"


def result(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents_of(folder).items() if name.startswith("toy-")}


EXPECTED = TRAIN | {f"toy-test/{name}": data for name, data in TEST.items()}


def test_a_dataset_arrives_in_its_layout(toy: CatalogEntry, folder: Path) -> None:
    steps: list[tuple[str, int, int]] = []

    def progress(description: str, done: int, total: int, details: str = "") -> None:
        assert 0 <= done <= total
        steps.append((description, done, total))

    assert acquire(toy, folder, retry=HASTY, progress=progress) == folder / "toy-train"
    assert result(folder) == EXPECTED
    assert sorted(entry.name for entry in (folder / ARCHIVES).iterdir()) == ["test.tar.gz", "train.zip"]
    assert {step[0] for step in steps} == {"Fetching, MB", "Unpacking toy-train, MB", "Unpacking toy-test, MB"}


def test_what_is_there_is_not_fetched_again(toy: CatalogEntry, folder: Path, server: Server) -> None:
    acquire(toy, folder, retry=HASTY)
    shutil.rmtree(folder / "toy-test")
    shutil.rmtree(folder / "toy-train")
    (folder / ARCHIVES / "test.tar.gz").unlink()
    server.requests.clear()
    acquire(toy, folder, retry=HASTY)
    assert [path for path, _ in server.requests] == ["/test"]
    server.requests.clear()
    acquire(toy, folder, retry=HASTY)
    assert server.requests == []
    assert result(folder) == EXPECTED


def test_wrong_bytes_are_set_aside_and_fetched_anew(
    toy: CatalogEntry, folder: Path, server: Server, tmp_path: Path
) -> None:
    right = (tmp_path / "train.zip").read_bytes()
    wrong = right[:-1] + b"!"
    server.serve("/train", good(wrong))
    with pytest.raises(DataError) as caught:
        acquire(toy, folder, retry=HASTY)
    message = str(caught.value)
    assert hashlib.sha256(wrong).hexdigest() in message
    assert f"expected {hashlib.sha256(right).hexdigest()} (published by its maker)" in message
    assert (folder / ARCHIVES / "train.zip.bad").read_bytes() == wrong
    assert not (folder / ARCHIVES / "train.zip").exists()
    assert result(folder) == {}
    server.serve("/train", good(right))
    acquire(toy, folder, retry=HASTY)
    assert result(folder) == EXPECTED


def test_an_archive_put_there_by_hand_is_verified_too(toy: CatalogEntry, folder: Path, server: Server) -> None:
    (folder / ARCHIVES).mkdir(parents=True)
    (folder / ARCHIVES / "train.zip").write_bytes(b"from somewhere else")
    with pytest.raises(DataError, match="expected"):
        acquire(toy, folder, retry=HASTY)
    assert "/train" not in [path for path, _ in server.requests]
    assert (folder / ARCHIVES / "train.zip.bad").read_bytes() == b"from somewhere else"


def test_a_damaged_archive_without_checksum_is_named(toy: CatalogEntry, folder: Path, server: Server) -> None:
    server.serve("/test", good(b"<html>Log in</html>"))
    with pytest.raises(DataError, match=r"test\.tar\.gz is damaged.*remove it"):
        acquire(toy, folder, retry=HASTY)
    assert not (folder / "toy-test").exists()


def test_one_failure_stops_the_others_which_go_on_later(toy: CatalogEntry, folder: Path, server: Server) -> None:
    train = server.behaviors["/train"][0]
    server.serve("/train", good((folder.parent.parent / "train.zip").read_bytes(), until=100, stall=True), train)
    server.serve("/test", status(404))
    with pytest.raises(DataError, match="/test: the server answered 404"):
        acquire(toy, folder, retry=HASTY)
    server.serve("/test", good((folder.parent.parent / "test.tar.gz").read_bytes()))
    acquire(toy, folder, retry=HASTY)
    assert result(folder) == EXPECTED
    assert server.ranges("/train")[-1] in (None, "bytes=100-")


def test_archives_are_fetched_side_by_side(toy: CatalogEntry, folder: Path, server: Server) -> None:
    both = threading.Barrier(2)

    def together(answer: Behavior) -> Behavior:
        def wait_and_answer(handler: Handler) -> None:
            both.wait(20)  # until the other one is asked for, too
            answer(handler)

        return wait_and_answer

    for path in ("/train", "/test"):
        server.serve(path, together(server.behaviors[path][0]))
    acquire(toy, folder, at_once=2, retry=RetryPolicy(tries=1, stall_seconds=30.0))
    assert result(folder) == EXPECTED


def test_no_more_archives_are_fetched_at_once_than_asked_for(toy: CatalogEntry, folder: Path, server: Server) -> None:
    server.serve("/train", status(404))
    with pytest.raises(DataError, match="answered 404"):
        acquire(toy, folder, at_once=1, retry=HASTY)
    assert [path for path, _ in server.requests] == ["/train"]


def test_what_a_killed_write_left_is_removed(toy: CatalogEntry, folder: Path) -> None:
    (folder / ARCHIVES).mkdir(parents=True)
    for name in (".fewshot-audio-12345678.tmp", ".mine.tmp", "notes.txt"):
        (folder / ARCHIVES / name).write_text("x")
    acquire(toy, folder, retry=HASTY)
    left = sorted(entry.name for entry in (folder / ARCHIVES).iterdir())
    assert left == [".mine.tmp", "notes.txt", "test.tar.gz", "train.zip"]


def test_no_room_is_said_before_anything_is_fetched(
    toy: CatalogEntry, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(toy, archives=tuple(replace(archive, size=10**9) for archive in toy.archives))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 10**9))
    with pytest.raises(DataError, match=r"2\.0 GB are needed for archives and recordings, 1\.0 GB are free"):
        acquire(large, folder, retry=HASTY)
    assert server.requests == []


def test_room_is_needed_for_the_rest_only(toy: CatalogEntry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire(toy, folder, retry=HASTY)
    shutil.rmtree(folder / "toy-train")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 20_000))
    acquire(toy, folder, retry=HASTY)
    assert result(folder) == EXPECTED


def test_another_layout_than_published_is_named(toy: CatalogEntry, folder: Path) -> None:
    with pytest.raises(DataError, match="toy-train/meta is missing after extraction, expected the layout"):
        acquire(replace(toy, expects=("toy-train/meta",)), folder, retry=HASTY)


def test_two_downloads_into_one_folder(toy: CatalogEntry, folder: Path) -> None:
    folder.mkdir(parents=True)
    with FileLock(folder / LOCK), pytest.raises(DataError, match="another process downloads to this folder"):
        acquire(toy, folder, retry=HASTY)


PUBLISHED: dict[str, tuple[type[Source], dict[str, dict[str, bytes]]]] = {
    "esc50": (
        Esc50,
        {
            "ESC-50-master": {
                "ESC-50-master/meta/esc50.csv": b"filename,category,src_file\n1-1-A-0.wav,dog,1\n",
                "ESC-50-master/audio/1-1-A-0.wav": b"",
                "ESC-50-master/LICENSE": b"CC BY-NC",
            }
        },
    ),
    "nsynth": (
        NSynth,
        {
            part: {
                f"{part}/examples.json": json.dumps({part: {"instrument_str": "bass_001"}}).encode(),
                f"{part}/audio/{part}.wav": b"",
            }
            for part in ("nsynth-train", "nsynth-valid", "nsynth-test")
        },
    ),
    "fsdkaggle2018": (
        FsdKaggle2018,
        {
            "FSDKaggle2018.audio_train": {"FSDKaggle2018.audio_train/a.wav": b""},
            "FSDKaggle2018.audio_test": {"FSDKaggle2018.audio_test/b.wav": b""},
            "FSDKaggle2018.meta": {
                "FSDKaggle2018.meta/train_post_competition.csv": b"fname,label\na.wav,Bark\n",
                "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv": b"fname,label\nb.wav,Bark\n",
            },
        },
    ),
    "speechcommands": (
        SpeechCommands,
        {
            "speech_commands_v0.02": {
                "./yes/0a_nohash_0.wav": b"",
                "./_background_noise_/pink_noise.wav": b"",
                "./LICENSE": b"",
            }
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_arrives_is_what_the_source_takes(name: str, server: Server, tmp_path: Path, folder: Path) -> None:
    """The archives of the catalog's entry, with small contents in the published layout."""
    source, contents = PUBLISHED[name]
    archives = []
    for archive in DATASETS[name].archives:
        pack = pack_zip if archive.file.endswith(".zip") else pack_tar
        url = server.serve(
            "/" + archive.file, good(pack(tmp_path / archive.file, contents[archive.folder]).read_bytes())
        )
        archives.append(replace(archive, url=url, size=100, unpacked=100, checksum=None))
    root = acquire(replace(DATASETS[name], archives=tuple(archives)), folder, retry=HASTY)
    recordings = [item for item in source(root).recordings() if isinstance(item, Recording)]  # type: ignore[call-arg]
    assert len(recordings) == {"esc50": 1, "nsynth": 3, "fsdkaggle2018": 2, "speechcommands": 1}[name]


def test_every_dataset_that_is_fetched_has_a_layout_here() -> None:
    assert set(PUBLISHED) == {name for name, entry in DATASETS.items() if entry.archives}


@pytest.mark.parametrize("entry", DATASETS.values(), ids=DATASETS.keys())
def test_the_catalog_is_consistent(entry: CatalogEntry) -> None:
    assert bool(entry.archives) != bool(entry.steps)
    assert urlsplit(entry.page).scheme == "https"
    assert entry.license
    assert entry.layout
    assert all(any(path.startswith(archive.folder) for archive in entry.archives) for path in entry.expects)
    for archive in entry.archives:
        assert urlsplit(archive.url).scheme == "https"
        assert Path(archive.file).name == archive.file
        assert Path(archive.folder).name == archive.folder
        assert 0 < archive.size < archive.unpacked
        if archive.checksum:
            assert re.fullmatch(r"[0-9a-f]+", archive.checksum.value)
            assert len(archive.checksum.value) == {"md5": 32, "sha256": 64}[archive.checksum.algorithm]
            assert archive.checksum.publisher


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["download", *arguments])
    return int(caught.value.code or 0)


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.steps])
def test_the_command_says_how_to_come_by_a_dataset(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(name) == 1
    text, errors = capsys.readouterr()
    assert errors.startswith(f"error: nothing was fetched: {name} can only be fetched by a person")
    for expected in (DATASETS[name].page, *DATASETS[name].steps, DATASETS[name].layout, f"prepare {name} --source"):
        assert expected in text
    assert list(tmp_path.iterdir()) == []


def test_the_command_fetches(
    toy: CatalogEntry, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "esc50", replace(toy, name="esc50"))
    assert run("esc50", "-o", str(folder)) == 0
    text = capsys.readouterr().out
    assert "train.zip: sha256 published by its maker, checked before unpacking" in text
    assert "test.tar.gz: no checksum is published" in text
    assert f"fewshot-audio prepare esc50 --source {folder / 'toy-train'}" in text
    assert result(folder) == EXPECTED


def test_the_command_reports_errors_without_a_traceback(
    toy: CatalogEntry, folder: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/train", status(403))
    monkeypatch.setitem(DATASETS, "esc50", toy)
    assert run("esc50", "-o", str(folder)) == 1
    assert "error: " in (text := capsys.readouterr().err)
    assert "answered 403" in text
    assert "Traceback" not in text


def test_a_dataset_behind_a_login_is_not_tried(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched by a program"):
        acquire(DATASETS["voxceleb1"], folder)
