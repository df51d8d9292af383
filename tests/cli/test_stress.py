"""Stress tests of a run: the command, the file that keeps them, and their place in a report."""

import json
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.stress import read_stress
from fewshot_audio.studies.report import write_report
from tests.shell import Shell
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_waveforms


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data root, and a run."""
    folder = tmp_path_factory.mktemp("stress")
    write_tiny_dataset(folder / "data")
    run_experiment(*tiny_configs({"num_epochs": 1, "n_testing_tasks": 30}), folder / "data", folder)
    return folder / "data", folder / "tiny" / "run-1"


def test_results_are_printed_kept_and_reported(trained: tuple[Path, Path], shell: Shell, tmp_path: Path) -> None:
    root, run = trained
    outcome = shell("evaluate", run, "--data-root", root, "--shots", "1,8,1", "--json", tmp_path / "shots.json")
    assert outcome.code == 0
    assert "8 shots" in outcome.out
    shots = read_stress(run)
    assert [(point.test, point.x, point.n_shot, point.n_way) for point in shots] == [
        ("shots", 1, 1, 3),
        ("shots", 8, 8, 3),
    ]
    assert shots[0].value < shots[1].value
    assert all(0 < point.ci95 < 0.2 and point.tasks == 30 for point in shots)
    written = json.loads((tmp_path / "shots.json").read_text())["points"]
    assert [point["value"] for point in written] == [point.value for point in shots]
    options = ("--noisy-labels", "0,0.1,0.5", "--class-incremental", 2, "--shots", 2)
    assert shell("evaluate", run, "--data-root", root, *options).code == 0
    points = read_stress(run)  # former shots are replaced
    assert [point.condition for point in points] == [
        *("2 shots", "0 of 2 labels wrong", "1 of 2 labels wrong", "2 classes", "4 classes", "6 classes"),
        *("average accuracy", "drop", "forgetting"),
    ]
    assert points[0].value == points[1].value  # the same tasks
    assert points[3].value > points[5].value
    assert points[7].value == pytest.approx(points[3].value - points[5].value)
    write_report([run.parent], root, tmp_path / "report.html", tmp_path / "plots")
    text = (tmp_path / "report.html").read_text()
    assert "1 of 2 labels wrong" in text
    assert 'alt="Accuracy under stress"' in text
    assert (tmp_path / "plots" / "tiny_stress.svg").stat().st_size > 1000


def test_recording_conditions(shell: Shell, tmp_path: Path) -> None:
    write_tiny_waveforms(write_tiny_dataset(tmp_path / "data"))
    results = run_experiment(
        *tiny_configs({"input_type": "wav", "num_epochs": 1, "n_testing_tasks": 40}), tmp_path / "data", tmp_path
    )
    run = tmp_path / "tiny" / "run-1"
    options = ("--degrade", "band,clip", "--background", "swap,noisy,clean", "--snr", "0", "--noisy-labels", 0)
    outcome = shell("evaluate", run, "--data-root", tmp_path / "data", *options)
    assert outcome.code == 0, outcome.err
    points = {point.condition: point for point in read_stress(run)}
    assert list(points) == [
        *("0 of 2 labels wrong", "as recorded", "band", "clip", "none", "swap, 0 dB", "noisy, 0 dB", "clean, 0 dB")
    ]
    for condition in ("0 of 2 labels wrong", "as recorded", "none"):
        assert points[condition].value == results.accuracy  # the same tasks as the ordinary test
    assert points["swap, 0 dB"].value < points["noisy, 0 dB"].value
    assert len({point.value for point in points.values()}) > 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--class-incremental", 4), "has 7 test classes, expected at least two sessions"),
        (("--shots", "1,x"), "expected whole numbers from 1 on"),
        (("--shots", "11"), "smaller classes"),
        (("--noisy-labels", "1.5"), "expected numbers from 0 to 1"),
        (("--noisy-labels", "0.5", "--baseline", "log-mel"), "stress tests are of the trained network"),
        (("--shots", "1", "--n-shot", 2), "choose one"),
        (("--class-incremental", 2, "--n-way", 3), "takes all test classes"),
        (("--degrade", "fog"), "expected some of codec, band, room, gain, clip"),
        (("--background", "swap", "--snr", "loud"), "expected numbers from -40 to 80"),
        (("--snr", "0"), "which is not given"),
        (("--degrade", "band"), "waveforms"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    options: tuple[Any, ...], message: str, trained: tuple[Path, Path], shell: Shell
) -> None:
    root, run = trained
    outcome = shell("evaluate", run, "--data-root", root, *options)
    assert outcome.code != 0
    assert message in " ".join(outcome.err.replace("│", " ").split())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "stress.json"
    good = {"test": "shots", "condition": "1 shot", "x": 1, "value": 0.5, "ci95": 0.1, "tasks": 3}
    good |= {"n_way": 5, "n_shot": 1, "n_query": 1, "dataset": "Tiny"}
    file.write_text(json.dumps({"points": [good]}))
    assert read_stress(tmp_path)[0].value == 0.5
    wrong: list[Any] = [{}, {"points": [good] * 1001}, {"points": [1]}, {"points": [good | {"more": 1}]}]
    wrong += [{"points": [good | changes]} for changes in ({"value": 7}, {"tasks": True}, {"test": 3}, {"ci95": -1})]
    for content in wrong:
        file.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"stress\.json"):
            read_stress(tmp_path)
