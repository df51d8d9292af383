"""A folder of hostile inputs beside good ones: every good one prepared, every bad one listed with its own reason."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.cli import main
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.sources.folder import ClassFolders
from tests.data.hostile import DENIED, damaged, hostile, odd
from tests.data.recordings import class_folders, rows
from tests.data.test_prepare import run


@pytest.fixture
def a_denied_file(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def guarded(path: Path, *how: Any, **options: Any) -> Any:
        if path.name == DENIED:
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **options)

    monkeypatch.setattr(Path, "open", guarded)


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(root.rglob("*"))}


@pytest.mark.usefixtures("a_denied_file")
def test_sixty_hostile_inputs_beside_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = class_folders(tmp_path / "source", clips=2)
    good = odd(source / "class00")
    cut = damaged(source / "class00")
    expected = hostile(source / "class00")
    assert len(expected) >= 55
    before = state(source)
    folder = DatasetFolder(tmp_path / "data" / "mine")
    report = run(ClassFolders(source), folder)
    listed = {row["source"].removeprefix("class00/"): row for row in rows(folder.skipped)}
    reasons = {**{k: v.value for k, v in expected.items()}, **dict.fromkeys(cut, "partly_damaged")}
    assert {name: row["reason"] for name, row in listed.items()} == reasons
    assert all(row["detail"] for row in listed.values())
    prepared = {row["source"] for row in rows(folder.clips)}
    assert {f"class00/{name}" for name in (*good, *cut)} <= prepared
    assert report.prepared == len(prepared) == 28 + len(good) + len(cut)
    assert report.skipped == Counter(reason.value for reason in expected.values())
    assert state(source) == before  # the source is only read

    arguments = ["prepare", "folder", "--source", str(source), "--data-root", str(tmp_path / "cli"), "--workers", "1"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--segment-seconds", "0.25"])
    assert not stop.value.code
    said = capsys.readouterr().out
    assert f"{report.inputs} inputs: " in said
    assert f"{len(expected)} skipped (" in said
    assert f"{report.skipped['unreadable']} unreadable" in said


def test_a_read_only_source_is_enough(tmp_path: Path) -> None:
    source = class_folders(tmp_path / "source", clips=2)
    for path in (source, *source.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert run(ClassFolders(source), DatasetFolder(tmp_path / "x")).prepared == 30
    for path in (source, *source.rglob("*")):
        path.chmod(0o755)
    assert os.access(source, os.W_OK)
