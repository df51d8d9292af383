"""Answers from an index are those of a scan."""

from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.archive.classify import answer_index, index_results
from fewshot_audio.archive.index import Index
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.decision.choose import Head
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.scan import answer_file
from tests.archive.conftest import HOP
from tests.recognition import recognizers
from tests.shell import Shell

TOLERANCE = 0.02  # of probabilities and unknown scores: numbers of 16 bits have 3 digits


def deciding(bundle: Path, head: Head, *, background: bool, ignored: bool) -> Recognizer:
    recognizer = Recognizer.load(bundle)
    if background:
        recognizer.enroll_background([0.1 * recognizers.sound(2, 400, 30_000)], rate=16_000)
    if ignored:
        recognizer.ignore("chirp")
    recognizer.choose_head(head)
    return recognizer


@pytest.mark.parametrize("head", ["prototypes", "both", "embedding", "timbre"])
@pytest.mark.parametrize(("background", "ignored"), [(False, False), (True, True)])
def test_answers_are_those_of_a_scan(
    indexed: Path, archive: Path, bundle: Path, head: Head, background: bool, ignored: bool
) -> None:
    recognizer = deciding(bundle, head, background=background, ignored=ignored)
    index = Index(indexed)
    results = list(index_results(index, answer_index(index, recognizer, 0.4), archive))
    assert [result.file for result in results] == sorted(result.file for result in results)
    events = 0
    for result in results:
        scanned = answer_file(recognizer, Path(result.file), ScanOptions(HOP, 0.4))
        assert (result.status, result.windows, result.unknown, result.silent, result.rate) == (
            scanned.status,
            scanned.windows,
            scanned.unknown,
            scanned.silent,
            scanned.rate,
        )
        assert result.remark == scanned.remark
        assert result.seconds == scanned.seconds
        for event, other in zip(result.events, scanned.events, strict=True):
            assert (event.start, event.end, event.label, event.windows) == (
                other.start,
                other.end,
                other.label,
                other.windows,
            )
            assert event.score == pytest.approx(other.score, abs=TOLERANCE)
            assert event.unknown_score == pytest.approx(other.unknown_score, abs=TOLERANCE, rel=TOLERANCE)
            assert event.probabilities == pytest.approx(other.probabilities, abs=TOLERANCE)
            events += 1
    if not ignored:
        assert events


def test_a_damaged_recording_is_refused_if_asked_for(indexed: Path, bundle: Path) -> None:
    index, recognizer = Index(indexed), Recognizer.load(bundle)
    answers = answer_index(index, recognizer)
    for recording in index.recordings:
        if recording.file == "B/short.wav":
            object.__setattr__(recording, "damage", "cut off")
    for strict in (False, True):
        (short,) = (r for r in index_results(index, answers, strict=strict) if r.file == "B/short.wav")
        assert (short.error, short.damage) == ((None, "cut off") if not strict else ("cut off", ""))


def test_another_network_is_refused_by_name(indexed: Path) -> None:
    with pytest.raises(DataError, match="embeddings are those of another network"):
        answer_index(Index(indexed), recognizers.recognizer(encoder="CNN"))


def test_the_command_writes_what_it_writes_of_sound_files(
    shell: Shell, indexed: Path, archive: Path, bundle: Path, tmp_path: Path
) -> None:
    rows = {}
    for name, words in {"index": ["--index", indexed, "--archive", archive], "scan": [archive, "--hop", HOP]}.items():
        done = shell("classify", bundle, *words, "--format", "csv", "-o", tmp_path / name)
        assert done.code == 1
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        rows[name] = [line.split(",")[:4] for line in lines]  # file, start, end, label
    assert rows["index"] == rows["scan"]
    assert len(rows["scan"]) > 7
    assert shell("classify", bundle, "--index", indexed, "--format", "raven", "-o", tmp_path / "tables").code == 1
    assert (tmp_path / "tables" / "short.wav.selections.txt").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give sound files or folders, or --index"),
        (["x.wav", "--index", "i"], "give sound files or folders, or --index"),
        (["--index", "i", "--hop", "1"], "--hop concerns sound files"),
        (["--index", "i", "--device", "cuda"], "--device cuda concerns sound files"),
        (["x.wav", "--archive", "a"], "--archive concerns --index"),
    ],
)
def test_contradicting_options_are_refused(shell: Shell, bundle: Path, words: list[str], message: str) -> None:
    done = shell("classify", bundle, *words)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_silent_windows_have_no_answer(indexed: Path, bundle: Path) -> None:
    index = Index(indexed)
    answers = answer_index(index, Recognizer.load(bundle))
    silent = ~index.rows("timbre", np.arange(len(index))).any(axis=1)
    assert silent.any()
    np.testing.assert_array_equal(answers.labels == -2, silent)
    assert not answers.probabilities[silent].any()
    np.testing.assert_allclose(answers.probabilities[~silent].sum(axis=1), 1, atol=1e-5)
