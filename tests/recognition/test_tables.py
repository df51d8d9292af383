"""Answers and events as tables, and long recordings in Python."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition.options import ScanOptions
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.scan import answer_file
from tests.recognition.sounds import RATE, SEGMENT, sound, write_wav


def test_answers_are_a_list_and_a_table(bundle: Path, recordings: Path) -> None:
    recognizer = Recognizer.load(bundle)
    answers = recognizer.classify([recordings / "class 4" / "0.wav", (sound(0, 3), RATE)])
    assert answers == list(answers)
    first, second = answers.to_rows()
    assert (first["clip"], second["clip"]) == ("0.wav", "clip 2")
    assert [row["label"] for row in (first, second)] == [answer.label for answer in answers]
    assert {name: second[f"p({name})"] for name in recognizer.classes} == answers[1].probabilities
    assert list(first) == [
        "clip",
        "label",
        "best",
        "unknown_score",
        "segments",
        "p(class 0)",
        "p(class 4)",
        "p(class 8)",
    ]


def test_a_recording_of_any_length_is_scanned(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer.load(bundle)
    parts = [sound(0, 100), np.zeros(SEGMENT, np.float32), sound(8, 100)]
    path = write_wav(tmp_path / "long.wav", np.concatenate(parts))
    result = recognizer.scan(path)
    assert result == answer_file(recognizer, path, ScanOptions(recognizer.segment_seconds))
    assert (result.windows, result.silent) == (3, 1)
    halves = recognizer.scan(str(path), hop=recognizer.segment_seconds / 2)
    assert halves.windows == 5
    assert halves.events
    rows = halves.to_rows()
    assert [(row["start"], row["end"], row["label"]) for row in rows] == [
        (event.start, event.end, event.label) for event in halves.events
    ]
    assert all(row["file"] == str(path) for row in rows)
    assert recognizer.scan(path, threshold=1.0).unknown == 2
    with pytest.raises(ConfigError, match="hop of 9 s"):
        recognizer.scan(path, hop=9)
    with pytest.raises(DataError, match=r"no\.wav: missing"):
        recognizer.scan(tmp_path / "no.wav")


def test_frames_need_pandas(bundle: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer.load(bundle)
    path = recordings / "class 0" / "1.wav"
    answers, events = recognizer.classify(path), recognizer.scan(path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for table in (answers, events):
        with pytest.raises(ConfigError, match="pip install pandas; or take to_rows"):
            table.to_frame()
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=tuple))  # stands for it: it takes the rows
    assert answers.to_frame() == tuple(answers.to_rows())
    assert events.to_frame() == tuple(events.to_rows())


@pytest.mark.parametrize("method", ["classify", "predict", "predict_proba", "embed", "classify_with_embeddings"])
def test_an_array_needs_its_rate(bundle: Path, method: str) -> None:
    recognizer = Recognizer.load(bundle)
    ask = getattr(recognizer, method)
    clip = sound(0, 3)
    for clips in (clip, [clip], np.stack([clip, clip])):
        with pytest.raises(
            DataError, match=r"clip 1: an array without its sample rate: write \(array, rate\), .*rate=16000"
        ):
            ask(clips)
    with pytest.raises(DataError, match="a sample rate of nan Hz"):
        ask(clip, rate=float("nan"))
    alone, paired = ask(clip, rate=RATE), ask([(clip, RATE)], rate=8000)
    assert np.array_equal(alone, paired) if isinstance(alone, np.ndarray) else repr(alone) == repr(paired)
    if method == "embed":
        assert not np.array_equal(alone, ask(clip, rate=2 * RATE))


def test_enrolling_an_array_needs_its_rate(bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    with pytest.raises(DataError, match="an array without its sample rate"):
        recognizer.enroll("new", [sound(1, 1)])
    assert "new" not in recognizer.classes
    recognizer.enroll("new", [sound(1, 1)], rate=RATE)
    recognizer.enroll("pair", [(sound(1, 1), RATE)])
    assert np.array_equal(recognizer.support_embeddings("new"), recognizer.support_embeddings("pair"))
