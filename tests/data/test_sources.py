"""What each source finds, and that it accounts for everything else."""

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, Source, printable
from fewshot_audio.data.sources.esc50 import Esc50
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.errors import DataError
from tests.data.recordings import esc50, write


def enumerate_source(source: Source) -> tuple[dict[str, Recording], dict[str, SkippedInput]]:
    """Recordings and skipped inputs by their name in the source; no input appears twice."""
    items = list(source.recordings())
    assert items == list(source.recordings())
    recordings = {item.source: item for item in items if isinstance(item, Recording)}
    skipped = {item.source: item for item in items if isinstance(item, SkippedInput)}
    assert len(recordings) + len(skipped) == len(items)
    return recordings, skipped


# A folder of class folders


def test_class_folders_of_any_depth_and_case(tmp_path: Path) -> None:
    for name in ("dog/a.wav", "dog/deep/er/b.FLAC", "cat/c.Mp3", "cat/Ünïcödé 鳥.wav"):
        write(tmp_path / name)
    recordings, skipped = enumerate_source(ClassFolders(tmp_path))
    assert not skipped
    assert {name: (item.class_name, item.clip) for name, item in recordings.items()} == {
        "cat/c.Mp3": ("cat", "c"),
        "cat/Ünïcödé 鳥.wav": ("cat", "Ünïcödé 鳥"),
        "dog/a.wav": ("dog", "a"),
        "dog/deep/er/b.FLAC": ("dog", "deep/er/b"),
    }
    assert list(recordings) == sorted(recordings)
    assert len(recordings["dog/a.wav"].sound.read(16_000).samples) == 4800


def test_other_files_are_listed_and_hidden_ones_are_no_inputs(tmp_path: Path) -> None:
    write(tmp_path / "dog" / "a.wav")
    write(tmp_path / "loose.wav")
    write(tmp_path / "dog" / "._a.wav")
    write(tmp_path / ".hidden" / "a.wav")
    (tmp_path / "dog" / ".DS_Store").touch()
    (tmp_path / "dog" / "notes.txt").touch()
    (tmp_path / "LICENSE").touch()
    (tmp_path / "empty class").mkdir()
    (tmp_path / "dog" / "broken.wav").symlink_to("nowhere.wav")
    (tmp_path / "dog" / "itself.wav").symlink_to("itself.wav")
    os.mkfifo(tmp_path / "dog" / "pipe.wav")
    recordings, skipped = enumerate_source(ClassFolders(tmp_path))
    assert list(recordings) == ["dog/a.wav"]
    assert {name: item.reason for name, item in skipped.items()} == {
        "LICENSE": Reason.NOT_AUDIO,
        "empty class": Reason.EMPTY,
        "loose.wav": Reason.NO_CLASS,
        "dog/notes.txt": Reason.NOT_AUDIO,
        "dog/broken.wav": Reason.MISSING,
        "dog/itself.wav": Reason.MISSING,
        "dog/pipe.wav": Reason.UNREADABLE,
    }


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "x.wav")
    root = tmp_path / "root"
    write(root / "dog" / "a.wav")
    (root / "dog" / "up").symlink_to(root / "dog", target_is_directory=True)
    (root / "dog" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    recordings, skipped = enumerate_source(ClassFolders(root))
    assert list(recordings) == ["cat/x.wav", "dog/a.wav", "dog/more/x.wav"]
    assert {name: item.reason for name, item in skipped.items()} == {"dog/up": Reason.LINK_LOOP}


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "dog" / "a.wav")
    (tmp_path / "dog" / "secret").mkdir()
    scandir = os.scandir

    def refusing(path: str | Path) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    recordings, skipped = enumerate_source(ClassFolders(tmp_path))
    assert list(recordings) == ["dog/a.wav"]
    assert skipped["dog/secret"].reason == Reason.DENIED


def test_names_that_are_no_unicode_can_be_reported(tmp_path: Path) -> None:
    name = os.fsdecode(b"dog/caf\xe9.wav")
    write(tmp_path / "dog" / "a.wav").rename(tmp_path / name)
    (recordings,) = enumerate_source(ClassFolders(tmp_path))[0].values()
    assert recordings.source == printable(name) == "dog/caf\\xe9.wav"
    assert recordings.source.encode()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        list(ClassFolders(tmp_path / "nowhere").recordings())


# ESC-50


def test_esc50_in_its_published_layout(tmp_path: Path) -> None:
    recordings, skipped = enumerate_source(Esc50(esc50(tmp_path / "ESC-50-master", classes=3)))
    assert not skipped
    assert len(recordings) == 12
    clip = recordings["audio/2-1010-B-1.flac"]
    assert (clip.class_name, clip.clip, clip.group) == ("sound_01", "2-1010-B-1", "1010")
    assert {item.group for item in recordings.values() if item.class_name == "sound_01"} == {"1010", "1011"}


def test_esc50_clips_of_fold_0_come_from_unknown_recordings(tmp_path: Path) -> None:
    root = esc50(tmp_path / "esc", classes=1, clips=2)
    table = root / "meta" / "esc50.csv"
    header, first, second = table.read_text().splitlines()
    cells = second.split(",")
    table.write_text("\n".join([header, first, ",".join([cells[0], "0", *cells[2:]])]) + "\n")
    recordings, _ = enumerate_source(Esc50(root))
    assert [recording.group for recording in recordings.values()] == ["1000", ""]


def test_esc50_prefers_the_file_that_the_csv_names(tmp_path: Path) -> None:
    root = esc50(tmp_path / "esc", classes=1, clips=1)
    write(root / "audio" / "1-1000-A-0.wav")
    recordings, skipped = enumerate_source(Esc50(root))
    assert list(recordings) == ["audio/1-1000-A-0.wav"]
    assert skipped["audio/1-1000-A-0.flac"].reason == Reason.NOT_LISTED


def test_esc50_accounts_for_every_row_and_file(tmp_path: Path) -> None:
    root = esc50(tmp_path / "esc", classes=1, clips=2)
    (root / "audio" / "2-1000-B-0.flac").unlink()
    with (root / "meta" / "esc50.csv").open("a") as stream:
        stream.write("1-1000-A-0.wav,1,0,sound_00,True,1000,A\n")
        stream.write("../../secret.wav,1,0,sound_00,True,1000,A\n")
    write(root / "audio" / "extra.wav")
    (root / "audio" / "notes.txt").touch()
    write(tmp_path / "secret.wav")
    items = list(Esc50(root).recordings())
    assert [item.source for item in items if isinstance(item, Recording)] == ["audio/1-1000-A-0.flac"]
    assert [(item.source, item.reason) for item in items if isinstance(item, SkippedInput)] == [
        ("audio/2-1000-B-0.wav", Reason.MISSING),
        ("audio/1-1000-A-0.wav", Reason.DUPLICATE),
        ("audio/../../secret.wav", Reason.MISSING),
        ("audio/extra.wav", Reason.NOT_LISTED),
        ("audio/notes.txt", Reason.NOT_AUDIO),
    ]


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        ("1.2-rec.3.wav", "1.2-rec.3.wav"),
        ("1.2-rec.3", "1.2-rec.3.wav"),
        ("1.2-rec.3.wav", "1.2-rec.3.flac"),
        ("rec.WAV", "rec.wav"),
        ("rec.wav", "rec.FLAC"),
        ("audio/rec.wav", "rec.wav"),
        (normalize("NFC", "café.wav"), normalize("NFD", "café.wav")),
        (normalize("NFD", "café.wav"), normalize("NFC", "café.flac")),
        ("rec.wav", "part/rec.wav"),
        ("rec.5", "rec.5"),
    ],
)
def test_esc50_files_by_the_names_in_the_table(tmp_path: Path, listed: str, stored: str) -> None:
    write(tmp_path / "audio" / "sound.wav").rename(tmp_path / "audio" / "rec.bin")
    (tmp_path / "audio" / stored).parent.mkdir(exist_ok=True)
    (tmp_path / "audio" / "rec.bin").rename(tmp_path / "audio" / stored)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(f"filename,category\n{listed},{normalize('NFD', 'é')}\n,\n")
    recordings, skipped = enumerate_source(Esc50(tmp_path))
    assert not skipped
    clip = recordings[f"audio/{stored}"]
    assert clip.clip == Path(stored).name.removesuffix(".wav").removesuffix(".flac").removesuffix(".FLAC")
    assert clip.class_name == normalize("NFC", "é")


def test_esc50_takes_no_file_of_a_similar_name(tmp_path: Path) -> None:
    for name in ("rec.1.wav", "old/rec.2.wav", "rec.2.wav"):
        write(tmp_path / "audio" / name)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text("filename,category\nrec.1.5,a\nrec,a\nrec.2.wav,a\n")
    recordings, skipped = enumerate_source(Esc50(tmp_path))
    assert list(recordings) == ["audio/rec.2.wav"]
    assert {name: item.reason for name, item in skipped.items()} == {
        "audio/rec.1.5": Reason.MISSING,
        "audio/rec": Reason.MISSING,
        "audio/rec.1.wav": Reason.NOT_LISTED,
        "audio/old/rec.2.wav": Reason.NOT_LISTED,
    }


def test_esc50_links_and_what_systems_leave_in_folders(tmp_path: Path) -> None:
    root = esc50(tmp_path / "esc", classes=1, clips=2)
    first, second = sorted((root / "audio").iterdir())
    first.symlink_to(first.rename(tmp_path / "elsewhere.flac"))
    second.unlink()
    second.symlink_to("nowhere.flac")
    write(root / "audio" / "._1-1000-A-0.wav")
    write(root / "audio" / "__MACOSX" / "1-1000-A-0.wav")
    (root / "audio" / "Thumbs.db").touch()
    recordings, skipped = enumerate_source(Esc50(root))
    assert list(recordings) == ["audio/1-1000-A-0.flac"]
    assert {name: (item.class_name, item.reason) for name, item in skipped.items()} == {
        "audio/2-1000-B-0.flac": ("sound_00", Reason.MISSING)
    }


def test_esc50_layouts_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="published layout"):
        list(Esc50(tmp_path).recordings())
    root = esc50(tmp_path / "esc", classes=1, clips=1)
    table = root / "meta" / "esc50.csv"
    text = table.read_text()
    for wrong, words in (
        (text.replace("category", "label"), "column 'category' is missing"),
        (text.replace("sound_00", ""), "line 2"),
        ("\0", "esc50.csv"),
    ):
        table.write_text(wrong)
        with pytest.raises(DataError, match=words):
            list(Esc50(root).recordings())
    table.write_bytes(text.encode() + b"\xff\n")
    with pytest.raises(DataError, match="cannot be read"):
        list(Esc50(root).recordings())


# Files


def test_a_files_fingerprint_changes_with_it(tmp_path: Path) -> None:
    sound = AudioFile(write(tmp_path / "a.wav"))
    before = sound.fingerprint()
    assert AudioFile(tmp_path / "a.wav").fingerprint() == before
    write(tmp_path / "a.wav", seconds=0.4)
    assert sound.fingerprint() != before
    (tmp_path / "a.wav").unlink()
    with pytest.raises(Rejected) as caught:
        sound.fingerprint()
    assert caught.value.reason == Reason.MISSING
