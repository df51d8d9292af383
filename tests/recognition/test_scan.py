"""Long recordings, many files, and the two commands."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio import Recognizer
from fewshot_audio.audio.decode import Decoding, decode
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition import formats, options, scan, scan_journal
from fewshot_audio.recognition.enrolled import UNKNOWN, Classification
from fewshot_audio.recognition.events import merge
from fewshot_audio.recognition.windows import Window, scan_recording, slide
from tests.cli.conftest import read
from tests.recognition.sounds import NAME, RATE, SEGMENT, sound, write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
HOP = SEGMENT / RATE


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 7), st.data())
@settings(deadline=None, max_examples=80)
def test_windows_are_those_of_the_whole_recording(blocks: list[int], length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, length))
    samples = np.arange(sum(blocks), dtype=np.float32)
    parts = np.split(samples, np.cumsum(blocks))
    expected = []
    for start in range(0, len(samples), hop):
        expected.append((start, samples[start : start + length].tolist()))
        if start + length >= len(samples):
            break
    assert [(start, window.tolist()) for start, window in slide(parts, length, hop)] == expected


answers = st.lists(st.sampled_from(["a", "b", UNKNOWN, ""]), max_size=12)


@given(answers, st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=80)
def test_events_cover_exactly_the_windows_of_a_class(labels: list[str], overlap: int) -> None:
    random = np.random.default_rng(len(labels))
    windows = []
    for number, label in enumerate(labels):
        chance = float(random.uniform(0.5, 1))
        chances = {"a": chance, "b": 1 - chance} if label != "b" else {"a": 1 - chance, "b": chance}
        best = label if label in chances else "a"
        answer = Classification(label, best, chances, float(random.random()), 1) if label else None
        windows.append(Window(number * 10, (number + overlap) * 10, answer))
    events = list(merge(windows, 10, 0.0))
    runs: list[list[int]] = []
    for number, label in enumerate(labels):
        if label in ("a", "b"):
            if runs and runs[-1][-1] == number - 1 and labels[runs[-1][0]] == label:
                runs[-1].append(number)
            else:
                runs.append([number])
    assert [(e.start, e.end, e.label, e.windows) for e in events] == [
        (run[0], run[-1] + overlap, labels[run[0]], len(run)) for run in runs
    ]
    for e, run in zip(events, runs, strict=True):
        own = [windows[number].answer for number in run]
        assert e.score == max(answer.probabilities[e.label] for answer in own if answer)
        assert e.unknown_score == min(answer.unknown_score for answer in own if answer)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording at another rate: two classes, a foreign sound, silence, and a tail of half a segment."""
    noise = 0.1 * np.random.default_rng(0).normal(size=SEGMENT).astype(np.float32)
    parts = [sound(0, 30, 2), sound(8, 0), noise, np.zeros(3 * SEGMENT, np.float32), sound(4, 0, 1.9)]
    return write_wav(tmp_path_factory.mktemp("long") / "long.wav", np.concatenate(parts), 22_050)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_window_is_answered_as_its_own_file_would_be(
    recognizer: Recognizer, long: Path, tmp_path: Path, share: float
) -> None:
    samples = decode(long).samples
    windows = list(scan_recording(recognizer, Decoding(long, RATE), HOP * share))
    assert windows[-1].end == len(samples)
    assert [w.start for w in windows] == [round(SEGMENT * share) * number for number in range(len(windows))]
    for window in windows:
        cut = write_wav(tmp_path / "cut.wav", samples[window.start : window.end])
        if window.answer is None:
            with pytest.raises(DataError, match="silent"):
                recognizer.classify(cut, rate=16_000)
        else:
            assert recognizer.classify(cut, rate=16_000) == [window.answer]
    assert any(window.answer is None for window in windows)


def test_hops_that_leave_gaps_are_refused(recognizer: Recognizer, long: Path) -> None:
    for hop in (0, -1, HOP * 1.1):
        with pytest.raises(ConfigError, match="expected above 0 and at most"):
            list(scan_recording(recognizer, Decoding(long, RATE), hop))


def test_memory_does_not_grow_with_the_recording(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are asked for as windows are: never more than a group, what is ahead of it and a block are held."""
    from fewshot_audio.recognition import windows

    given_out = 0

    def endless(_: object) -> Iterator[Any]:
        nonlocal given_out
        while True:
            given_out += SEGMENT
            yield sound(0, given_out % 7)

    monkeypatch.setattr(Decoding, "__iter__", endless)
    stream = scan_recording(recognizer, Decoding(Path("endless"), RATE), HOP)
    for number in range(3 * windows.GROUP):
        assert next(stream).start == number * SEGMENT
        assert given_out / SEGMENT <= number + windows.GROUP + windows.AHEAD + 1


@pytest.fixture
def folder(tmp_path: Path, long: Path) -> Path:
    """Good files (nested, upper-case), a silent one, a damaged one, and one that is no recording."""
    root = tmp_path / "field"
    write_wav(root / "b.wav", sound(0, 100))
    write_wav(root / "sub" / "deep" / "A.WAV", sound(4, 101, 2))
    write_wav(root / "quiet.wav", np.zeros(SEGMENT, np.float32))
    (root / "broken.flac").write_bytes(b"fLaC and nothing more")
    (root / "notes.txt").write_text("dear diary")
    return root


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_folder_is_answered_and_bad_files_are_reported(bundle: Path, folder: Path, shell: Shell) -> None:
    outcome = shell("classify", bundle, folder, "--format", "csv", "--top", 2)
    assert outcome.code == 1
    rows = {Path(row["file"]).name: row for row in rows_of(outcome.out)}
    assert tuple(next(iter(rows.values()))) == formats.CSV_COLUMNS
    assert {name: (row["status"], row["label"]) for name, row in rows.items()} == {
        "b.wav": ("ok", "class 0"),
        "A.WAV": ("ok", "class 4"),
        "quiet.wav": ("nothing", ""),
        "broken.flac": ("error", ""),
    }
    (expected,) = Recognizer.load(bundle).classify(folder / "b.wav")
    best = sorted(expected.probabilities.items(), key=lambda item: -item[1])[:2]
    assert json.loads(rows["b.wav"]["top"]) == {name: round(value, 4) for name, value in best}
    assert float(rows["b.wav"]["unknown_score"]) == round(expected.unknown_score, 4)
    assert (rows["A.WAV"]["start"], float(rows["A.WAV"]["end"])) == ("0.0", 2 * HOP)
    assert "quiet.wav: nothing to hear (silent: every sample is 0)" in outcome.err
    assert "cannot be used" in outcome.err
    assert "4 files, 2 with answers, 1 failed; no recordings by their extensions: 1 other file" in outcome.err


def test_every_format_holds_the_same_events(bundle: Path, long: Path, shell: Shell, tmp_path: Path) -> None:
    def text(name: str) -> str:
        outcome = shell("classify", bundle, long, "--hop", HOP, "--format", name)
        assert outcome.code == 0, outcome.err
        return outcome.out

    whole = json.loads(text("json"))
    assert whole["version"] == formats.VERSION
    (entry,) = whole["files"]
    events = entry["events"]
    assert entry["windows"] == 7
    assert entry["silent_windows"] >= 1
    assert events
    (line,) = text("jsonl").splitlines()
    assert json.loads(line) == {"version": formats.VERSION, **entry}
    assert [(float(r["start"]), r["label"]) for r in rows_of(text("csv"))] == [(e["start"], e["label"]) for e in events]
    raven = list(csv.DictReader(text("raven").splitlines(), delimiter="\t"))
    assert [(float(r["Begin Time (s)"]), float(r["End Time (s)"]), r["Label"]) for r in raven] == [
        (pytest.approx(e["start"], abs=1e-3), pytest.approx(e["end"], abs=1e-3), e["label"]) for e in events
    ]
    audacity = [line.split("\t") for line in text("audacity").splitlines()]
    assert [label for _, _, label in audacity] == [f"{e['label']} {e['score']:.2f}" for e in events]
    table = text("table").splitlines()
    assert len(table) == 1 + len(events)
    assert all(line.startswith(str(long)) for line in table[1:])


def test_label_files_need_a_folder_for_several_recordings(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path
) -> None:
    outcome = shell("classify", bundle, recordings, "--format", "audacity")
    assert outcome.code == 2
    assert "describes one recording: give -o FOLDER for 7" in outcome.err
    outcome = shell("classify", bundle, recordings, "--format", "raven", "-o", tmp_path / "labels")
    assert outcome.code == 0, outcome.err
    names = sorted(path.name for path in (tmp_path / "labels").iterdir())
    assert len(names) == 8
    assert names[-1] == "files.csv"
    assert "2.wav.selections.txt" in names  # there is one 2.wav, but three 0.wav
    assert sum(name.startswith("0.wav~") for name in names) == 3


def test_a_threshold_on_the_probability_makes_answers_unknown(bundle: Path, recordings: Path, shell: Shell) -> None:
    outcome = shell("classify", bundle, recordings / "class 0" / "0.wav", "--threshold", 1, "--format", "csv")
    (row,) = rows_of(outcome.out)
    assert (row["label"], row["status"]) == (UNKNOWN, "ok")
    outcome = shell("classify", bundle, recordings / "class 0", "--threshold", 1, "--hop", HOP)
    assert outcome.code == 0
    assert outcome.err.count("nothing recognized") == 4


def test_an_interrupted_scan_goes_on(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "answers.csv"
    line = ["classify", bundle, recordings, "--format", "csv", "-o", output]
    real, answered_files = scan.answer_file, []

    def stops(recognizer: Recognizer, path: Path, *rest: Any) -> Any:
        if len(answered_files) == 3:
            raise KeyboardInterrupt
        answered_files.append(path)
        return real(recognizer, path, *rest)

    monkeypatch.setattr(scan, "answer_file", stops)
    outcome = shell(*line)
    assert outcome.code == 130
    assert "answers of 3 files are kept" in outcome.err
    assert not output.exists()
    journal = tmp_path / "answers.csv.journal"
    with journal.open("a") as stream:
        stream.write('{"key": "cut o')  # as a killed process leaves it
    journal_bytes = journal.read_bytes()

    def counted(recognizer: Recognizer, path: Path, *rest: Any) -> Any:
        answered_files.append(path)
        return real(recognizer, path, *rest)

    monkeypatch.setattr(scan, "answer_file", counted)
    answered_files.clear()
    assert shell(*line).code == 0
    assert len(answered_files) == 4
    resumed = output.read_text()
    assert not journal.exists()
    assert shell(*line).code == 0
    assert output.read_text() == resumed
    answered_files.clear()
    journal.write_bytes(journal_bytes)
    assert shell(*line, "--threshold", 0.1).code == 0  # other options: nothing is taken over
    assert len(answered_files) == 7


def test_files_that_changed_are_answered_anew(recognizer: Recognizer, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", sound(0, 100))
    journal = scan_journal.ScanJournal(tmp_path / "journal", "x")
    assert not (tmp_path / "journal").exists()  # a scan that is stopped before its first answer leaves nothing behind
    (first,) = scan.scan(recognizer, [path], options.ScanOptions(), journal)
    write_wav(path, sound(8, 0, 2))
    again = scan_journal.ScanJournal(tmp_path / "journal", "x")
    assert list(again.results.values()) == [first]
    (second,) = scan.scan(recognizer, [path], options.ScanOptions(), again)
    assert (first.events[0].label, second.events[0].label) == ("class 0", "class 8")


def test_a_long_recording_is_no_clip(recognizer: Recognizer, long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LONGEST_CLIP", 5.0)
    assert "scan it in windows, with a hop of 0.992 s or less" in (
        scan.answer_file(recognizer, long, options.ScanOptions()).error or ""
    )
    assert scan.answer_file(recognizer, long, options.ScanOptions(HOP)).error is None


def test_damage_in_the_middle_is_an_error_of_that_file(
    recognizer: Recognizer, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewshot_audio.audio.rejection import Reason

    def damaged(_: object) -> Iterator[Any]:
        yield sound(0, 0, 3)
        raise Rejected(Reason.DAMAGED, "reading failed")

    monkeypatch.setattr(Decoding, "__iter__", damaged)
    result = scan.answer_file(recognizer, long, options.ScanOptions(HOP))
    assert (result.status, result.error, result.events) == ("error", "damaged: reading failed", ())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{bundle}", "{empty}"], 1, "no sound files in it"),
        (["{empty}", "{empty}"], 1, "not a recognizer's folder"),
        (["{bundle}", "{data}", "--hop", "2"], 2, "--hop 2: expected at most a segment of {bundle}, which is 0.992 s"),
        (["{bundle}", "{data}", "--hop", "-1"], 2, "--hop -1: expected a number of seconds above 0"),
    ],
)
def test_classify_refuses(
    arguments: list[str], code: int, words: str, bundle: Path, recordings: Path, tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"bundle": bundle, "empty": tmp_path / "empty", "data": recordings}
    outcome = shell("classify", *[argument.format(**names) for argument in arguments])
    assert outcome.code == code
    assert words.format(**names) in outcome.err


def test_enrolling_from_a_run_and_changing_the_bundle(
    run_of: Callable[[str], Path], data_root: Path, recordings: Path, shell: Shell, tmp_path: Path
) -> None:
    support, bundle = tmp_path / "support", tmp_path / "bundle"
    shutil.copytree(recordings, support)
    (support / "class 0" / "BAD.WAV").write_bytes(b"nothing")
    (support / "stray.wav").write_bytes(b"stray")
    common = ["enroll", "--model", run_of("plain"), "--data-root", data_root]
    outcome = shell(*common, "--support", support, "-o", bundle)
    assert outcome.code == 1
    assert "stray.wav: is not in a class folder" in outcome.err
    assert "BAD.WAV: unreadable" in outcome.err
    assert "3 classes; each clip judged with itself left out:" in outcome.out
    assert "Those are 5 % of known clips (false alarms)" in outcome.out
    assert Recognizer.load(bundle).classes == ["class 0", "class 4", "class 8"]
    new = write_wav(tmp_path / "new.wav", sound(6, 0))
    assert shell("enroll", bundle, new, "--add", "fresh").code == 0
    outcome = shell("enroll", bundle, "--remove", "class 4", "--rename", "class 0", "zero", "-o", tmp_path / "other")
    assert outcome.code == 0, outcome.err
    assert Recognizer.load(tmp_path / "other").classes == ["zero", "class 8", "fresh"]
    assert Recognizer.load(bundle).classes == ["class 0", "class 4", "class 8", "fresh"]
    outcome = shell(*common, new, "--add", "only", "-o", tmp_path / "third", "--false-alarm", 0.2)
    assert outcome.code == 0, outcome.err
    calibration = Recognizer.load(tmp_path / "third").calibration
    assert calibration is not None
    assert calibration.false_alarm == 0.2


def test_a_run_is_calibrated_on_the_dataset_in_the_default_data_root(
    run_of: Callable[[str], Path],
    data_root: Path,
    recordings: Path,
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ("enroll", "--model", run_of("plain"), "--support", recordings, "-o")
    without = shell(*line, "first")
    assert (without.code, Recognizer.load("first").calibration) == (0, None)
    assert "Not calibrated, for want of validation classes" in without.out
    assert "(--data-root names the folder that holds it)" in " ".join(without.err.split())
    (tmp_path / "data").symlink_to(data_root)
    assert shell(*line, "second").code == 0
    assert Recognizer.load("second").calibration is not None


def test_folders_that_cannot_be_read_or_followed_are_told(
    bundle: Path, recordings: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support = tmp_path / "support"
    shutil.copytree(recordings, support)
    (support / "locked").mkdir()
    (support / "link").symlink_to(support / "class 0")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path) == str(support / "locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    outcome = shell("enroll", bundle, "--support", support, "-o", tmp_path / "out")
    assert outcome.code == 1
    assert f"not used: {support / 'locked'}: denied: folder: Permission denied" in outcome.err
    assert f"{support / 'link'}: link loop: a link to a folder that was already visited" in outcome.err
    assert len(Recognizer.load(tmp_path / "out").classes) == len(Recognizer.load(bundle).classes)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "enroll needs -o FOLDER"),
        (["--model", "{run}"], 2, "needs -o FOLDER"),
        (["{bundle}", "file.wav"], 2, "file.wav: files need --add CLASS"),
        (["{bundle}", "--add", "x"], 2, "--add 'x' needs files"),
        (["{bundle}", "--model", "{run}", "--remove", "x"], 2, "--model begins a new recognizer, but {bundle} is one"),
        (["--remove", "x", "-o", "{run}/new"], 2, "--remove and --rename need a bundle to change"),
        (["nowhere", "--remove", "x"], 1, "nowhere: not a bundle (it has no recognizer.json)"),
        (["nowhere", "--rename", "x", "y", "-o", "{run}/new"], 1, "nowhere: not a bundle"),
        (
            ["nowhere", "-o", "{run}/new"],
            1,
            "nowhere: not a bundle (it has no recognizer.json); --support FOLDER enrolls",
        ),
        (["{bundle}", "--remove", "nobody"], 1, "class 'nobody' is not enrolled"),
        (["{bundle}", "--support", "{run}"], 1, "no sound files in folders of classes"),
        (["--support", "{bundle}", "-o", "{run}"], 1, "is no recognizer (it has experiment_config.json)"),
        (["--support", "{bundle}", "-o", "{run}/run.json"], 1, "run.json is a file, expected a folder"),
        (["--model", "{run}", "-o", "{run}/new"], 1, "no class is enrolled: nothing is saved"),
    ],
)
def test_enroll_refuses(
    arguments: list[str], code: int, words: str, bundle: Path, run_of: Callable[[str], Path], shell: Shell
) -> None:
    run = run_of("plain")
    outcome = shell("enroll", *[argument.format(bundle=bundle, run=run) for argument in arguments])
    assert outcome.code == code
    assert words.format(bundle=bundle) in outcome.err
    assert not (run / "new").exists()


def test_evaluate_open_set(run_of: Callable[[str], Path], data_root: Path, shell: Shell, tmp_path: Path) -> None:
    numbers = tmp_path / "open.json"
    line = ["evaluate", run_of("plain"), "--data-root", data_root, "--open-set", "--tasks", 10, "--n-shot", 2]
    outcome = shell(*line, "--json", numbers)
    assert outcome.code == 0, outcome.err
    results = read(numbers)
    assert results["dataset"] == NAME
    assert (
        f"False alarms (known clips called unknown): {100 * results['false_alarm']:.2f} %, stated 5.00 %" in outcome.out
    )
    assert f"AUROC {results['auroc']:.3f}" in outcome.out
    outcome = shell(*line, "--untrained")
    assert "no other system" in outcome.err
