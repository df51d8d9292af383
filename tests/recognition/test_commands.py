"""``enroll`` and ``classify`` with recordings, names and outputs as people have them."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio import Recognizer
from tests.recognition.sounds import RATE, SEGMENT, sound, write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
HOP = SEGMENT / RATE
NAMES = ("Recording 3.45\u202fPM.wav", "tab\t.wav", "line\nbreak.wav", "zero\u200bwidth.wav", "a\u200cb\u200dc.wav")


def write_16_bit(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write samples as most recorders do; ``write_wav`` writes floating-point numbers, whose scale is free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    return path


def cut_off(path: Path, source: Path) -> Path:
    """Copy the first half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Two segments, of which the file's header promises four."""
    return cut_off(tmp_path / "damaged" / "cut.wav", write_16_bit(tmp_path / "whole.wav", sound(0, 100, 4)))


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_clips_of_any_name_are_enrolled_shown_and_loaded(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path
) -> None:
    support = tmp_path / "support"
    for number, name in enumerate(NAMES):
        write_wav(support / "new\u202f\n" / name, sound(2, number))
    not_text = os.fsdecode(b"m\xe9sange.wav")
    write_wav(support / "a.wav", sound(2, 7)).rename(support / "new\u202f\n" / not_text)
    outcome = shell("enroll", bundle, "--support", support, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "│ new\\u202f\\n " in outcome.out
    loaded = Recognizer.load(tmp_path / "out")
    assert {clip.name for clip in loaded.clips("new\u202f\n")} == {*NAMES, "m\\xe9sange.wav"}
    answers = tmp_path / "answers.csv"
    outcome = shell("classify", tmp_path / "out", support, "--format", "csv", "-o", answers)
    assert outcome.code == 0, outcome.err
    rows = csv_rows(answers)
    assert {Path(row["file"]).name for row in rows} == {*NAMES, "m\\xe9sange.wav"}
    assert shell("classify", tmp_path / "out", support).out.count("\n") == 1 + len(rows)


def test_files_that_are_no_recordings_do_not_fail_a_command(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path
) -> None:
    support = tmp_path / "support"
    shutil.copytree(recordings, support)
    for name in ("class 0/notes.txt", "class 4/picture.png", "readme.md"):
        (support / name).touch()
    (support / "empty").mkdir()
    outcome = shell("enroll", bundle, "--support", support, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "3 other files are no recordings\n" in outcome.err
    assert f"{support / 'empty'}: no recordings in this class folder\n" in outcome.err
    assert "not used" not in outcome.err
    outcome = shell("enroll", bundle, support / "class 0", "--add", "more", "-o", tmp_path / "more")
    assert (outcome.code, outcome.err) == (0, "1 other file is no recording\n")
    assert shell("classify", bundle, support).code == 0


def test_an_existing_recognizer_is_replaced_only_on_request(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path
) -> None:
    target = Path(shutil.copytree(bundle, tmp_path / "target"))
    new = write_wav(tmp_path / "support" / "new" / "a.wav", sound(2, 0)).parents[1]
    for line in (("--support", new), (bundle, "--support", new), ("absent.wav", "--add", "new")):
        outcome = shell("enroll", *line, "-o", target)
        assert outcome.code == 1
        assert f"{target}: there is a recognizer already. --replace replaces it" in outcome.err
        assert Recognizer.load(target).classes == ["class 0", "class 4", "class 8"]
    assert shell("enroll", target, "--support", new, "-o", target).code == 0  # it is the one that is changed
    assert Recognizer.load(target).classes == ["class 0", "class 4", "class 8", "new"]
    assert shell("enroll", bundle, "--remove", "class 0", "-o", target, "--replace").code == 0
    assert Recognizer.load(target).classes == ["class 4", "class 8"]


def test_damaged_clips_are_enrolled_and_told_unless_refused(
    bundle: Path, damaged: Path, shell: Shell, tmp_path: Path
) -> None:
    words = f"{damaged}: damaged: "
    lenient = shell("enroll", bundle, damaged, "--add", "cut", "-o", tmp_path / "lenient")
    assert lenient.code == 0
    assert words in lenient.err
    assert "not used" not in lenient.err
    assert [clip.segments for clip in Recognizer.load(tmp_path / "lenient").clips("cut")] == [2]
    strict = shell("enroll", bundle, damaged, "--add", "cut", "-o", tmp_path / "strict", "--strict")
    assert strict.code == 1
    assert f"not used: {words}" in strict.err
    assert "cut" not in Recognizer.load(tmp_path / "strict").classes


@pytest.mark.parametrize("hop", [[], ["--hop", HOP]])
def test_damaged_recordings_are_answered_and_told_unless_refused(
    bundle: Path, damaged: Path, shell: Shell, hop: list[object]
) -> None:
    outcome = shell("classify", bundle, damaged, "--format", "json", *hop)
    assert outcome.code == 0
    (entry,) = json.loads(outcome.out)["files"]
    assert entry["status"] == "ok"
    assert entry["events"]
    assert entry["remark"].startswith("damaged: 1.9")
    assert f"{damaged}: {entry['remark']}\n" in outcome.err
    outcome = shell("classify", bundle, damaged, "--format", "json", "--strict", *hop)
    assert outcome.code == 1
    (refused,) = json.loads(outcome.out)["files"]
    assert (refused["status"], refused["events"], refused["remark"]) == ("error", [], entry["remark"])


@pytest.mark.parametrize("hop", [[], ["--hop", HOP]])
def test_what_cannot_be_heard_gets_no_class(bundle: Path, shell: Shell, tmp_path: Path, hop: list[object]) -> None:
    random = np.random.default_rng(0)
    samples = 3 * SEGMENT
    time = np.arange(12 * samples) / (12 * RATE)
    write_16_bit(tmp_path / "in" / "bat.wav", 0.5 * np.sin(2 * np.pi * 40_000 * time), 12 * RATE)
    soundfile.write(tmp_path / "in" / "dither.wav", random.integers(-1, 2, samples).astype(np.int16), RATE)
    soundfile.write(tmp_path / "in" / "zeros.wav", np.zeros(samples, np.int16), RATE)
    outcome = shell("classify", bundle, tmp_path / "in", "--format", "json", *hop)
    assert outcome.code == 0
    entries = {Path(entry["file"]).name: entry for entry in json.loads(outcome.out)["files"]}
    windows = 3 if hop else 1
    for entry in entries.values():
        assert (entry["status"], entry["events"]) == ("nothing", [])
        assert (entry["windows"], entry["silent_windows"], entry["unknown_windows"]) == (windows, windows, 0)
    assert "below 8000 Hz, all that is used, of -9 dBFS" in entries["bat.wav"]["remark"]
    assert entries["dither.wav"]["remark"] == "nothing to hear (silent: -92 dBFS, below -90 dBFS)"
    assert entries["zeros.wav"]["remark"] == "nothing to hear (silent: no sound, below -90 dBFS)"


@pytest.fixture
def field(recordings: Path, damaged: Path, tmp_path: Path) -> Path:
    """A good recording, a damaged one, one that is silent, and one that cannot be used."""
    folder = tmp_path / "field"
    folder.mkdir()
    shutil.copy(recordings / "class 0" / "0.wav", folder / "good.wav")
    shutil.copy(damaged, folder / "damaged.wav")
    soundfile.write(folder / "silent.wav", np.zeros(SEGMENT, np.int16), RATE)
    (folder / "broken.flac").write_bytes(b"fLaC and nothing more")
    return folder


@pytest.mark.parametrize(("form", "extension"), [("raven", ".selections.txt"), ("audacity", ".labels.txt")])
def test_label_files_have_a_list_and_a_broken_recording_has_none(
    bundle: Path, field: Path, shell: Shell, tmp_path: Path, form: str, extension: str
) -> None:
    outcome = shell("classify", bundle, field, "--format", form, "-o", tmp_path / "labels")
    assert outcome.code == 1
    names = [f"{stem}.wav{extension}" for stem in ("damaged", "good", "silent")]
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == sorted([*names, "files.csv"])
    rows = {Path(row["file"]).stem: row for row in csv_rows(tmp_path / "labels" / "files.csv")}
    assert {stem: (row["labels"], row["events"], row["status"]) for stem, row in rows.items()} == {
        "broken": ("", "0", "error"),
        "damaged": (names[0], "1", "ok"),
        "good": (names[1], "1", "ok"),
        "silent": (names[2], "0", "nothing"),
    }
    assert rows["good"]["remark"] == ""
    assert rows["damaged"]["remark"].startswith("damaged: ")
    assert rows["silent"]["remark"].startswith("nothing to hear (silent: ")
    assert rows["broken"]["remark"].startswith("unreadable: ")


def test_one_recording_may_have_a_file_of_labels(
    bundle: Path, field: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "labels.txt"
    line = ("classify", bundle, field / "good.wav", "--format", "audacity")
    assert shell(*line, "-o", output).code == 0
    assert output.read_text(encoding="utf-8") == shell(*line).out
    before = sorted(tmp_path.rglob("*"))
    outcome = shell("classify", bundle, field, "--format", "audacity", "-o", tmp_path / "more.txt")
    assert outcome.code == 2
    assert "describes one recording: give -o FOLDER for 4" in outcome.err
    assert (
        shell("classify", bundle, field / "broken.flac", "--format", "raven", "-o", tmp_path / "broken.txt").code == 1
    )
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.chdir(tmp_path / "field")
    assert shell(*line, "-o", ".").code == 0
    assert (field / "good.wav.labels.txt").is_file()
    (tmp_path / "folder.txt").mkdir()
    assert shell(*line, "-o", tmp_path / "folder.txt").code == 0
    assert (tmp_path / "folder.txt" / "good.wav.labels.txt").is_file()


def test_no_journal_is_left_by_what_fails_before_work(bundle: Path, field: Path, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "answers.csv.journal").mkdir()
    outcome = shell("classify", "absent", field, "--format", "csv", "-o", tmp_path / "answers.csv")
    assert outcome.code == 1
    assert f"{tmp_path / 'answers.csv.journal'}: cannot be written: a folder is there" in outcome.err
    (tmp_path / "out").mkdir()
    output = tmp_path / "out" / "answers.csv"
    assert shell("classify", bundle, field, "--hop", 9, "--format", "csv", "-o", output).code == 2
    assert shell("classify", field, field, "--format", "csv", "-o", output).code == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_csv_for_spreadsheets(bundle: Path, recordings: Path, shell: Shell, tmp_path: Path) -> None:
    named = tmp_path / "bundle"
    assert shell("enroll", bundle, "--rename", "class 0", "=鳥", "-o", named).code == 0
    recording = recordings / "class 0" / "0.wav"
    exact, excel = (tmp_path / "exact.csv", tmp_path / "excel.csv")
    assert shell("classify", named, recording, "--format", "csv", "-o", exact).code == 0
    assert shell("classify", named, recording, "--format", "csv", "-o", excel, "--excel").code == 0
    assert csv_rows(exact)[0]["label"] == "=鳥"
    assert excel.read_bytes().startswith(b"\xef\xbb\xbf")
    text = excel.read_text(encoding="utf-8-sig")
    assert next(csv.DictReader(text.splitlines()))["label"] == "'=鳥"
    outcome = shell("classify", named, recording, "--format", "json", "--excel")
    assert outcome.code == 2
    assert "--excel concerns csv, not --format json" in outcome.err


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "table", "audacity"])
def test_answers_are_utf_8_whatever_the_console_has(bundle: Path, recordings: Path, tmp_path: Path, form: str) -> None:
    recognizer = Recognizer.load(bundle)
    recognizer.rename("class 0", "鳥 mésange")
    recognizer.save(tmp_path / "bundle")
    recording = tmp_path / "聲.wav"
    shutil.copy(recordings / "class 0" / "0.wav", recording)
    command = [sys.executable, "-m", "fewshot_audio.cli", "classify", tmp_path / "bundle", recording, "--format", form]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    run = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    text = run.stdout.decode("utf-8")
    assert "鳥 mésange" in text
    assert form == "audacity" or "聲.wav" in text
