"""Replacing a folder: whether or not the system can exchange two of them."""

import errno
import sys
from pathlib import Path

import pytest

from fewshot_audio.runtime import exchange as module
from fewshot_audio.runtime.exchange import exchange, replace_folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A new folder and the one whose place it takes."""
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    return tmp_path / "new", tmp_path / "target"


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_two_folders_change_places(folders: tuple[Path, Path]) -> None:
    assert exchange(*folders)
    assert [(folder / "content").read_text() for folder in folders] == ["target", "new"]
    assert not exchange(folders[0], folders[1].with_name("missing"))


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_another(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    new, target = folders
    if not can_exchange:
        monkeypatch.setattr(module, "exchange", lambda *_: False)
    replace_folder(new, target)
    assert (target / "content").read_text() == "new"
    assert {path.name for path in target.parent.iterdir()} <= {"new", "target"}


@pytest.mark.parametrize("empty", [True, False])
def test_an_empty_or_missing_target_is_taken(folders: tuple[Path, Path], tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "other").mkdir()
    replace_folder(folders[0], tmp_path / "other")
    assert (tmp_path / "other" / "content").read_text() == "new"


def test_the_former_folder_returns_if_the_new_one_cannot_be_moved(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, target = folders
    monkeypatch.setattr(module, "exchange", lambda *_: False)
    rename = Path.rename

    def fail_for_new(path: Path, other: Path) -> Path:
        if path == new:
            raise OSError(errno.EACCES, "no permission")
        return rename(path, other)

    monkeypatch.setattr(Path, "rename", fail_for_new)
    with pytest.raises(OSError, match="no permission"):
        replace_folder(new, target)
    assert (target / "content").read_text() == "target"
    assert sorted(path.name for path in target.parent.iterdir()) == ["new", "target"]
