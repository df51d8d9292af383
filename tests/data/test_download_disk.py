"""Full disks, limits and things that are in the way: a clear message, nothing lost, and the next call goes on."""

import errno
import hashlib
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from fewshot_audio.data.download import archive as archive_module
from fewshot_audio.data.download.acquire import ARCHIVES, LOCK, acquire
from fewshot_audio.data.download.archive import UnpackLimits, extract
from fewshot_audio.data.download.catalog import Archive, CatalogEntry, Checksum
from fewshot_audio.data.download.fetch import RetryPolicy
from fewshot_audio.errors import DataError, WriteError
from tests.data.download_server import Server, good
from tests.data.test_download_archive import contents_of, pack_tar, pack_zip
from tests.disks import file_size_limit

HASTY = RetryPolicy(tries=2, step=1000, stall_seconds=0.3, first_delay=0.0)
FILES = {f"toy/{number}.wav": random.Random(number).randbytes(40_000 * number) for number in (1, 2, 3)}
EXPECTED = {name.removeprefix("toy/"): data for name, data in FILES.items()}
LIMITS = UnpackLimits(unpacked=1_000_000)
Pack = Callable[[Path, Mapping[str, bytes]], Path]
packs = pytest.mark.parametrize("pack", [pack_zip, pack_tar], ids=["zip", "tar.gz"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def entry(server: Server, tmp_path: Path, pack: Pack = pack_zip, checksum: bool = False) -> CatalogEntry:
    """One archive on the server."""
    data = pack(tmp_path / "packed", FILES).read_bytes()
    published = Checksum("sha256", hashlib.sha256(data).hexdigest(), "its maker") if checksum else None
    archive = Archive(server.serve("/toy", good(data)), "toy.bin", "toy", len(data), 240_000, published)
    return CatalogEntry("toy", "Toy", server.address, "none", "toy/*.wav", (archive,), ("toy/1.wav",), "toy")


@packs
def test_a_limit_while_downloading(server: Server, tmp_path: Path, folder: Path, pack: Pack) -> None:
    toy = entry(server, tmp_path, pack)
    file = folder / ARCHIVES / "toy.bin"
    with file_size_limit(50_000), pytest.raises(WriteError) as caught:
        acquire(toy, folder, retry=HASTY)
    assert str(caught.value).startswith(f"{file}: cannot be written: File too large; what has arrived is kept in")
    assert file.with_name("toy.bin.part").stat().st_size == 50_000
    acquire(toy, folder, retry=HASTY)
    assert server.ranges("/toy") == [None, "bytes=50000-"]
    assert contents_of(folder / "toy") == EXPECTED


@packs
def test_a_limit_while_unpacking(server: Server, tmp_path: Path, folder: Path, pack: Pack) -> None:
    toy = entry(server, tmp_path, pack)
    (folder / ARCHIVES).mkdir(parents=True)
    (tmp_path / "packed").rename(folder / ARCHIVES / "toy.bin")
    with file_size_limit(100_000), pytest.raises(WriteError) as caught:
        acquire(toy, folder, retry=HASTY)
    assert str(caught.value).startswith(
        f"{folder / 'toy'}: cannot be made of {folder / ARCHIVES / 'toy.bin'}: File too"
    )
    assert not (folder / "toy").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    assert sorted(kept) == ["1.wav", "2.wav"]
    acquire(toy, folder, retry=HASTY)
    assert contents_of(folder / "toy") == EXPECTED
    assert {name: (folder / "toy" / name).stat().st_mtime_ns for name in kept} == kept
    assert server.requests == []


@packs
def test_a_full_disk_while_unpacking(tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pack(tmp_path / "packed", FILES)

    def full(source: IO[bytes], stream: IO[bytes], size: int) -> None:
        stream.write(source.read(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(archive_module.shutil, "copyfileobj", full)  # type: ignore[attr-defined]
        with pytest.raises(
            WriteError, match=r"toy: cannot be made of .*packed: No space left on device; what is unpac"
        ):
            extract(file, tmp_path / "toy", LIMITS)
    extract(file, tmp_path / "toy", LIMITS)
    assert contents_of(tmp_path / "toy") == EXPECTED


def test_a_file_where_the_download_folder_must_be(server: Server, tmp_path: Path, folder: Path) -> None:
    toy = entry(server, tmp_path)
    folder.write_text("mine")
    with pytest.raises(WriteError, match=f"{folder} is a file, expected a folder"):
        acquire(toy, folder, retry=HASTY)
    with pytest.raises(WriteError, match=f"{folder} is a file, expected a folder"):
        acquire(toy, folder / "deeper", retry=HASTY)
    assert folder.read_text() == "mine"


def test_a_file_where_the_archives_must_be(server: Server, tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / ARCHIVES).write_text("mine")
    with pytest.raises(WriteError, match=f"{folder / ARCHIVES} is a file, expected a folder"):
        acquire(entry(server, tmp_path), folder, retry=HASTY)
    assert server.requests == []


@pytest.mark.parametrize("name", ["toy.bin", "toy.bin.part"])
def test_a_folder_where_an_archive_must_be(server: Server, tmp_path: Path, folder: Path, name: str) -> None:
    (folder / ARCHIVES / name).mkdir(parents=True)
    with pytest.raises(DataError, match=f"{folder / ARCHIVES / name} is no file, expected toy.bin or nothing"):
        acquire(entry(server, tmp_path), folder, retry=HASTY)
    assert server.requests == []


@pytest.mark.parametrize("dangling", [True, False])
def test_no_folder_where_the_recordings_must_be(server: Server, tmp_path: Path, folder: Path, dangling: bool) -> None:
    folder.mkdir()
    target = folder / "toy"
    if dangling:
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.write_text("mine")
    with pytest.raises(DataError, match=f"{target} is no folder, expected the contents of toy.bin or nothing"):
        acquire(entry(server, tmp_path), folder, retry=HASTY)
    assert server.requests == []
    assert os.path.lexists(target)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(WriteError, match=f"{folder / LOCK}: cannot be written: Permission denied"):
        acquire(entry(server, tmp_path), folder, retry=HASTY)
    folder.chmod(0o700)


# -- what helps --------------------------------------------------------------------------------------------------------


def test_advice_for_a_refused_archive_helps(server: Server, tmp_path: Path, folder: Path) -> None:
    """Another download would bring the same archive; what a person unpacks is taken."""
    toy = entry(server, tmp_path, lambda path, files: pack_zip(path, {**files, "toy/A": b"1", "toy/a": b"2"}))
    with pytest.raises(DataError) as caught:
        acquire(toy, folder, retry=HASTY)
    message = str(caught.value)
    assert f"{folder / ARCHIVES / 'toy.bin'}: 'toy/A' and 'toy/a' are one name" in message
    assert f"unpack it with another program so that {folder / 'toy'} holds what it should" in message
    assert "remove" not in message
    shutil.unpack_archive(folder / ARCHIVES / "toy.bin", folder, "zip")
    assert acquire(toy, folder, retry=HASTY) == folder / "toy"
    assert len(server.requests) == 1


@pytest.mark.parametrize("checksum", [True, False])
def test_advice_for_a_damaged_archive_helps(server: Server, tmp_path: Path, folder: Path, checksum: bool) -> None:
    def damaged(path: Path, files: Mapping[str, bytes]) -> Path:
        data = bytearray(pack_zip(path, files).read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        return path

    toy = entry(server, tmp_path, damaged, checksum)
    with pytest.raises(DataError) as caught:
        acquire(toy, folder, retry=HASTY)
    message = str(caught.value)
    assert "toy.bin is damaged, or not a zip or tar.gz archive" in message
    if checksum:
        assert "its checksum is the published one" in message
        assert f"unpack it with another program so that {folder / 'toy'} holds" in message
        return
    assert message.endswith("remove it to download it again")
    server.serve("/toy", good(pack_zip(tmp_path / "packed", FILES).read_bytes()))
    (folder / ARCHIVES / "toy.bin").unlink()
    acquire(replace(toy), folder, retry=HASTY)
    assert contents_of(folder / "toy") == EXPECTED
