"""Hostile archives: names that no disk, or not every disk, takes, and structures that cost more than they hold."""

import gzip
import io
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fewshot_audio.data.download import member_names
from fewshot_audio.data.download.archive import UnpackLimits, extract
from fewshot_audio.data.download.archive_errors import DamagedArchive, RefusedArchive
from fewshot_audio.data.download.archive_members import LARGEST_DIRECTORY
from fewshot_audio.data.download.member_names import MemberNames
from tests.data.test_download_archive import FILES, LIMITS, contents_of, interrupted, pack_tar, pack_zip, packs, refused

Pack = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in" / "archive"


def names_of(*names: str, members: int = 100) -> None:
    """Check names one after the other; those that end in "/" are folders."""
    archive_names = MemberNames(Path("archive"), members)
    for name in names:
        archive_names.add(name, name.endswith("/"))


@pytest.mark.parametrize(
    "name",
    [
        *("CON", "esc/nul.wav", "esc/Aux/1.wav", "com1", "LPT9.tar.gz", "com\u00b9.wav"),
        *("esc./a", "esc/a ", "esc/a.", "esc/.../a", "esc/. /a", "esc/a:stream", "esc/a?", 'esc/"a"', "esc/a|b", "a*"),
    ],
)
def test_names_that_some_system_reads_otherwise(name: str) -> None:
    with pytest.raises(RefusedArchive, match=r"archive: member .* is not valid on every system"):
        names_of(name)


def test_names_that_every_system_takes() -> None:
    names_of(
        "./", "esc/", "esc/con_1.wav", "esc/.hidden", "esc/com10.wav", "esc/a b.wav", "\u00e9/\u97f3.wav", "nulls/x"
    )
    names_of("a/b/c", "a/b/", "a/", "a/b/", "a/bc", "a/b/d")
    names_of("\u00e9/a", "\u00e9/b", "e/a")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a/x", "A/y"), "'a/' and 'A/' are one name"),
        (("a/x", "A"), "'a/' and 'A' are one name"),
        (("stra\u00dfe", "STRASSE"), "are one name"),
        (("\u212bngstrom", "\u00c5ngstrom"), "are one name"),
        (("\u00c9", "e\u0301"), "are one name"),
        (("a", "a/"), "'a' is a file and a folder"),
        (("a/", "a"), "'a' is a file and a folder"),
        (("a/b/c", "a/b"), "'a/b' is a file and a folder"),
        (("a", "./a"), "'a' is there twice"),
        (("a", "a//"), "'a' is a file and a folder"),
    ],
)
def test_names_that_collide(names: tuple[str, str], message: str) -> None:
    with pytest.raises(RefusedArchive, match=message):
        names_of(*names)


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "a\x7f", "a\u2028b", "a\x85"])
def test_control_characters(name: str) -> None:
    with pytest.raises(RefusedArchive, match="control characters"):
        names_of(name)


def test_sizes_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    names_of("a" * 255, "b/" * 31 + "c", "/".join(["d" * 249] * 4))
    for name in ("a" * 256, "\u00e9" * 128, "/".join(["d" * 250] * 4)):
        with pytest.raises(RefusedArchive, match="a name of more than 255 bytes, or 1000 with its folders"):
            names_of(name)
    with pytest.raises(RefusedArchive, match="is more than 32 folders deep"):
        names_of("b/" * 32 + "c")
    names_of("a/b/c", "a/d", members=4)
    with pytest.raises(RefusedArchive, match="has more than 4 members"):
        names_of("a/b/c/d/e", members=4)
    monkeypatch.setattr(member_names, "LARGEST_NAMES", 10)
    with pytest.raises(RefusedArchive, match="10 characters of names"):
        names_of("abcdef", "ghijkl")


@pytest.mark.parametrize("name", ["", ".", "./."])
def test_files_without_a_name(name: str) -> None:
    with pytest.raises(RefusedArchive, match="has no name"):
        MemberNames(Path("archive"), 10).add(name, is_folder=False)


# -- whole archives ----------------------------------------------------------------------------------------------------


def test_nothing_of_a_refused_zip_is_written(path: Path) -> None:
    """The last of its members is refused: the others are not written before."""
    pack_zip(path, {**FILES, "esc/A/0.wav": b"x"})
    counts: list[int] = []
    with pytest.raises(RefusedArchive, match="one name"):
        extract(path, path.parent / "esc", LIMITS, on_bytes=counts.append)
    assert counts == []


@packs
def test_names_longer_than_the_disk_takes(path: Path, pack: Pack) -> None:
    """The archive's names are short enough, but not below a folder that is deep already."""
    pack(path, {f"esc/{'a' * 200}/{'b' * 200}": b"x"})
    folder = path.parent
    while len(os.fsencode(folder)) < 3600:
        folder /= "c" * 200
    folder.mkdir(parents=True)
    target = folder / ("d" * (3850 - len(os.fsencode(folder))))
    with pytest.raises(RefusedArchive, match=r"a member's name is not possible in .* \(File name too long\)"):
        extract(path, target, LIMITS)
    assert list(folder.iterdir()) == []


def test_a_tar_name_that_is_not_utf8(path: Path) -> None:
    header = tarfile.TarInfo("esc/\udce9")
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + bytes(1024)))
    refused(path, "is not UTF-8")


def test_a_zip_name_that_is_not_utf8(path: Path) -> None:
    data = pack_zip(path, {"esc/\u00e9": b"x"}).read_bytes()
    path.write_bytes(data.replace("\u00e9".encode(), b"\xff\xff"))
    refused(path, "is damaged")


def test_a_zip_name_with_a_hidden_end(path: Path) -> None:
    """zipfile cuts names at a zero byte."""
    data = pack_zip(path, {"esc/a_b": b"x"}).read_bytes()
    path.write_bytes(data.replace(b"esc/a_b", b"esc/a\0b"))
    refused(path, "control characters")


def test_a_zip_whose_two_lists_differ(path: Path) -> None:
    data = pack_zip(path, {"esc/a": b"x"}).read_bytes()
    path.write_bytes(data.replace(b"esc/a", b"../ev", 1))
    refused(path, "is damaged.*differ")


def test_two_zips_in_one_file(path: Path) -> None:
    first = pack_zip(path, {"esc/../evil": b"x"}).read_bytes()
    path.write_bytes(first + pack_zip(path, {"esc/a": b"2"}).read_bytes())
    extract(path, path.parent / "esc", LIMITS)
    assert contents_of(path.parent / "esc") == {"a": b"2"}


@pytest.mark.parametrize(
    ("field", "size"),
    [(20, 0), (20, 1), (20, 701), (24, 0), (24, 1), (24, 699), (24, 701), (24, 900_000)],  # 20: packed, 24: unpacked
)
def test_a_zip_that_lies_about_sizes(path: Path, field: int, size: int) -> None:
    data = bytearray(pack_zip(path, {"esc/a": random.Random(0).randbytes(700)}).read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + field, size)
    path.write_bytes(data)
    refused(path, "is damaged")


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1])
def test_a_zip64_that_lies_about_sizes(path: Path, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive, archive.open("esc/a", "w", force_zip64=True) as file:
        file.write(b"x")
    data = bytearray(path.read_bytes())
    entry, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    extra = struct.pack("<HHQ", 1, 8, size)
    struct.pack_into("<I", data, entry + 24, 0xFFFFFFFF)
    struct.pack_into("<H", data, entry + 30, len(extra))
    name_end = entry + 46 + len("esc/a")
    data[name_end:end] = extra
    struct.pack_into("<I", data, data.index(b"PK\x05\x06") + 12, name_end + len(extra) - entry)
    path.write_bytes(data)
    refused(path, "unpacks to more than 1,000,000 bytes")


def test_a_zip_member_before_the_begin_of_the_file(path: Path) -> None:
    data = bytearray(pack_zip(path, {"esc/a": b"x"}).read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x05\x06") + 16, len(data) + 5000)
    path.write_bytes(data)
    refused(path, "is damaged.*before the begin")


def test_a_zip_with_a_huge_list(path: Path) -> None:
    """zipfile would read it at once, and make an object of each entry."""
    entry = pack_zip(path, {"a": b""}).read_bytes()
    start, end = entry.index(b"PK\x01\x02"), entry.index(b"PK\x05\x06")
    size = LARGEST_DIRECTORY + 1
    tail = bytearray(entry[end:])
    struct.pack_into("<II", tail, 12, size, start)
    path.write_bytes(entry[:start] + bytes(size) + tail)
    refused(path, f"a list of members of {size:,} bytes")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_by_a_method_without_bounds(path: Path, method: int) -> None:
    """zipfile unpacks what it has read of these at once: a few kilobytes can become gigabytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("esc/a", bytes(1000))
    refused(path, f"is packed by method {method}")


def test_a_zip_folder_with_a_files_name(path: Path) -> None:
    info = zipfile.ZipInfo("esc/folder")
    info.create_system, info.external_attr = 3, 0o40755 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"")
        archive.writestr("esc/folder/a", b"1")
    extract(path, path.parent / "esc", LIMITS)
    assert contents_of(path.parent / "esc") == {"folder/a": b"1"}


def pack_headers(path: Path, kind: bytes, content: bytes, number: int, size: int | None = None) -> Path:
    """A tar.gz of so many headers of one kind, and a file after them."""
    header = tarfile.TarInfo("././@Header")
    header.type, header.size = kind, len(content) if size is None else size
    block = header.tobuf() + content + bytes(-len(content) % 512)
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(number):
            stream.write(block)
        file = tarfile.TarInfo("esc/a")
        file.size = 1
        stream.write(file.tobuf() + b"x" + bytes(511 + 1024))
    return path


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_without_end(path: Path, kind: bytes) -> None:
    """tarfile reads them all before the first member, one inside the other."""
    content = b"a\0" if kind == tarfile.GNUTYPE_LONGNAME else b"9 ab=cde\n"
    refused(pack_headers(path, kind, content, 800), "is damaged, .*recursion")
    refused(pack_headers(path, kind, content.ljust(60_000, b"\0"), 40), "has a header of")


def test_sparse_maps_without_end(path: Path) -> None:
    """An old sparse header is followed by blocks of its map, as many as it likes."""
    header = bytearray(tarfile.TarInfo("esc/a").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1  # more blocks follow
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:])
    more = bytearray(512)
    more[504] = 1
    path.write_bytes(gzip.compress(bytes(header) + bytes(more) * 4000))
    refused(path, "has a header of")


def test_the_headers_of_a_whole_tar_are_not_collected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gzip.open(path, "wb") as stream:
        for number in range(20):
            text = b"comment%d=%s\n" % (number, b"x" * 1000)
            content = b"%d %s" % (len(text) + 5, text)
            header = tarfile.TarInfo("pax")
            header.type, header.size = tarfile.XGLTYPE, len(content)
            file = tarfile.TarInfo(f"esc/{number}")
            stream.write(header.tobuf() + content + bytes(-len(content) % 512) + file.tobuf())
        stream.write(bytes(1024))
    sizes: list[int] = []
    step = tarfile.TarFile.next

    def counting(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        sizes.append(len(archive.pax_headers))
        return step(archive)

    monkeypatch.setattr(tarfile.TarFile, "next", counting)
    extract(path, path.parent / "esc", LIMITS)
    assert len(contents_of(path.parent / "esc")) == 20
    assert max(sizes) <= 1


def test_a_tar_bomb_behind_a_skipped_member(path: Path) -> None:
    """What is skipped is unpacked, too."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo("__MACOSX/bomb")
        info.size = 60 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    refused(path, "unpacks to more than", UnpackLimits(unpacked=10**6))


# -- between two calls -------------------------------------------------------------------------------------------------


@packs
@pytest.mark.parametrize("plant", ["folder", "file", "hard link", "part", "files", "partial"])
def test_links_that_appear_between_two_calls(path: Path, pack: Pack, plant: str, tmp_path: Path) -> None:
    """Neither followed nor taken for what was unpacked: the extraction begins anew."""
    target = path.parent / "esc"
    interrupted(pack(path, FILES), target, 2800)
    partial = next(entry for entry in path.parent.iterdir() if entry.name.endswith(".partial"))
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = outside / "evil"
    evil.write_bytes(b"?" * 700)
    inner = partial / "files" / "esc"
    if plant == "folder":
        (inner / "b").symlink_to(outside)
    elif plant == "file":
        (inner / "a" / "0.wav").unlink()
        (inner / "a" / "0.wav").symlink_to(evil)
    elif plant == "hard link":
        (inner / "a" / "0.wav").unlink()
        (inner / "a" / "0.wav").hardlink_to(evil)
    elif plant == "part":
        (partial / "part").symlink_to(evil)
    else:
        moved = partial if plant == "partial" else partial / "files"
        moved.rename(outside / "moved")
        moved.symlink_to(outside / "moved")
    before = contents_of(outside)
    extract(path, target, LIMITS)
    assert contents_of(target) == {name.removeprefix("esc/"): data for name, data in FILES.items()}
    assert not any(entry.is_symlink() or entry.stat().st_nlink > 1 for entry in target.rglob("*.wav"))
    assert contents_of(outside) == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["archive", "esc"]


@packs
def test_a_target_that_is_a_link_to_nowhere(path: Path, pack: Pack) -> None:
    (path.parent / "esc").symlink_to(path.parent / "nowhere")
    refused(pack(path, FILES), "exists already")


def test_damage_is_told_from_refusal(path: Path) -> None:
    path.write_bytes(b"<html>")
    with pytest.raises(DamagedArchive):
        extract(path, path.parent / "esc", LIMITS)
    with pytest.raises(RefusedArchive):
        extract(pack_tar(path, {"../a": b""}), path.parent / "esc", LIMITS)
