"""Preparation: what lands on disk, and that every input is accounted for."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from fewshot_audio.audio.decode import Decoded
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data import workers
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import read_norm
from fewshot_audio.data.prepare import PrepareReport, prepare
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording
from fewshot_audio.data.sources.esc50 import Esc50
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.sources.synthetic import Synthetic
from fewshot_audio.data.splits import Splits, read_splits, write_splits
from fewshot_audio.errors import DataError, WriteError
from tests.audio import flavors
from tests.data.recordings import SMALL, class_folders, contents, esc50, rows, write


def run(source: Any, folder: DatasetFolder, preprocessing: Preprocessing = SMALL, **how: Any) -> PrepareReport:
    """Prepare in this process, and check what is promised of every preparation."""
    report = prepare(source, folder, preprocessing, **{"workers": 1, **how})
    clips, skipped = rows(folder.clips), rows(folder.skipped)
    assert report.inputs == report.prepared + sum(report.skipped.values())
    partly = [row for row in skipped if row["reason"] == "partly_damaged"]
    assert (len(clips), len(skipped) - len(partly)) == (report.prepared, sum(report.skipped.values()))
    on_disk = {path.relative_to(folder.features).with_suffix("").as_posix() for path in folder.features.rglob("*.npy")}
    assert on_disk == {f"{row['class']}/{row['clip']}" for row in clips}
    assert len(on_disk) == report.prepared
    assert read_splits(folder.splits) == report.splits
    assert not list(folder.path.rglob("*.tmp"))
    return report


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    return DatasetFolder(tmp_path / "root" / "mine")


def test_what_lands_on_disk(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    reports: list[tuple[int, int]] = []
    report = run(source, folder, waveforms=True, progress=lambda _, done, total, __="": reports.append((done, total)))
    assert (report.inputs, report.prepared, report.reused, report.removed) == (45, 45, 0, 0)
    assert reports[0] == (0, 45)
    assert reports[-1] == (45, 45)
    assert reports == sorted(reports)
    assert Preprocessing.from_json(folder.preprocessing.read_text()) == SMALL
    assert [len(report.splits[phase]) for phase in ("train", "validation", "test")] == [5, 5, 5]
    row = next(row for row in rows(folder.clips) if row["source"] == "class03/clip2.wav")
    assert row == {
        "class": "class03",
        "clip": "clip2",
        "source": "class03/clip2.wav",
        "group": "",
        "segments": "2",
        "seconds": "0.5000",
    }
    for path in (folder.features / "class03" / "clip2.npy", folder.waveforms / "class03" / "clip2.npy"):
        assert np.load(path).dtype == np.float32
    waveforms = np.load(folder.waveforms / "class03" / "clip2.npy")
    whole = SMALL.load(tmp_path / "source" / "class03" / "clip2.wav")
    np.testing.assert_array_equal(waveforms.reshape(-1), whole)
    features = np.load(folder.features / "class03" / "clip2.npy")
    assert features.shape == (2, SMALL.n_mels, SMALL.frames)
    np.testing.assert_allclose(features, SMALL.features(waveforms), rtol=1e-6)


def test_norm_numbers_are_those_of_the_training_classes(tmp_path: Path, folder: DatasetFolder) -> None:
    report = run(ClassFolders(class_folders(tmp_path / "source")), folder)
    training = [path for name in report.splits.train for path in (folder.features / name).glob("*.npy")]
    values = np.concatenate([np.load(path).ravel() for path in training]).astype(np.float64)
    assert read_norm(folder.norm_stats) == (report.mean, report.std)
    np.testing.assert_allclose([report.mean, report.std], [values.mean(), values.std()], rtol=1e-12)
    stored = np.load(folder.norm_stats)
    assert stored.shape == (2, 1, 1)
    everything = np.concatenate([np.load(path).ravel() for path in folder.features.rglob("*.npy")])
    assert abs(everything.mean() - report.mean) > 1e-6


def test_esc50_end_to_end(tmp_path: Path, folder: DatasetFolder) -> None:
    report = run(Esc50(esc50(tmp_path / "ESC-50-master")), folder)
    assert report.clips == {f"sound_{i:02d}": 4 for i in range(15)}
    assert {row["group"] for row in rows(folder.clips) if row["class"] == "sound_01"} == {"1010", "1011"}
    assert any("15 classes have fewer than the 10 clips" in note for note in report.notes)


def test_synthetic_end_to_end(folder: DatasetFolder) -> None:
    report = run(Synthetic(classes=15, clips=2, seconds=0.5), folder)
    assert report.prepared == 30
    assert {row["segments"] for row in rows(folder.clips)} == {"2"}


def test_the_number_of_workers_does_not_show(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    alone = DatasetFolder(tmp_path / "alone")
    run(source, alone, waveforms=True)
    run(source, folder, waveforms=True, workers=2)
    assert contents(folder) == contents(alone)


def test_workers_start_without_torch() -> None:
    code = "import sys, fewshot_audio.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Inputs that cannot be used


def test_an_input_that_vanishes_after_it_was_found(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source")

    class Vanishing(ClassFolders):
        def recordings(self) -> Any:
            items = list(super().recordings())
            (root / "class00" / "clip0.wav").unlink()
            return iter(items)

    report = run(Vanishing(root), folder)
    assert report.skipped == {"missing": 1}
    assert report.clips["class00"] == 2


def test_classes_left_too_small_are_named(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source", classes=17)
    for name in ("clip0.wav", "clip1.wav"):
        (root / "class03" / name).write_text("no sound")
        (root / "class05" / name).write_text("no sound")
    (root / "class05" / "clip2.wav").write_text("no sound")
    (root / "class99").mkdir()
    (root / "class99" / "notes.txt").touch()
    report = run(ClassFolders(root), folder)
    notes = "\n".join(report.notes)
    assert report.clips["class03"] == 1
    for name, count in (("class03", 1), ("class05", 0), ("class99", 0)):
        assert f"class '{name}' is in no split: {count} usable clips" in notes
        assert name not in report.splits.classes
    assert len(report.splits.classes) == 15


def test_given_splits_are_reduced_and_mismatches_named(tmp_path: Path, folder: DatasetFolder) -> None:
    splits_file = tmp_path / "given.npy"
    write_splits(splits_file, Splits(("class04", "class01", "absent"), ("class02",), ("class03",)))
    report = run(ClassFolders(class_folders(tmp_path / "source", classes=6)), folder, splits_file=splits_file)
    assert report.splits == Splits(("class04", "class01"), ("class02",), ("class03",))
    notes = "\n".join(report.notes)
    assert "absent" in notes
    assert "class00, class05" in notes


def test_splits_that_cannot_be_fail_before_the_work(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source", classes=6))
    with pytest.raises(DataError, match="--way 2"):
        prepare(source, folder, SMALL, workers=1)
    write_splits(tmp_path / "given.npy", Splits(("x",), ("y",), ("z",)))
    with pytest.raises(DataError, match="names x; found class00"):
        prepare(source, folder, SMALL, splits_file=tmp_path / "given.npy", workers=1)
    assert not folder.path.exists()
    assert run(source, folder, way=2).splits.validation


def test_too_few_classes_tell_what_was_left_out(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source", classes=6)
    (root / "class00" / "notes.txt").touch()
    few = SourceLimits(least_clips=99)
    with pytest.raises(
        DataError, match=r"6 classes more with fewer than 99 usable clips \(--min-clips\): class00 \("
    ) as caught:
        prepare(ClassFolders(root), folder, SMALL, limits=few, way=2, workers=1)
    assert f"1 input skipped (1 not_audio), see {folder.skipped}" in str(caught.value)
    assert [row["source"] for row in rows(folder.skipped)] == ["class00/notes.txt"]


def test_nothing_to_prepare(tmp_path: Path, folder: DatasetFolder) -> None:
    (tmp_path / "source").mkdir()
    write(tmp_path / "source" / "loose.wav")
    with pytest.raises(DataError, match=r"1 input skipped \(1 no_class\); the first is 'loose.wav': lies in no class"):
        prepare(ClassFolders(tmp_path / "source"), folder, SMALL, workers=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to prepare, the folder of the recordings is empty"):
        prepare(ClassFolders(tmp_path / "empty"), folder, SMALL, workers=1)
    root = class_folders(tmp_path / "bad", clips=2)
    for path in root.rglob("*.wav"):
        path.write_text("no sound")
    with pytest.raises(DataError, match=r"none of the 30 inputs.*skipped\.csv"):
        prepare(ClassFolders(root), folder, SMALL, workers=1)
    assert len(rows(folder.skipped)) == 30


# Names


def test_no_two_inputs_share_a_name_and_none_escapes(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source", classes=14)
    odd = root / "odd: class?"
    names = ["a.wav", "a.flac", "sub/a.wav", "sub_a.wav", "a...wav", "ü.wav", "u\u0308.wav", "x" * 240 + ".wav"]
    names += ["x" * 239 + "y.wav", "鳥" * 80 + ".wav", os.fsdecode(b"\xff.wav"), "con\ntrol.wav", "~.wav"]
    for i, name in enumerate(names):
        write(odd / "in.wav", seed=i).rename(write(odd / "sub" / "x.wav").parent.parent / name)
    (odd / "sub" / "x.wav").unlink()
    report = run(ClassFolders(root), folder)
    assert report.clips["odd_ class_"] == len(names)
    assert any("'odd: class?' is stored as 'odd_ class_'" in note for note in report.notes)
    assert {path.parent.parent for path in folder.path.rglob("*.npy")} == {
        folder.features,
        folder.path,
        folder.path.parent,
    }
    clips = {row["source"]: row["clip"] for row in rows(folder.clips)}
    assert clips["class00/clip0.wav"] == "clip0"
    assert clips["odd: class?/a.wav"].startswith("a~")
    assert all(len(os.fsencode(path.name)) < 200 for path in folder.features.rglob("*.npy"))


def test_classes_whose_safe_names_are_equal_stay_apart(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source")
    write(root / "a:b" / "x.wav")
    write(root / "a?b" / "x.wav", seed=1)
    report = run(ClassFolders(root), folder)
    assert len([name for name in report.clips if name.startswith("a_b~")]) == 2


# Again


def test_a_second_run_does_nothing_twice(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    run(source, folder)
    before = contents(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.features.rglob("*.npy")}
    report = run(source, folder)
    assert report.reused == 45
    assert contents(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.features.rglob("*.npy")} == times


def test_changes_of_the_source_are_followed(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source")
    run(ClassFolders(root), folder)
    (root / "class00" / "clip0.wav").unlink()
    write(root / "class01" / "clip0.wav", seed=999, seconds=0.9)
    write(root / "class02" / "new.wav", seed=998)
    (root / "class03" / "clip1.wav").write_text("no sound any more")
    (root / "class04" / "clip1.wav").rename(root / "class04" / "renamed.wav")
    report = run(ClassFolders(root), folder)
    assert (report.prepared, report.reused, report.removed) == (44, 41, 3)
    assert report.skipped == {"unreadable": 1}
    fresh = DatasetFolder(tmp_path / "fresh")
    run(ClassFolders(root), fresh)
    assert contents(folder) == contents(fresh)


def test_inputs_that_were_skipped_are_tried_again(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source")
    (root / "class00" / "later.m4a").write_bytes(b"not yet copied")
    assert run(ClassFolders(root), folder).skipped == {"unreadable": 1}
    flavors.encode(root / "class00" / "later.m4a", "aac", "ipod")
    report = run(ClassFolders(root), folder)
    assert (report.skipped, report.reused, report.prepared) == ({}, 45, 46)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_outputs_that_were_lost_are_made_again(tmp_path: Path, folder: DatasetFolder, damage: str) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    run(source, folder, waveforms=True)
    before = contents(folder)
    for path in (folder.features / "class00" / "clip0.npy", folder.waveforms / "class01" / "clip1.npy"):
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:1000])
    (folder.path / ".fewshot-audio-abcd_123.tmp").touch()  # what a killed writer leaves
    (folder.features / "class00" / ".fewshot-audio-00000000.tmp").touch()
    (folder.features / "class77").mkdir()
    assert run(source, folder, waveforms=True).reused == 43
    assert contents(folder) == before


def test_another_preprocessing_starts_afresh(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    run(source, folder)
    other = Preprocessing.of(**{**SMALL.model_dump(), "n_mels": 20})
    assert run(source, folder, other).reused == 0
    fresh = DatasetFolder(tmp_path / "fresh")
    run(source, fresh, other)
    assert contents(folder) == contents(fresh)


def test_waveforms_come_and_go_with_the_option(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    run(source, folder)
    before = contents(folder)
    assert run(source, folder, waveforms=True).reused == 0
    assert len(list(folder.waveforms.rglob("*.npy"))) == 45
    assert folder.wave_stats.is_file()
    assert run(source, folder, waveforms=True).reused == 45
    assert run(source, folder).reused == 45
    assert not folder.waveforms.exists()
    assert contents(folder) == before


def test_seed_and_way_choose_the_splits(tmp_path: Path, folder: DatasetFolder) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    first = run(source, folder).splits
    assert run(source, folder, seed=1).splits != first
    assert run(source, folder).splits == first
    assert [len(run(source, folder, way=3).splits[phase]) for phase in ("validation", "test")] == [3, 3]


# What stops it


def test_features_of_other_tools_are_left_alone(tmp_path: Path, folder: DatasetFolder) -> None:
    foreign = folder.features / "dog" / "a.npy"
    foreign.parent.mkdir(parents=True)
    np.save(foreign, np.zeros((128, 157), dtype=np.float32))
    with pytest.raises(DataError, match="did not prepare"):
        prepare(ClassFolders(class_folders(tmp_path / "source")), folder, SMALL, workers=1)
    assert foreign.exists()


def test_one_preparation_at_a_time(tmp_path: Path, folder: DatasetFolder) -> None:
    folder.path.mkdir(parents=True)
    source = ClassFolders(class_folders(tmp_path / "source"))
    with FileLock(folder.path / ".prepare.lock"), pytest.raises(DataError, match="another process"):
        prepare(source, folder, SMALL, workers=1)
    run(source, folder)


def test_a_full_disk_stops_it_and_it_goes_on_later(
    tmp_path: Path, folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ClassFolders(class_folders(tmp_path / "source"))
    write_atomic, writes = workers.write_atomic, iter(range(30))

    def full(path: Path, write: Any) -> None:
        if next(writes, None) is None:
            raise WriteError(f"{path}: cannot be written: No space left on device")
        write_atomic(path, write)

    monkeypatch.setattr(workers, "write_atomic", full)
    with pytest.raises(DataError, match=r"npy: cannot be written: No space left.*run the same command again"):
        prepare(source, folder, SMALL, workers=1)
    assert not folder.splits.exists()
    monkeypatch.undo()
    assert run(source, folder).reused > 0
    fresh = DatasetFolder(tmp_path / "fresh")
    run(source, fresh)
    assert contents(folder) == contents(fresh)


def test_a_destination_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file is a file, expected a folder"):
        prepare(Synthetic(classes=15, clips=2), DatasetFolder(tmp_path / "file" / "x"), SMALL, workers=1)


@dataclass(frozen=True)
class Deadly:
    """A recording whose decoder crashes."""

    def read(self, sample_rate: int) -> Decoded:
        os._exit(1)

    def fingerprint(self) -> str:
        return "1"


def test_a_worker_that_dies_is_reported(tmp_path: Path, folder: DatasetFolder) -> None:
    class Source(ClassFolders):
        def recordings(self) -> Any:
            for item in super().recordings():
                yield (
                    replace(item, sound=Deadly()) if isinstance(item, Recording) and "class01" in item.source else item
                )

    with pytest.raises(DataError, match="worker process died"):
        prepare(Source(class_folders(tmp_path / "source")), folder, SMALL, workers=2)


def test_damaged_recordings_are_prepared_as_far_as_they_go_and_listed(tmp_path: Path, folder: DatasetFolder) -> None:
    root = class_folders(tmp_path / "source")
    flavors.edited(root / "class00" / "cut.mp3", flavors.by_soundfile, flavors.halved)
    report = run(ClassFolders(root), folder)
    assert (report.inputs, report.prepared, report.skipped) == (46, 46, {})
    assert any("1 recording is damaged" in note for note in report.notes)
    (row,) = rows(folder.skipped)
    assert (row["source"], row["reason"]) == ("class00/cut.mp3", "partly_damaged")
    assert re.fullmatch(r"damaged: [\d.]+ of 6 s heard", row["detail"])
    assert run(ClassFolders(root), folder).reused == 46
    strict = run(ClassFolders(root), folder, limits=SourceLimits(strict=True))
    assert (strict.prepared, strict.reused, strict.skipped) == (45, 45, {"damaged": 1})
