"""The files that the pages' commands use, made once."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest

from fewshot_audio.cli import main
from fewshot_audio.data.splits import Splits, write_splits
from tests.docs.sandbox import SETTINGS, link_tree, write_world
from tests.shell import _logging  # noqa: F401


def run(line: str, *words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*line.split(), *words])
    assert not stop.value.code, line


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, a prepared dataset, one trained experiment under several names, and a recognizer of it."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    with chdir(folder):
        options = "--data-root data --name my_sounds --segment-seconds 3 --waveforms --workers 1"
        run(f"prepare folder --source my_recordings {options}")
        run("configs --dataset my_sounds --scenario 1 -o my")
        pair = "-e my/experiment_config.json -m my/model_config.json"
        run(f"train {pair} --data-root data --set experiment_folder=mine", *SETTINGS)
        shutil.copytree("experiments/mine", "experiments/other")
        for name in ("ESC-50-master", "others"):
            link_tree(Path("data/my_sounds"), Path("data") / name)
        run("enroll --model experiments/mine/run-1 --support my_sounds --data-root data -o my_bundle")
        names = [f"sound_{number:02}" for number in range(15)]
        write_splits(Path("splits.npy"), Splits(tuple(names[:5]), tuple(names[5:10]), tuple(names[10:])))
    return folder
