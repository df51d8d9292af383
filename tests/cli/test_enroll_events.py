"""``fewshot-audio enroll --annotations``: clips cut at the events of tables."""

import json
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio import Recognizer
from tests.recognition.sounds import write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
RATE = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of tones, of which each second is an event."""
    random = np.random.default_rng(0)
    for name in ("dawn", "dusk"):
        samples = random.normal(0, 0.01, 8 * RATE)
        for second in range(8):
            frequency = 500 if second % 2 else 2000
            own = slice(second * RATE, second * RATE + RATE // 2)
            samples[own] += np.sin(2 * np.pi * frequency * np.arange(RATE // 2) / RATE)
        write_wav(tmp_path / "field" / f"{name}.wav", samples, RATE)
    return tmp_path


def write_table(folder: Path, *lines: str) -> Path:
    table = folder / "events.csv"
    table.write_text("\n".join(("file,start,end,label,q", *lines)) + "\n")
    return table


def test_events_become_clips_grouped_by_their_recording(folder: Path, shell: Shell) -> None:
    lines = [
        f"{name}.wav,{n},{n + 0.5},{'low' if n % 2 else 'high'},POS" for name in ("dawn", "dusk") for n in range(4)
    ]
    table = write_table(folder, *lines, "dawn.wav,6,6.5,high,NEG", "dawn.wav,7,7.5,low,UNK")
    outcome = shell("enroll", "--annotations", table, "--audio", folder / "field", "-o", folder / "bundle")
    assert outcome.code == 0, outcome.err
    assert "1 event marked NEG: not enrolled" in outcome.err
    assert "1 event marked UNK: not enrolled" in outcome.err
    recognizer = Recognizer.load(folder / "bundle")
    names = {name: [clip.name for clip in recognizer.clips(name)] for name in recognizer.classes}
    assert names == {
        "high": [f"{name}.wav {n}.000-{n}.500 s" for name in ("dawn", "dusk") for n in (0, 2)],
        "low": [f"{name}.wav {n}.000-{n}.500 s" for name in ("dawn", "dusk") for n in (1, 3)],
    }
    described = json.loads((folder / "bundle" / "recognizer.json").read_text())
    groups = [[clip["group"] for clip in section["clips"]] for section in described["classes"]]
    assert groups == [["dawn.wav", "dawn.wav", "dusk.wav", "dusk.wav"]] * 2
    recognizer.save(folder / "again")
    assert json.loads((folder / "again" / "recognizer.json").read_text())["classes"] == described["classes"]


def test_an_event_that_cannot_be_used_is_named_and_the_rest_is_enrolled(folder: Path, shell: Shell) -> None:
    lines = ("dawn.wav,0,0.5,high,POS", "dawn.wav,1,0.5,low,POS", "dawn.wav,2,2.01,high,POS", "no.wav,1,2,low,POS")
    table = write_table(folder / "field", *lines, "dawn.wav,1,1.5,unknown,POS")
    outcome = shell("enroll", "--annotations", table, "-o", folder / "bundle")
    assert outcome.code == 1
    for reason in ("line 3: ends at 0.5 s", "0.01 s long", "there is no recording 'no.wav'", "class name 'unknown'"):
        assert reason in outcome.err
    assert f"not used: {table}, line 4: {folder / 'field' / 'dawn.wav'}, 2 to 2.01 s: too short" in outcome.err
    assert f"not used: {table}, line 6: class name 'unknown'" in outcome.err
    recognizer = Recognizer.load(folder / "bundle")
    assert list(recognizer.classes) == ["high"]
    assert [clip.name for clip in recognizer.clips("high")] == ["dawn.wav 0.000-0.500 s"]


def test_options_of_tables_belong_to_annotations(folder: Path, shell: Shell) -> None:
    outcome = shell("enroll", "--audio", folder, "-o", folder / "bundle")
    assert outcome.code == 2
    assert "belong to --annotations" in outcome.err


def test_clips_of_files_have_no_group_in_a_bundle(folder: Path, shell: Shell) -> None:
    files = sorted((folder / "field").iterdir())
    outcome = shell("enroll", *files, "--add", "dawn", "-o", folder / "bundle")
    assert outcome.code == 0, outcome.err
    assert '"group"' not in (folder / "bundle" / "recognizer.json").read_text()
