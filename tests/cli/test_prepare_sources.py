"""``fewshot-audio prepare`` with the sources of the benchmark and their options."""

from pathlib import Path

from tests.cli.conftest import read
from tests.data import layouts
from tests.shell import Shell


def test_limits_and_filling_by_option(tmp_path: Path, shell: Shell) -> None:
    source = layouts.birdclef2020(tmp_path / "source")
    command = ("prepare", "birdclef2020", "--source", source, "--data-root", tmp_path / "data", "--workers", 1)
    command += ("--way", 3, "--segment-seconds", 0.3)
    refused = shell(*command)
    assert refused.code == 1
    assert "0 classes are too few" in refused.err
    outcome = shell(*command, "--max-seconds", 1, "--min-clips", 3, "--compat", "metaaudio")
    assert outcome.code == 0, outcome.err
    assert "47 inputs: 36 prepared, 11 skipped (1 small_class, 10 too_long)" in outcome.out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines()]
    assert ["all", "47 (10)", "1", "37 (10)", "1", "36 (9)"] in cells
    assert ["unused", "2 (1)", "1", "1 (1)", "1", "0 (0)"] in cells
    recorded = tmp_path / "data" / "BirdClef" / "preprocessing.json"
    assert read(recorded)["compat"] == "metaaudio-training"  # "metaaudio" alone records what version 0.1 did


def test_a_set_of_fixed_length_takes_others_on_demand(tmp_path: Path, shell: Shell) -> None:
    source = layouts.nsynth(tmp_path / "source", seconds=0.1)
    command = ("prepare", "nsynth", "--source", source, "--data-root", tmp_path, "--workers", 1, "--way", 3)
    refused = shell(*command)
    assert refused.code == 1
    assert "none of the 36 inputs could be prepared" in refused.err
    assert "other_length" in (tmp_path / "nsynth" / "skipped.csv").read_text()
    outcome = shell(*command, "--pad")
    assert outcome.code == 0, outcome.err
    assert "36 inputs: 36 prepared" in outcome.out
