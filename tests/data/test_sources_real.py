"""Real recordings in the layouts of VoxCeleb1 and NSynth, from links to a dataset folder that trains."""

import json
import os
from pathlib import Path

import pytest

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.limits import Limits
from fewshot_audio.data.sources.base import Source
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.sources.voxceleb1 import VoxCeleb1
from fewshot_audio.experiment import run_experiment
from tests.data.recordings import rows
from tests.data.test_prepare import run
from tests.tiny import tiny_configs

DATA = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="FEWSHOT_AUDIO_TEST_DATA is not set")

CLASSES, CLIPS = 15, 8


def recordings(name: str) -> dict[str, list[Path]]:
    """The first clips of the first classes."""
    folders = sorted(path for path in (Path(str(DATA)) / name).iterdir() if path.is_dir())[:CLASSES]
    return {folder.name: sorted(folder.iterdir())[:CLIPS] for folder in folders}


def voxceleb1(root: Path) -> Source:
    for speaker, paths in recordings("speakers").items():
        for number, path in enumerate(paths):
            link = root / "wav" / f"id{speaker}" / f"video{number // 4}" / f"{number:05d}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return VoxCeleb1(root)


def nsynth(root: Path) -> Source:
    parts: dict[str, dict[str, dict[str, str]]] = {"nsynth-train": {}, "nsynth-valid": {}, "nsynth-test": {}}
    for index, (instrument, paths) in enumerate(recordings("instruments").items()):
        part = list(parts)[index % 3]
        for number, path in enumerate(paths):
            note = f"{instrument}-{number:03d}-100"
            parts[part][note] = {"instrument_str": instrument}
            link = root / part / "audio" / f"{note}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    for part, notes in parts.items():
        (root / part / "examples.json").write_text(json.dumps(notes))
    return NSynth(root)


def test_real_recordings_in_published_layouts_train(tmp_path: Path) -> None:
    small = Preprocessing.of(segment_seconds=0.8, n_mels=32)
    how = {
        "voxceleb1": (voxceleb1(tmp_path / "vox"), Limits(least_clips=CLIPS)),
        "nsynth": (nsynth(tmp_path / "nsynth"), Limits(exact_seconds=4.0, pad=True)),
    }
    for name, (source, limits) in how.items():
        folder = DatasetFolder(tmp_path / name / "Tiny")
        report = run(source, folder, small, limits=limits)
        assert (report.prepared, report.skipped) == (CLASSES * CLIPS, {})
        assert [len(report.splits[phase]) for phase in ("train", "validation", "test")] == [5, 5, 5]
        assert {row["group"] for row in rows(folder.clips)} == ({"video0", "video1"} if name == "voxceleb1" else {""})
        experiment, model = tiny_configs({"num_epochs": 1, "disjoint_groups": name == "voxceleb1"})
        results = run_experiment(experiment, model, tmp_path / name, tmp_path / f"{name}-out")
        assert results["runs"][0]["test"]["tasks"] == 10
