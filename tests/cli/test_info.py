"""``fewshot-audio info``."""

from pathlib import Path

from fewshot_audio.data.norm import write_norm
from tests.cli.conftest import read
from tests.data.recordings import class_folders
from tests.data.test_info import foreign
from tests.shell import Shell


def test_info_of_what_was_prepared(tmp_path: Path, shell: Shell) -> None:
    source, root = class_folders(tmp_path / "source", clips=2), tmp_path / "data"
    (source / "notes.txt").touch()
    how = ("--segment-seconds", 0.2, "--workers", 1)
    assert shell("prepare", "folder", "--source", source, "--data-root", root, "--name", "Mine", *how).code == 0
    outcome = shell("info", root / "mine", "--json", tmp_path / "x.json", "--plot", tmp_path / "x.png")  # any case
    assert outcome.code == 0, outcome.err
    assert "15 classes, 30 clips" in outcome.out
    assert "Lengths: 0.20 to 0.35 s" in outcome.out
    assert "Skipped inputs: 1 not_audio" in outcome.out
    assert read(tmp_path / "x.json")["clips"] == 30
    assert (tmp_path / "x.png").is_file()


def test_verifying_what_was_prepared(tmp_path: Path, shell: Shell) -> None:
    source, root = class_folders(tmp_path / "source", clips=2), tmp_path / "data"
    how = (
        "folder",
        "--source",
        source,
        "--data-root",
        root,
        "--name",
        "Mine",
        "--segment-seconds",
        0.2,
        "--workers",
        1,
    )
    assert shell("prepare", *how).code == 0
    outcome = shell("info", root / "Mine", "--verify")
    assert outcome.code == 0, outcome.err
    assert "Verified: 30 files of clips, 0 packed segments\n" in outcome.out
    path = sorted((root / "Mine" / "features").rglob("*.npy"))[7]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    outcome = shell("info", root / "Mine", "--verify")
    assert outcome.code == 1
    assert f"Damaged or missing: {path}\n1 files: run `prepare` again" in outcome.out
    assert shell("prepare", *how).code == 0
    write_norm(root / "Mine" / "norm_stats" / "glob_norm.npy", 0, 1)
    outcome = shell("info", root / "Mine", "--verify")
    assert outcome.code == 0  # the numbers may have been edited
    assert "is not what `prepare` computes" in outcome.out


def test_info_of_other_folders(tmp_path: Path, shell: Shell) -> None:
    foreign(tmp_path)
    outcome = shell("info", tmp_path / "theirs")
    assert outcome.code == 0, outcome.err
    assert "2 classes, 3 clips, 5 segments of 8 x 20" in outcome.out
    for line in ("Lengths: unknown", "Normalization: none", "Splits: none", "Skipped inputs: none"):
        assert line in outcome.out
    missing = shell("info", tmp_path / "nowhere")
    assert missing.code == 1
    assert "dataset 'nowhere' not found" in missing.err
