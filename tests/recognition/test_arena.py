"""The arena: which clips a draw takes, and its plain baseline against the one that others wrote."""

import os
import runpy
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks.arena import MOST_ASKED, SHOT, WAY, Arena, draw_clips, run_collection
from benchmarks.arena_collections import ArenaClip, list_collections
from benchmarks.plain_baseline import PlainBaseline

from tests.recognition.recognizers import recognizer, sound

REAL = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")


def clips(classes: int, per_class: int, groups: int) -> list[ArenaClip]:
    return [
        ArenaClip(Path(f"{label}-{number}.wav"), f"class {label:02d}", f"group {number % groups}")
        for label in range(classes)
        for number in range(per_class)
    ]


def test_a_draw_has_the_stated_clips_and_its_seed_gives_it_again() -> None:
    collection = clips(classes=15, per_class=30, groups=30)
    draw = draw_clips(collection, 3)
    assert len(draw.enrolled) == len(draw.asked) == WAY
    assert {len(own) for own in draw.enrolled.values()} == {SHOT}
    assert {len(own) for own in draw.asked.values()} == {MOST_ASKED}
    assert set(Counter(clip.label for clip in draw.unknown).values()) == {MOST_ASKED}
    assert len({clip.label for clip in draw.unknown} - draw.enrolled.keys()) == 2
    assert draw_clips(collection, 3) == draw
    assert draw_clips(collection, 4) != draw


@pytest.mark.parametrize(("groups", "enrolled_from"), [(8, 5), (5, 2), (2, 1)])
def test_no_group_is_both_enrolled_and_asked(groups: int, enrolled_from: int) -> None:
    for seed in range(5):
        draw = draw_clips(clips(classes=6, per_class=20, groups=groups), seed)
        for name, enrolled in draw.enrolled.items():
            support, query = ({clip.group for clip in own} for own in (enrolled, draw.asked[name]))
            assert len(enrolled) == SHOT
            assert len(support) == enrolled_from
            assert query
            assert not support & query


def write_pcm(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, 16_000, 0, "NONE", ""))
        stream.writeframes((20_000 * samples / np.abs(samples).max()).astype("<i2").tobytes())


def test_a_collection_runs_through_the_api(tmp_path: Path) -> None:
    for kind in range(3):
        for copy in ("a", "b"):
            for number in range(8):
                write_pcm(
                    tmp_path / "own" / f"{kind}{copy}" / f"{number}.wav", sound(kind, number + 50 * (copy == "b"))
                )
    recognizer(enrolled=False).save(tmp_path / "bundle")
    (tmp_path / "data").mkdir()
    (tmp_path / "own").rename(tmp_path / "data" / "own")
    collections = list_collections(tmp_path / "data", "all")
    assert {clip.label for clip in collections["own"]} == {"0a", "0b", "1a", "1b", "2a", "2b"}
    arena = Arena(tmp_path / "bundle", tmp_path / "cache")
    result = run_collection(arena, PlainBaseline(), collections["own"], [None, "prototypes"], 2)
    assert result["prototypes"]["heads"] == {"prototypes": 2}
    assert sum(result["auto"]["heads"].values()) == 2
    assert 0 <= result["auto"]["auroc"] <= 100
    assert result["auto"]["difference"] == pytest.approx(result["auto"]["accuracy"] - 100 * np.mean(result["plain"]))
    # what is kept of a recording gives the answers of the recording itself
    draw = draw_clips(collections["own"], 0)
    fresh = recognizer(enrolled=False, head=None)
    for name, own in draw.enrolled.items():
        fresh.enroll(name, [clip.path for clip in own])
    asked = [clip.path for own in draw.asked.values() for clip in own]
    kept = arena.answer(draw, None)
    assert [answer.unknown_score for answer in fresh.classify(asked, rate=16_000)] == pytest.approx(
        kept["known_scores"]
    )


def test_the_baseline_agrees_with_another_ones_code() -> None:
    """Beside the real recordings lies the same idea in 27 lines, written by others."""
    other = Path(REAL or ".").parent / "baselines" / "mfcc27.py"
    if REAL is None or not other.is_file():
        pytest.skip("FEWSHOT_AUDIO_TEST_DATA names no folder of real recordings, with mfcc27.py in ../baselines")
    mfcc27 = runpy.run_path(str(other))["MFCC27"]
    draw = draw_clips(list_collections(Path(REAL), "development", ["speakers"])["speakers"], 0)
    enrolled = [(clip.path, name) for name, own in draw.enrolled.items() for clip in own]
    asked = [(clip.path, name) for name, own in draw.asked.items() for clip in own]
    fitted = mfcc27().fit([path for path, _ in enrolled], [name for _, name in enrolled])
    right = fitted.predict([path for path, _ in asked]) == [name for _, name in asked]
    assert PlainBaseline().accuracy(draw.enrolled, draw.asked) == pytest.approx(np.mean(right), abs=0.001)
