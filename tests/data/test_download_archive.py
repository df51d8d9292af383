"""Extraction: what is published arrives as it is, what would lead outside or fill the disk does not arrive at all."""

import gzip
import io
import os
import random
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewshot_audio.data.download.archive import UnpackLimits, extract, unpacked_so_far
from fewshot_audio.data.download.archive_members import SMALL
from fewshot_audio.errors import DataError

LIMITS = UnpackLimits(unpacked=1_000_000)
FILES = {f"esc/{folder}/{number}.wav": random.Random(number).randbytes(700) for folder in "ab" for number in range(5)}
Pack = Callable[[Path, Mapping[str, bytes]], Path]


def pack_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pack_tar(path: Path, files: Mapping[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o4777
            archive.addfile(info, io.BytesIO(data))
        for other in others:
            archive.addfile(other)
    return path


packs = pytest.mark.parametrize("pack", [pack_zip, pack_tar], ids=["zip", "tar.gz"])


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, message: str, limits: UnpackLimits = LIMITS) -> None:
    """Extraction names the archive and the reason, and leaves nothing but the archive."""
    before = sorted(archive.parent.parent.rglob("*"))
    with pytest.raises(DataError, match=message) as caught:
        extract(archive, archive.parent / "esc", limits)
    assert str(archive) in str(caught.value)
    assert sorted(archive.parent.parent.rglob("*")) == before


def interrupted(archive: Path, target: Path, after: int) -> None:
    """An extraction that is interrupted after so many bytes."""

    def interrupt(count: int) -> None:
        if count >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(archive, target, LIMITS, on_bytes=interrupt)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in" / "archive"


@packs
def test_the_folder_of_the_archive_becomes_the_target(path: Path, pack: Pack) -> None:
    counts: list[int] = []
    target = path.parent / "deep" / "esc"
    extract(pack(path, FILES), target, LIMITS, on_bytes=counts.append)
    assert contents_of(target) == {name.removeprefix("esc/"): data for name, data in FILES.items()}
    assert list(target.parent.iterdir()) == [target]
    assert counts == [700 * (number + 1) for number in range(10)]
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o7111 == 0 for file in target.rglob("*.wav"))


@packs
@pytest.mark.parametrize("files", [{"./yes/1.wav": b"1", "list.txt": b"2"}, {"esc": b"a file"}, {"other/1.wav": b"1"}])
def test_an_archive_of_several_entries_becomes_the_target(path: Path, pack: Pack, files: dict[str, bytes]) -> None:
    extract(pack(path, files), path.parent / "esc", LIMITS)
    assert contents_of(path.parent / "esc") == {name.removeprefix("./"): data for name, data in files.items()}


@packs
def test_empty_files_and_folders_and_the_finders_notes(path: Path, pack: Pack) -> None:
    extract(pack(path, {"esc/empty.wav": b"", "__MACOSX/esc/._empty.wav": b"note"}), path.parent / "esc", LIMITS)
    assert contents_of(path.parent / "esc") == {"empty.wav": b""}
    folder = tarfile.TarInfo("esc/folder")
    folder.type = tarfile.DIRTYPE
    extract(pack_tar(path, {}, folder), path.parent / "more" / "esc", LIMITS)
    assert [entry.name for entry in (path.parent / "more" / "esc").iterdir()] == ["folder"]


@packs
@pytest.mark.parametrize(
    "name", ["../evil", "esc/../../evil", "/evil", "//evil", "C:/evil", "c:evil", "esc\\..\\evil", "..", "a/.."]
)
def test_names_that_lead_outside(path: Path, pack: Pack, name: str) -> None:
    refused(pack(path, {**FILES, name: b"x"}), "leads outside")


@packs
def test_names_with_control_characters(path: Path, pack: Pack) -> None:
    refused(pack(path, {"esc/a\x1b[2Jb": b"x"}), "control characters")


@packs
@pytest.mark.parametrize("names", [("esc/a.wav", "esc/A.wav"), ("esc/\u00e9", "esc/e\u0301"), ("esc/a", "esc/./a")])
def test_names_that_are_one_on_some_disks(path: Path, pack: Pack, names: tuple[str, str]) -> None:
    both = "is there twice" if names[1] == "esc/./a" else f"{names[0]!r} and {names[1]!r} are one name on disks"
    refused(pack(path, dict.fromkeys(names, b"x")), both)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("esc/a", b"1")
        archive.writestr("esc/a", b"2")
    refused(path, "is there twice")


@packs
@pytest.mark.parametrize("names", [("esc/a", "esc/a/b"), ("esc/a/b", "esc/a")])
def test_a_file_where_a_folder_is(path: Path, pack: Pack, names: tuple[str, str]) -> None:
    refused(pack(path, dict.fromkeys(names, b"1")), "'esc/a' is a file and a folder")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_links_and_devices_in_a_tar(path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("esc/link")
    info.type, info.linkname = kind, "esc/a/0.wav"
    if kind == tarfile.GNUTYPE_SPARSE:
        info.type = tarfile.REGTYPE
        info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000"}
    refused(pack_tar(path, FILES, info), "link, a device or a sparse file")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("esc/link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(pack_zip(path, FILES), "a") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(path, "is a link or a device")


def test_an_encrypted_zip(path: Path) -> None:
    data = bytearray(pack_zip(path, {"esc/a": b"secret"}).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "is encrypted")


@packs
def test_more_than_announced(path: Path, pack: Pack) -> None:
    pack(path, {"esc/a": random.Random(0).randbytes(2000)})
    refused(path, "more than 1,999 bytes", UnpackLimits(unpacked=1999))
    extract(path, path.parent / "esc", UnpackLimits(unpacked=2000))


@packs
def test_bombs(path: Path, pack: Pack) -> None:
    refused(pack(path, {"esc/zeros": bytes(SMALL + 1)}), "unpacks to more than", UnpackLimits(unpacked=10**12))


@packs
def test_too_many_members(path: Path, pack: Pack) -> None:
    refused(pack(path, FILES), "more than 9 members", UnpackLimits(unpacked=10**6, members=9))


def test_a_name_that_would_fill_the_memory(path: Path) -> None:
    """A tar header may announce a name of any length, which tarfile would read at once."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 100 << 20
    path.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 20)))
    refused(path, "has a header of 104857600 bytes")


def test_a_tar_that_goes_back(path: Path) -> None:
    header = bytearray(tarfile.TarInfo("esc/a").tobuf())
    header[124:136] = (-512).to_bytes(12, "big", signed=True)  # its size, in base 256
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:])
    path.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    refused(path, "damaged")


@pytest.mark.parametrize(
    "data", [b"", b"<html>Please log in</html>", b"PK\x03\x04", gzip.compress(b"no tar", mtime=0), b"\x1f\x8b"]
)
def test_no_archive(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    refused(path, "is damaged, or not a zip or tar.gz archive")


@packs
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_archive(path: Path, pack: Pack, part: float) -> None:
    data = pack(path, FILES).read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    refused(path, "is damaged")


def test_a_tar_that_ends_without_its_end_mark(path: Path) -> None:
    plain = gzip.decompress(pack_tar(path, FILES).read_bytes())
    path.write_bytes(gzip.compress(plain[: 10 * (512 + 1024)]))
    refused(path, "without the end mark")


def test_a_damaged_header_in_a_tar_is_not_its_end(path: Path) -> None:
    plain = bytearray(gzip.decompress(pack_tar(path, FILES).read_bytes()))
    plain[5 * (512 + 1024)] ^= 1
    path.write_bytes(gzip.compress(bytes(plain)))
    refused(path, "without the end mark")


def test_gzips_own_check_is_made(path: Path) -> None:
    data = bytearray(pack_tar(path, FILES).read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    refused(path, "CRC check failed")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["zip", "tar", "tar.gz"]))
def test_whatever_the_damage_the_outcome_is_clear(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str
) -> None:
    rng = random.Random(seed)
    path = tmp_path_factory.mktemp("damaged") / "archive"
    data = bytearray((pack_zip if kind == "zip" else pack_tar)(path, FILES).read_bytes())
    if kind == "tar":
        data = bytearray(gzip.decompress(data))
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(gzip.compress(bytes(data)) if kind == "tar" else data)
    target = path.parent / "in" / "esc"
    try:
        extract(path, target, LIMITS)
    except DataError:
        assert not target.exists()
    assert {entry for entry in path.parent.rglob("*") if target.parent not in (entry, *entry.parents)} == {path}


@packs
def test_an_existing_target_is_left_alone(path: Path, pack: Pack) -> None:
    (path.parent / "esc").mkdir()
    refused(pack(path, FILES), "exists already")


@packs
def test_stopped_and_continued_whole_files_are_kept(path: Path, pack: Pack) -> None:
    target = path.parent / "esc"
    interrupted(pack(path, FILES), target, 2800)
    assert not target.exists()
    assert unpacked_so_far(target) == 2800
    times = {file.name: file.stat().st_mtime_ns for file in path.parent.rglob("a/*.wav")}
    assert len(times) == 4
    extract(path, target, LIMITS)
    assert contents_of(target) == {name.removeprefix("esc/"): data for name, data in FILES.items()}
    assert {name: (target / "a" / name).stat().st_mtime_ns for name in times} == times
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["archive", "esc"]


@packs
def test_files_of_another_archive_are_not_kept(path: Path, pack: Pack) -> None:
    target = path.parent / "esc"
    interrupted(pack(path, FILES), target, 0)
    other = {name: data[::-1] for name, data in FILES.items()}
    pack(path, other)
    os.utime(path, ns=(0, 0))
    extract(path, target, LIMITS)
    assert contents_of(target) == {name.removeprefix("esc/"): data for name, data in other.items()}
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["archive", "esc"]


@packs
def test_killed_and_started_again_the_result_is_the_same(path: Path, pack: Pack) -> None:
    target = path.parent / "esc"
    pack(path, FILES)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from fewshot_audio.data.download.archive import UnpackLimits, extract\n"
        "def report(count):\n    if count > 4000: print(count, flush=True); time.sleep(20)\n"
        "extract(Path(sys.argv[1]), Path(sys.argv[2]), UnpackLimits(unpacked=10**6), on_bytes=report)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, path, target], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"4200\n"
    process.kill()
    process.communicate()
    partial = next(entry for entry in path.parent.iterdir() if entry.name.endswith(".partial"))
    (partial / "part").write_bytes(b"half")  # as a kill in the middle of a file leaves it
    extract(path, target, LIMITS)
    assert contents_of(target) == {name.removeprefix("esc/"): data for name, data in FILES.items()}
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["archive", "esc"]


def test_a_tar_of_many_members_needs_no_memory_for_each(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_tar(path, {f"esc/{number}": b"x" for number in range(300)})
    remembered: list[int] = []
    step = tarfile.TarFile.next

    def counting(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        remembered.append(len(archive.members))  # type: ignore[attr-defined]
        return step(archive)

    monkeypatch.setattr(tarfile.TarFile, "next", counting)
    extract(path, path.parent / "esc", LIMITS)
    assert len(contents_of(path.parent / "esc")) == 300
    assert len(remembered) > 300
    assert max(remembered) <= 1
