"""Every source of the benchmark, from its published layout to a dataset folder that trains."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
import soundfile

from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.data import preparation_resume as resume
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.part_counts import Count, PartCounts
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, Source
from fewshot_audio.data.sources.birdclef2020 import BirdClef2020
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.sources.fsdkaggle2018 import FsdKaggle2018
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.sources.speechcommands import SpeechCommands
from fewshot_audio.data.sources.voxceleb1 import VoxCeleb1
from fewshot_audio.data.sources.watkins import Watkins
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.data.workers import PlannedClip
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.data import layouts
from tests.data.recordings import class_folders, contents, rows, write
from tests.data.test_prepare import run
from tests.data.test_sources import enumerate_source
from tests.tiny import tiny_configs

PUBLISHED: dict[str, tuple[Callable[[Path], Source], Callable[[Path], Path], SourceLimits, int]] = {
    "nsynth": (NSynth, layouts.nsynth, NSynth.limits, 0),
    "fsdkaggle2018": (FsdKaggle2018, layouts.fsdkaggle2018, FsdKaggle2018.limits, 0),
    "birdclef2020": (BirdClef2020, layouts.birdclef2020, SourceLimits(longest_seconds=1.0, least_clips=2), 11),
    "voxceleb1": (VoxCeleb1, layouts.voxceleb1, replace(VoxCeleb1.limits, least_clips=4), 10),
    "voxceleb1-cuts": (VoxCeleb1, layouts.voxceleb1_cuts, replace(VoxCeleb1.limits, least_clips=4), 0),
    "speechcommands": (SpeechCommands, layouts.speechcommands, SpeechCommands.limits, 4),
    "watkins": (Watkins, layouts.watkins, replace(Watkins.limits, longest_seconds=1.0), 9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_from_the_published_layout_to_a_trained_network(name: str, tmp_path: Path) -> None:
    kind, generate, limits, skipped = PUBLISHED[name]
    report = run(kind(generate(tmp_path / "source")), DatasetFolder(tmp_path / "root" / "Tiny"), limits=limits, way=3)
    assert report.prepared == layouts.CLASSES * layouts.CLIPS
    assert sum(report.skipped.values()) == skipped
    experiment, model = tiny_configs({"n_training_tasks": 1, "n_validation_tasks": 1, "num_epochs": 1})
    results = run_experiment(experiment, model, tmp_path / "root", tmp_path / "experiments")
    assert results.runs[0].test.tasks == 10


def reasons(skipped: dict[str, SkippedInput]) -> dict[str, Reason]:
    return {name: item.reason for name, item in skipped.items()}


def test_nsynth_notes_by_instrument(tmp_path: Path) -> None:
    root = layouts.nsynth(tmp_path, classes=3, clips=1, seconds=0.1)
    write(root / "nsynth-train" / "audio" / "extra.wav")
    (root / "nsynth-test" / "audio" / "bass_electronic_002-040-100.wav").unlink()
    recordings, skipped = enumerate_source(NSynth(root))
    note = recordings["nsynth-valid/audio/bass_electronic_001-040-100.wav"]
    assert (note.class_name, note.clip, note.group) == ("bass_electronic_001", "bass_electronic_001-040-100", "")
    assert reasons(skipped) == {
        "nsynth-train/audio/extra.wav": Reason.NOT_LISTED,
        "nsynth-test/audio/bass_electronic_002-040-100.wav": Reason.MISSING,
    }
    shutil.rmtree(root / "nsynth-train")  # a part is enough
    assert len(enumerate_source(NSynth(root))[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": 1}',
        '{"a": {"instrument_str": ""}}',
        "\xff",
        "[" * 100_000,
        '{"a": {"pitch": ' + "9" * 10_000 + "}}",
        r'{"\ud83c": {"instrument_str": "a"}}',  # half of a character
        r'{"a": {"instrument_str": "\udc00"}}',
    ],
    ids=["cut off", "list", "number", "empty", "bytes", "deep", "long", "half a name", "half an instrument"],
)
def test_nsynth_tables_that_are_none(tmp_path: Path, text: str) -> None:
    root = layouts.nsynth(tmp_path, classes=1, clips=1, seconds=0.1)
    (root / "nsynth-train" / "examples.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"nsynth-train/examples\.json"):
        list(NSynth(root).recordings())


def test_nsynth_tables_that_are_too_large(tmp_path: Path) -> None:
    root = layouts.nsynth(tmp_path, classes=1, clips=1, seconds=0.1)
    os.truncate(root / "nsynth-train" / "examples.json", 10 << 30)  # of which nothing is on the disk
    with pytest.raises(DataError, match=r"examples\.json.*refused unread"):
        list(NSynth(root).recordings())


def test_fsdkaggle2018_joins_both_parts(tmp_path: Path) -> None:
    recordings, skipped = enumerate_source(FsdKaggle2018(layouts.fsdkaggle2018(tmp_path, classes=2)))
    assert not skipped
    assert {name.partition("/")[0] for name, item in recordings.items() if item.class_name == "Sound_1"} == {
        "FSDKaggle2018.audio_train",
        "FSDKaggle2018.audio_test",
    }
    assert {item.group for item in recordings.values() if item.class_name == "Sound_1"} == {"1010", "1011"}


def test_birdclef2020_is_pruned_clips_first_then_classes(tmp_path: Path) -> None:
    source = BirdClef2020(layouts.birdclef2020(tmp_path / "source"))
    assert source.limits == SourceLimits(longest_seconds=180.0, least_clips=50)
    folder = DatasetFolder(tmp_path / "root" / "BirdClef")
    limits = SourceLimits(longest_seconds=1.0, least_clips=3)
    report = run(source, folder, limits=limits, way=3)
    assert report.skipped == {"too_long": 10, "small_class": 1}
    assert "Avis exemplum9_Example bird 9" not in report.splits.classes
    notes = "\n".join(report.notes)
    assert report.parts[0] == PartCounts("all", Count(47, 10, 1), Count(37, 10, 1), Count(36, 9, 0))
    assert "1 classes are in no split, having fewer than 3 usable clips: Avis exemplum9_Example bird 9 (1)" in notes
    assert run(source, folder, limits=limits, way=3).reused == 36
    everything = run(source, folder, way=3)  # without limits
    assert (everything.prepared, everything.reused) == (47, 36)
    again = run(source, folder, limits=limits, way=3)
    assert (again.prepared, again.removed) == (36, 11)


def test_voxceleb1_counts_by_split_before_and_after(tmp_path: Path) -> None:
    root = layouts.voxceleb1(tmp_path / "source", classes=4)
    (root / "wav" / "id10001" / "video100001" / "00003.wav").write_bytes(b"")
    write_splits(tmp_path / "splits.npy", Splits(("id10000", "id10001"), ("id10002",), ("id10003", "id10004", "id9")))
    limits, splits_file = SourceLimits(least_clips=4), tmp_path / "splits.npy"
    report = run(VoxCeleb1(root), DatasetFolder(tmp_path / "x"), limits=limits, splits_file=splits_file)
    assert report.splits == Splits(("id10000",), ("id10002",), ("id10003",))
    assert report.skipped == {"empty": 6, "small_class": 3}
    assert report.parts == (
        PartCounts("all", Count(21, 5, 1), Count(15, 4, 1), Count(12, 3, 0)),
        PartCounts("train", Count(10, 2, 0), Count(7, 2, 1), Count(4, 1, 0)),
        PartCounts("validation", Count(5, 1, 0), Count(4, 1, 0), Count(4, 1, 0)),
        PartCounts("test", Count(6, 2, 1), Count(4, 1, 0), Count(4, 1, 0)),
    )
    assert any("fewer than 4 usable clips: id10001 (3), id10004 (0)" in note for note in report.notes)
    assert any("not found: id9" in note for note in report.notes)


def test_voxceleb1_counts_by_split_that_was_made_by_seed(tmp_path: Path) -> None:
    root = layouts.voxceleb1(tmp_path / "source", classes=6)
    for clip in ("00002.wav", "00003.wav"):
        next((root / "wav" / "id10005").rglob(clip)).write_bytes(b"")
    report = run(VoxCeleb1(root), DatasetFolder(tmp_path / "x"), limits=SourceLimits(least_clips=4), way=1)
    parts = {counts.part: counts for counts in report.parts}
    assert list(parts) == ["all", "train", "validation", "test", "unused"]
    assert parts["unused"] == PartCounts("unused", Count(6, 2, 1), Count(2, 1, 1), Count(0, 0, 0))
    for part in ("train", "validation", "test"):
        size = len(report.splits[part])
        assert parts[part].prepared == Count(4 * size, size, 0)
    assert parts["all"].prepared == Count(20, 5, 0)


def test_clips_of_a_class_that_is_too_small_are_not_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = class_folders(tmp_path / "source", classes=16, clips=4)
    (root / "class00" / "clip0.wav").write_text("no sound")
    (root / "class01" / "clip0.wav").unlink()
    source, folder = ClassFolders(root), DatasetFolder(tmp_path / "x")
    worked: list[str] = []
    prepare_clips = resume.prepare_clips

    def watched(clips: Sequence[PlannedClip], *how: Any) -> Any:
        worked.extend(clip.recording.source for clip in clips)
        return prepare_clips(clips, *how)

    monkeypatch.setattr(resume, "prepare_clips", watched)
    limits = SourceLimits(least_clips=4)
    assert run(source, folder, limits=limits, way=3).skipped == {"small_class": 6, "unreadable": 1}
    first = contents(folder)
    worked.clear()
    reports: list[tuple[int, int]] = []
    report = run(
        source, folder, limits=limits, way=3, progress=lambda _, done, total, __="": reports.append((done, total))
    )
    assert worked == ["class00/clip0.wav"]  # what was rejected is tried again
    assert reports[-1] == (63, 63)
    assert (report.prepared, report.reused, report.removed) == (56, 56, 0)
    assert contents(folder) == first
    write(root / "class01" / "clip0.wav", seed=77)  # now the class is large enough
    worked.clear()
    report = run(source, folder, limits=limits, way=3)
    assert set(worked) == {"class00/clip0.wav", *(f"class01/clip{k}.wav" for k in range(4))}
    assert (report.prepared, report.reused, report.skipped) == (60, 56, {"small_class": 3, "unreadable": 1})
    fresh = DatasetFolder(tmp_path / "fresh")
    run(source, fresh, limits=limits, way=3)
    assert contents(folder) == contents(fresh)


def test_a_lost_clip_that_is_damaged_by_now_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "source")
    folder = DatasetFolder(tmp_path / "x")
    run(ClassFolders(root), folder)
    (folder.features / "class00" / "clip0.npy").unlink()

    def broken(sound: AudioFile, sample_rate: int) -> Any:
        raise Rejected(Reason.DAMAGED, "the disk is failing")

    monkeypatch.setattr(AudioFile, "read", broken)
    report = run(ClassFolders(root), folder)
    assert (report.prepared, report.reused, report.skipped) == (44, 44, {"damaged": 1})


def test_voxceleb1_names_become_ids(tmp_path: Path) -> None:
    root = layouts.voxceleb1_cuts(tmp_path, classes=1)
    (root / "voxceleb1.csv").unlink()
    write(root / "wav" / "Ann_Example_0" / "video" / "00001.wav")
    write(root / "wav" / "id19999" / "00001.wav")
    recordings, _ = enumerate_source(VoxCeleb1(root))
    assert {name: (item.class_name, item.clip, item.group) for name, item in recordings.items()} == {
        "wav/Ann_Example_0/video/00001.wav": ("id10000", "video/00001", "video"),
        "wav/id19999/00001.wav": ("id19999", "00001", ""),
    }


def test_voxceleb1_segments_are_cut_from_whole_recordings(tmp_path: Path) -> None:
    root = layouts.voxceleb1_cuts(tmp_path, classes=4, clips=2)
    (root / "recordings" / "abcdefgh_02.flac").unlink()
    write(root / "recordings" / "An interview [abcdefgh_01].wav")
    write(root / "recordings" / "other.wav")
    (root / "recordings" / "abcdefgh_00.info.json").touch()
    with (root / "voxceleb1.csv").open("a") as stream:
        stream.write("x,Ann_Example_0/abcdefgh_00,5,6,Ann_Example_0,dev,trn\n")
    items = list(VoxCeleb1(root).recordings())
    recordings = {(item.class_name, item.clip): item for item in items if isinstance(item, Recording)}
    cut = recordings["id10003", "abcdefgh_03/00002"]
    assert cut.group == "abcdefgh_03"
    whole = write(tmp_path / "whole.wav", seed=3, seconds=1.1, rate=44_100)
    expected = soundfile.read(whole, dtype="float32")[0][round(0.5 * 44_100) : round(0.8 * 44_100)]
    np.testing.assert_array_equal(cut.sound.read(44_100).samples, expected)
    assert cut.sound.fingerprint() != recordings["id10003", "abcdefgh_03/00001"].sound.fingerprint()
    assert [(item.source, item.reason) for item in items if isinstance(item, SkippedInput)] == [
        ("voxceleb1.csv: id10002/abcdefgh_02/00001 (0.1 to 0.4 s)", Reason.MISSING),
        ("voxceleb1.csv: id10002/abcdefgh_02/00002 (0.5 to 0.8 s)", Reason.MISSING),
        ("recordings/An interview [abcdefgh_01].wav", Reason.DUPLICATE),
        ("recordings/abcdefgh_00.info.json", Reason.NOT_AUDIO),
        ("recordings/other.wav", Reason.NOT_LISTED),
    ]
    with pytest.raises(DataError, match=r"recording is 1\.1 s long, expected to contain 5 to 6 s"):
        recordings["id10000", "abcdefgh_00/00003"].sound.read(16_000)


def test_voxceleb1_recordings_behind_links_and_hidden_ones(tmp_path: Path) -> None:
    root = layouts.voxceleb1_cuts(tmp_path / "root", classes=3, clips=1)
    folder = root / "recordings"
    folder.symlink_to(folder.rename(tmp_path / "disk"), target_is_directory=True)
    (folder / "again").symlink_to(tmp_path / "disk", target_is_directory=True)
    (folder / "abcdefgh_02.flac").unlink()
    (folder / "abcdefgh_02.flac").symlink_to("nowhere.flac")
    for hidden in (".trash", "@eaDir"):
        write(root / hidden / "abcdefgh_02.wav")
    with (root / "voxceleb1.csv").open("a") as stream:
        stream.write(",,,,,,\n")
    items = list(VoxCeleb1(root).recordings())
    sounds = [item.sound for item in items if isinstance(item, Recording)]
    assert [sound.path.name for sound in sounds if isinstance(sound, AudioFile)] == [
        "abcdefgh_00.wav",
        "An interview [abcdefgh_01].mp3",
    ]
    assert [(item.source, item.reason) for item in items if isinstance(item, SkippedInput)] == [
        ("voxceleb1.csv: id10002/abcdefgh_02/00001 (0.1 to 0.4 s)", Reason.MISSING),
        ("recordings/abcdefgh_02.flac", Reason.MISSING),
        ("recordings/again", Reason.LINK_LOOP),
    ]


def test_voxceleb1_videos_by_the_names_in_the_table(tmp_path: Path) -> None:
    write(tmp_path / f"{normalize('NFD', 'é')}.part.1.wav", seconds=1.0)
    name = normalize("NFC", "é")
    (tmp_path / "voxceleb1.csv").write_text(f"uri;start;end;speaker\n\nx/{name}.part.1;0;1;{name}\nx/y;0,5;1;b\n")
    source = VoxCeleb1(tmp_path).recordings()
    recording = next(source)
    assert isinstance(recording, Recording)
    assert (recording.class_name, recording.clip) == (name, f"{name}.part.1/00001")
    with pytest.raises(DataError, match=r"voxceleb1\.csv, line 4: .*'0,5'"):
        next(source)


def test_voxceleb1_tables_that_are_none(tmp_path: Path) -> None:
    root = layouts.voxceleb1_cuts(tmp_path, classes=1, clips=1)
    text = (root / "voxceleb1.csv").read_text()
    for wrong, words in ((text.replace("0.1,", "soon,"), "line 2"), (text.replace("uri", "url"), "column 'uri'")):
        (root / "voxceleb1.csv").write_text(wrong)
        with pytest.raises(DataError, match=words):
            list(VoxCeleb1(root).recordings())


def test_speechcommands_by_speaker_without_the_noise(tmp_path: Path) -> None:
    recordings, skipped = enumerate_source(SpeechCommands(layouts.speechcommands(tmp_path, classes=1)))
    assert [item.group for item in recordings.values()] == ["00000000"] * 2 + ["00000001"] * 2
    assert skipped["_background_noise_/pink_noise.wav"].reason == Reason.NO_CLASS


def test_watkins_by_tape(tmp_path: Path) -> None:
    recordings, _ = enumerate_source(Watkins(layouts.watkins(tmp_path, classes=1)))
    assert {item.clip: item.group for item in recordings.values()} == {
        "no record number": "",
        "61000B01": "61000",
        "61000C02": "61000",
        "61000A03": "61000",
        "70000001": "70000",
    }


@pytest.mark.parametrize("kind", [NSynth, FsdKaggle2018, VoxCeleb1, BirdClef2020])
def test_layouts_that_are_none(tmp_path: Path, kind: Callable[[Path], Source]) -> None:
    with pytest.raises(DataError, match="expected"):
        list(kind(tmp_path / "nowhere").recordings())


# Lengths


def test_a_set_of_fixed_length_lists_clips_of_another(tmp_path: Path) -> None:
    root = layouts.nsynth(tmp_path / "source", clips=3, seconds=0.5)
    short, long = (root / "nsynth-train" / "audio" / f"bass_electronic_000-0{n}-100.wav" for n in (40, 41))
    write(short, seconds=0.3)
    write(long, seconds=0.7)
    folder, limits = DatasetFolder(tmp_path / "x"), SourceLimits(exact_seconds=0.5)
    report = run(NSynth(root), folder, limits=limits, way=2)
    assert report.skipped == {"other_length": 2}
    assert rows(folder.skipped)[0]["detail"] == "0.3 s, expected 0.5 s (to take it: --pad)"
    padded = run(NSynth(root), folder, limits=replace(limits, pad=True), way=2)
    assert (padded.prepared, padded.reused, padded.skipped) == (27, 25, {})
    assert run(NSynth(root), folder, limits=limits, way=2).prepared == 25


@pytest.mark.parametrize("wrong", [{"longest_seconds": 0.0}, {"least_clips": -1}])
def test_limits_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="expected a"):
        SourceLimits(**wrong)


def test_nothing_left_by_the_limits_fails_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 classes"):
        run(
            NSynth(layouts.nsynth(tmp_path, seconds=0.1)),
            DatasetFolder(tmp_path / "x"),
            limits=SourceLimits(least_clips=5),
        )
    assert not (tmp_path / "x").exists()


def test_published_limits() -> None:
    assert (BirdClef2020.limits.least_clips, VoxCeleb1.limits.least_clips) == (50, 20)
    assert (BirdClef2020.limits.longest_seconds, Watkins.limits.longest_seconds) == (180, 180)
    assert NSynth.limits.exact_seconds == NSynth.segment_seconds == 4
