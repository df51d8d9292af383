"""Scores of detections, against cases computed by hand and against scikit-learn."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.events.evaluate import EvaluationOptions, EventEvaluation, evaluate_events
from fewshot_audio.events.outcomes import Outcome
from fewshot_audio.events.pairing import EventTables
from fewshot_audio.events.scores import MAX_POINTS, curve, harmonic_mean, score_outcomes, thinned
from tests.shell import Shell, shell

__all__ = ["shell"]

TRUTH = """file,start,end,label
hill/a.wav,1,2,wren
hill/a.wav,3,4,wren
hill/a.wav,5,6,tit
lake/b.wav,1,2,wren
"""
DETECTIONS = """file,start,end,label,score
a.wav,1.1,2.1,wren,0.9
a.wav,7,8,wren,0.8
a.wav,5,6,wren,0.7
a.wav,5,5.9,tit,0.6
b.wav,1,2,wren,0.5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "truth.csv").write_text(TRUTH)
    (tmp_path / "detections.csv").write_text(DETECTIONS)
    return tmp_path


def evaluate(folder: Path, options: EvaluationOptions = EvaluationOptions()) -> EventEvaluation:
    sides = [EventTables.read(folder / name) for name in ("truth.csv", "detections.csv")]
    return evaluate_events(*sides, options=options)


def test_scores_by_hand(folder: Path) -> None:
    result = evaluate(folder)
    total = result.total
    assert (total.events, total.right, total.wrong, total.missed, total.left_out) == (4, 3, 2, 1, 0)
    assert (total.precision, total.recall, total.f1) == (3 / 5, 3 / 4, 6 / 9)
    # By falling score: right, wrong, wrong, right, right.
    assert total.average_precision == pytest.approx((1 + 2 / 4 + 3 / 5) / 4)
    assert (total.onset_error, total.offset_error) == pytest.approx((0.0, 0.1))
    assert {name: score.f1 for name, score in result.labels.items()} == {"tit": 1.0, "wren": 4 / 7}
    assert {name: score.f1 for name, score in result.recordings.items()} == {"hill/a.wav": 4 / 7, "lake/b.wav": 1.0}
    assert {name: score.f1 for name, score in result.sets.items()} == {"hill": 4 / 7, "lake": 1.0}
    assert result.harmonic_f1 == pytest.approx(2 / (7 / 4 + 1))
    assert result.best is not None
    assert (result.best.threshold, result.best.f1) == (0.5, 6 / 9)


def test_options(folder: Path) -> None:
    assert evaluate(folder, EvaluationOptions(threshold=0.6)).total.right == 2
    assert evaluate(folder, EvaluationOptions(least_overlap=0.85)).total.right == 2
    skipped = evaluate(folder, EvaluationOptions(skip_first=1))
    assert (skipped.total.events, skipped.total.right, skipped.total.wrong) == (1, 0, 2)


@pytest.mark.parametrize("options", [{"least_overlap": 0}, {"least_overlap": 1.1}, {"skip_first": -1}])
def test_impossible_options(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        EvaluationOptions(**options)  # type: ignore[arg-type]


def test_detections_in_other_recordings_are_wrong_unless_they_are_left_out(folder: Path) -> None:
    with (folder / "detections.csv").open("a") as stream:
        stream.write("c.wav,1,2,wren,0.9\n")
    result = evaluate(folder)
    assert result.total.wrong == 3
    assert "'c.wav': detections there are wrong" in result.remarks[0]
    assert evaluate(folder, EvaluationOptions(only_annotated=True)).total.wrong == 2


def test_a_recording_that_may_be_several_is_refused_without_its_folder(folder: Path) -> None:
    (folder / "truth.csv").write_text("file,start,end,label\nhill/a.wav,1,2,x\nlake/a.wav,3,4,x\n")
    (folder / "detections.csv").write_text("file,start,end,label\n/data/lake/a.flac,3,4,x\n")
    assert evaluate(folder).recordings["lake/a.wav"].right == 1
    (folder / "detections.csv").write_text("file,start,end,label\na.wav,3,4,x\n")
    with pytest.raises(DataError, match=r"'a.wav' may be hill/a.wav, lake/a.wav"):
        evaluate(folder)


def test_tables_without_names_or_labels_are_of_the_only_recording_and_label(folder: Path) -> None:
    (folder / "truth.csv").write_text("start,end,label\n1,2,wren\n")
    (folder / "detections.csv").write_text("Audiofilename,Starttime,Endtime\nfield.wav,1,2\n")
    assert evaluate(folder).total.f1 == 1.0


def test_a_folder_of_tables_has_a_recording_for_each(folder: Path) -> None:
    for side, text in (("truth", "{0}\t{1}\twren\n"), ("found", "{0}\t{1}\twren 0.50\n")):
        for number, place in enumerate(("hill", "lake"), start=1):
            path = folder / side / place / f"rec{number}.wav.labels.txt"
            path.parent.mkdir(parents=True)
            path.write_text(text.format(number, number + 1))
    (folder / "truth" / "notes.txt").write_text("nothing of interest")
    result = evaluate_events(EventTables.read(folder / "truth"), EventTables.read(folder / "found"))
    assert (result.total.f1, list(result.sets)) == (1.0, ["hill", "lake"])
    assert "notes.txt: no table of events" in result.problems[0]


def test_nothing_to_compare(folder: Path) -> None:
    for name in ("truth.csv", "detections.csv"):
        (folder / name).write_text("file,start,end,label\n")
    with pytest.raises(DataError, match="no events to compare"):
        evaluate(folder)


def outcome(n_events: int, scores: list[float], is_right: list[bool]) -> Outcome:
    order = np.argsort(-np.array(scores, float), kind="stable")
    right = np.array(is_right, bool)[order]
    errors = np.zeros(int(right.sum()))
    return Outcome(n_events, np.array(scores, float)[order], right, errors, errors, (), ())


detections = st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.8]), st.booleans()), min_size=1, max_size=12)


@given(detections, st.integers(0, 3))
@settings(deadline=None, max_examples=200)
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[float, bool]], missed: int) -> None:
    scores, right = [score for score, _ in rows], [is_right for _, is_right in rows]
    events = sum(right) + missed
    result = score_outcomes([outcome(events, scores, right)], ["a"])
    if not events:
        assert result.average_precision is None
        return
    # Missed events come after all detections and add recall that is never reached.
    expected = average_precision_score(right, scores) * sum(right) / events if any(right) else 0.0
    assert result.average_precision == pytest.approx(expected)


@given(detections, st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_the_curve_counts_all_detections_of_a_score_or_more(rows: list[tuple[float, bool]], missed: int) -> None:
    events = sum(is_right for _, is_right in rows) + missed
    points = curve([outcome(events, *map(list, zip(*rows, strict=True)))])  # type: ignore[arg-type]
    assert [point.threshold for point in points] == sorted({score for score, _ in rows}, reverse=True)
    for point in points:
        kept = [is_right for score, is_right in rows if score >= point.threshold]
        assert point.precision == pytest.approx(sum(kept) / len(kept))
        assert point.recall == pytest.approx(sum(kept) / events)
        assert point.f1 == pytest.approx(2 * sum(kept) / (events + len(kept)))


def test_a_long_curve_is_thinned_from_its_first_to_its_last_point() -> None:
    points = curve([outcome(1000, list(np.linspace(0, 1, 1000)), [True] * 1000)])
    chosen = thinned(points)
    assert (len(points), len(chosen)) == (1000, MAX_POINTS)
    assert (chosen[0], chosen[-1]) == (points[0], points[-1])
    assert thinned(points[:3]) == points[:3]


def test_harmonic_mean() -> None:
    assert harmonic_mean([0.5, 0.25, None]) == pytest.approx(1 / 3)
    assert harmonic_mean([0.5, 0.0]) == 0.0
    assert harmonic_mean([None]) is None


def test_the_interval_is_of_recordings_and_as_wide_as_their_spread() -> None:
    good, bad = outcome(10, [1.0] * 10, [True] * 10), outcome(10, [1.0] * 10, [False] * 10)
    mixed = score_outcomes([good, bad] * 10, range(20))
    assert mixed.f1_interval is not None
    deviation = 0.5 / np.sqrt(20)  # of the mean of 20 recordings, half of them all right
    assert mixed.f1_interval == pytest.approx((0.5 - 1.96 * deviation, 0.5 + 1.96 * deviation), abs=0.03)
    assert score_outcomes([good] * 20, range(20)).f1_interval == (1.0, 1.0)
    few = score_outcomes([good, bad], range(2)).f1_interval  # by events: 20 of each, not two recordings
    assert few is not None
    assert 0.2 < few[0] < 0.4 < 0.6 < few[1] < 0.8


def test_no_interval_of_a_single_event() -> None:
    assert score_outcomes([outcome(1, [0.5], [True])], ["a"]).f1_interval is None


def test_what_cannot_be_said_is_none() -> None:
    score = score_outcomes([outcome(0, [], [])], ["a"])
    assert {key for key, value in asdict(score).items() if value is not None} == {
        "events",
        "right",
        "wrong",
        "missed",
        "left_out",
    }


def test_the_command_prints_a_table_and_writes_json(folder: Path, shell: Shell) -> None:
    outcome = shell("evaluate-events", folder / "truth.csv", folder / "detections.csv", "--json", folder / "r.json")
    assert outcome.code == 0, outcome.err
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines() if "│" in line]
    names = ["all", "tit", "wren", "hill", "lake", "hill/a.wav", "lake/b.wav"]
    assert [row[0] for row in rows] == names
    assert (rows[0][1], rows[0][3:]) == ("66.7", ["60.0", "75.0", "52.5", "4", "0/100"])
    assert "4 events: 3 found, 1 missed; 2 wrong and 0 left out of 5 detections." in outcome.out
    assert "Harmonic mean of F1 over 2 sets: 72.7 %" in outcome.out
    written = json.loads((folder / "r.json").read_text())
    assert written["version"] == 1
    assert written["total"]["f1"] == pytest.approx(6 / 9)
    assert written["harmonic_f1"] == pytest.approx(8 / 11)
    assert [point["threshold"] for point in written["curve"]] == [0.9, 0.8, 0.7, 0.6, 0.5]


def test_the_command_says_that_nothing_is_left_behind_the_first_events(folder: Path, shell: Shell) -> None:
    tables = (folder / "truth.csv", folder / "detections.csv")
    message = "Nothing is left to score behind the first 50 events of each label and recording."
    assert message in shell("evaluate-events", *tables, "--skip-first", 50).out
    assert "Nothing is left" not in shell("evaluate-events", *tables, "--skip-first", 1).out


def test_a_bad_row_is_reported_and_the_rest_is_compared(folder: Path, shell: Shell) -> None:
    with (folder / "truth.csv").open("a") as stream:
        stream.write("a.wav,9,8,wren\n")
    outcome = shell("evaluate-events", folder / "truth.csv", folder / "detections.csv")
    assert outcome.code == 1
    assert "truth.csv, line 6: ends at 8 s, before its start at 9 s" in outcome.err
    assert "4 events" in outcome.out


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--iou", "0"), "least_overlap"), (("--audio", "."), "--picture"), (("--skip-first", "-1"), "--skip-first")],
)
def test_wrong_usage(folder: Path, shell: Shell, options: tuple[str, str], message: str) -> None:
    outcome = shell("evaluate-events", folder / "truth.csv", folder / "detections.csv", *options)
    assert outcome.code == 2
    assert message in outcome.err
