"""The page on extending the package is true: its four files and its changes, applied to a copy, train."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.recordings import write
from tests.docs.blocks import ALL, ROOT
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_waveforms

BLOCKS = [block for block in ALL if block.page == "extending.md"]

WORK = """
import sys
from fewshot_audio.cli import main

for line in sys.stdin.read().splitlines():
    try:
        main(line.split())
    except SystemExit as stop:
        assert not stop.code, line
"""


def change(text: str, diff: str) -> str:
    """Apply one hunk, whose lines begin with a space, - or +. What stands before must be there exactly once."""
    lines = diff.splitlines()
    before = "\n".join(line[1:] for line in lines if line[0] in " -")
    after = "\n".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(f"\n{before}\n") == 1, f"found {text.count(before)} times: {before}"
    return text.replace(f"\n{before}\n", f"\n{after}\n")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the page's files and changes."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(
        ROOT / "src" / "fewshot_audio", root / "src" / "fewshot_audio", ignore=shutil.ignore_patterns("__pycache__")
    )
    for block in BLOCKS:
        path = root / block.title
        if block.language == "python":
            assert not path.exists(), "a new file"
            path.write_text(block.text)
        else:
            path.write_text(change(path.read_text(), block.text))
    return root


def write_pair(folder: Path, name: str, experiment: dict[str, Any], model: dict[str, Any]) -> str:
    for kind, value in (("experiment", experiment), ("model", model)):
        (folder / f"{name}-{kind}.json").write_text(json.dumps(value))
    return f"train -e {name}-experiment.json -m {name}-model.json --data-root data"


def test_all_four_work(extended: Path, tmp_path: Path) -> None:
    write_tiny_waveforms(write_tiny_dataset(tmp_path / "data"))
    lines = []

    experiment, model = (config.model_dump() for config in tiny_configs({"encoder_name": "CNN"}))
    experiment |= {"encoder_name": "Statistics", "experiment_folder": "encoder"}
    model["Statistics"] = {**model["CNN"], "pool_dim": [2, 2]}
    lines.append(write_pair(tmp_path, "encoder", experiment, model))

    experiment, model = (config.model_dump() for config in tiny_configs(scenario=4))
    experiment["experiment_folder"] = "loss"
    experiment["loss"]["cpl"]["use"] = False
    experiment["loss"] |= {"margin": {"use": True, "margin": 0.5}, "l_param": 1.0}
    lines.append(write_pair(tmp_path, "loss", experiment, model))

    changes = {
        "input_type": "wav",
        "specaug_params.use": False,
        "waveaug_params.use": True,
        "waveaug_params.aug_num": 1,
    }
    experiment, model = (config.model_dump() for config in tiny_configs(changes, scenario=2))
    for key in experiment["waveaug_params"]:
        if key.endswith("_p"):
            experiment["waveaug_params"][key] = 0.0
    experiment["waveaug_params"]["clipping_p"] = 1.0
    experiment["experiment_folder"] = "augmentation"
    for name in ("CNN", "Hybrid"):
        model[name]["pool_dim"] = [2, 2]
    lines.append(write_pair(tmp_path, "augmentation", experiment, model))

    lines.append("prepare urbansound8k --source city --data-root data --segment-seconds 0.5 --workers 1")
    table = [("slice_file_name", "fsID", "fold", "class")]
    for label in range(15):
        for clip in range(2):
            table.append((f"{100 + label}-{clip}.wav", str(100 + label), str(clip + 1), f"street_{label:02}"))
            write(tmp_path / "city" / "audio" / f"fold{clip + 1}" / table[-1][0], seed=label)
    (tmp_path / "city" / "metadata").mkdir()
    with (tmp_path / "city" / "metadata" / "UrbanSound8K.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(table)

    lines.append("configs --dataset ESC-50-master --scenario 1 --encoder Statistics -o pair-1")
    lines.append("configs --dataset ESC-50-master --scenario 4 --loss margin -o pair-2")

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK],
        input="\n".join(lines),
        cwd=tmp_path,
        env={"PYTHONPATH": str(extended / "src"), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("encoder", "loss", "augmentation"):
        results = json.loads((tmp_path / "experiments" / name / "results.json").read_text())
        assert 0 <= results["accuracy"] <= 1
    metrics = (tmp_path / "experiments" / "loss" / "run-1" / "metrics.csv").read_text().splitlines()
    assert float(metrics[1].split(",")[metrics[0].split(",").index("contrastive_loss")]) > 0
    assert len(list((tmp_path / "data" / "urbansound8k" / "features").glob("*/*.npy"))) == 30


def test_each_addition_has_one_new_file() -> None:
    files = [block.title for block in BLOCKS if block.language == "python"]
    assert len(files) == len(set(files)) == 4
    assert all(not (ROOT / name).exists() for name in files)


def test_a_change_that_no_longer_fits_is_found() -> None:
    with pytest.raises(AssertionError, match="0 times"):
        change("\na = 1\n", "-a = 2\n+a = 3\n")
    assert change("\na = 1\nb\n", " a = 1\n+c\n") == "\na = 1\nc\nb\n"
