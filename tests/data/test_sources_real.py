"""Real recordings in the layouts of VoxCeleb1 and NSynth (``benchmarks.layouts``), to a dataset folder that trains."""

import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.layouts import write_nsynth, write_voxceleb1

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.sources.voxceleb1 import VoxCeleb1
from fewshot_audio.data.splits import read_splits
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.data.recordings import rows
from tests.data.test_prepare import run
from tests.tiny import tiny_configs

DATA = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="FEWSHOT_AUDIO_TEST_DATA is not set")

CLASSES, CLIPS = 25, 8
SMALL = Preprocessing.of(segment_seconds=0.8, n_mels=32)


def some(root: Path, name: str) -> Path:
    """The first clips of the first classes."""
    for folder in sorted(path for path in (Path(str(DATA)) / name).iterdir() if path.is_dir())[:CLASSES]:
        (root / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:CLIPS]:
            (root / folder.name / path.name).symlink_to(path.resolve())
    return root


def trains(folder: DatasetFolder, **settings: object) -> None:
    experiment, model = tiny_configs({"num_epochs": 1, **settings})
    results = run_experiment(experiment, model, folder.path.parent, folder.path.parent / "experiments")
    assert results.runs[0].test.tasks == 10


def test_speakers_as_voxceleb1_train(tmp_path: Path) -> None:
    recordings = some(tmp_path / "speakers", "speakers")
    write_voxceleb1(recordings, tmp_path / "tree")
    write_voxceleb1(recordings, tmp_path / "whole", whole=True)
    splits_file, limits = tmp_path / "tree" / "splits.npy", SourceLimits(least_clips=CLIPS)
    folder, cut = DatasetFolder(tmp_path / "root" / "Tiny"), DatasetFolder(tmp_path / "cut" / "Tiny")
    report = run(VoxCeleb1(tmp_path / "tree"), folder, SMALL, limits=limits, splits_file=splits_file)
    assert (report.prepared, report.skipped) == (CLASSES * CLIPS, {})
    assert report.splits == read_splits(splits_file)
    assert [len(report.splits[phase]) for phase in ("train", "validation", "test")] == [15, 5, 5]
    assert len({row["group"] for row in rows(folder.clips)}) == 2 * CLASSES
    trains(folder, disjoint_groups=True)
    from_whole = run(VoxCeleb1(tmp_path / "whole"), cut, SMALL, limits=limits, splits_file=splits_file)
    assert from_whole.skipped == {"not_audio": 1}  # the splits, which lie there too
    for path in folder.features.rglob("*.npy"):
        np.testing.assert_array_equal(np.load(path), np.load(cut.features / path.relative_to(folder.features)))


def test_instruments_as_nsynth_train(tmp_path: Path) -> None:
    write_nsynth(some(tmp_path / "instruments", "instruments"), tmp_path / "nsynth")
    folder = DatasetFolder(tmp_path / "root" / "Tiny")
    report = run(NSynth(tmp_path / "nsynth"), folder, SMALL, limits=NSynth.limits)
    assert (report.prepared, report.skipped) == (CLASSES * CLIPS, {})
    assert {row["seconds"] for row in rows(folder.clips)} == {"4.0000"}
    assert {row["source"].partition("/")[0] for row in rows(folder.clips)} == {
        "nsynth-train",
        "nsynth-valid",
        "nsynth-test",
    }
    trains(folder)
