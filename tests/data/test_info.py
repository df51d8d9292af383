"""What ``info`` says about dataset folders, ours and others'."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.data.info import inspect_dataset, plot_lengths
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.sources.esc50 import Esc50
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.errors import DataError, FewShotError
from tests.data.recordings import SMALL, esc50, write
from tests.data.test_prepare import run


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    root = tmp_path_factory.mktemp("info")
    source = esc50(root / "source")
    write(source / "audio" / "2-1000-B-0.flac", seconds=0.5)
    (source / "audio" / "1-1000-A-0.flac").write_bytes(b"")
    (source / "audio" / "notes.txt").touch()
    folder = DatasetFolder(root / "data" / "ESC-50-master")
    run(Esc50(source), folder)
    return folder


def test_the_numbers_of_a_prepared_folder(prepared: DatasetFolder) -> None:
    info = inspect_dataset(prepared).as_json()
    assert (info["dataset"], info["classes"], info["clips"], info["segments"]) == ("ESC-50-master", 15, 59, 118)
    assert info["segment"] == {"mels": SMALL.n_mels, "frames": SMALL.frames}
    assert info["source_recordings"] == 30
    assert info["seconds"]["shortest"] == info["seconds"]["median"] == pytest.approx(0.3)
    assert info["seconds"]["longest"] == pytest.approx(0.5)
    assert info["seconds"]["total"] == pytest.approx(58 * 0.3 + 0.5)
    assert info["skipped"] == {"empty": 1, "not_audio": 1}
    assert list(info["smallest_classes"].items())[:2] == [("sound_00", 3), ("sound_01", 4)]
    assert info["preprocessing"] == SMALL.model_dump()
    assert info["normalization"]["std"] > 0
    phase = next(name for name, split in info["splits"].items() if split["smallest_class"] == "sound_00")
    assert info["splits"][phase]["clips"] == 19
    assert info["splits"][phase]["largest"] == {"way": 5, "shot": 2, "query": 2, "query_at_5_shots": 0}
    assert json.loads(json.dumps(info)) == info


def foreign(root: Path) -> DatasetFolder:
    """A folder of another tool: features and splits, arrays with and without segments."""
    folder = DatasetFolder(root / "theirs")
    for name, shapes in {"a": [(3, 8, 20), (8, 20)], "b": [(1, 8, 20)]}.items():
        (folder.features / name).mkdir(parents=True)
        for i, shape in enumerate(shapes):
            np.save(folder.features / name / f"{i}.npy", np.zeros(shape, np.float32))
    return folder


def test_folders_of_other_tools(tmp_path: Path) -> None:
    folder = foreign(tmp_path)
    info = inspect_dataset(folder).as_json()
    assert (info["classes"], info["clips"], info["segments"]) == (2, 3, 5)
    absent = ("seconds", "splits", "classes_in_no_split", "normalization", "preprocessing", "source_recordings")
    assert [info[key] for key in absent] == [None] * 6
    write_splits(folder.splits, Splits(("a",), ("gone",), ()))
    info = inspect_dataset(folder).as_json()
    assert info["classes_in_no_split"] == ["b"]
    assert info["splits"]["validation"]["missing_classes"] == ["gone"]
    assert info["splits"]["test"]["largest"]["way"] == 0
    assert info["splits"]["train"]["largest"] == {"way": 1, "shot": 1, "query": 1, "query_at_5_shots": 0}


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="keeps its features there"):
        inspect_dataset(DatasetFolder(tmp_path))
    (tmp_path / "features" / "dog").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no <class>/<clip>\.npy"):
        inspect_dataset(DatasetFolder(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class,clip\n", "column 'segments' is missing"),
        ("class,group,segments,seconds\na,,1\n", "line 2"),
        ("class,group,segments,seconds\na,,x,1\n", "line 2"),
        ("class,group,segments,seconds\na,,1,1\na,,-1,1\n", "line 3: -1 segments, 1 seconds, expected positive"),
        ("class,group,segments,seconds\na,,0,1\n", "line 2: 0 segments"),
        ("class,group,segments,seconds\na,,1,nan\n", "line 2: 1 segments, nan seconds"),
        ("class,group,segments,seconds\na,,1,inf\n", "line 2: 1 segments, inf seconds"),
        ("class,group,segments,seconds\na,,1,-2\n", "line 2: 1 segments, -2 seconds"),
        ("\0", "clips.csv"),
    ],
)
def test_a_damaged_clips_csv_is_named(tmp_path: Path, text: str, words: str) -> None:
    folder = foreign(tmp_path)
    folder.clips.write_text(text)
    with pytest.raises(DataError, match=words):
        inspect_dataset(folder)


@pytest.mark.parametrize("name", ["lengths.png", "lengths.svg"])
def test_a_histogram_of_lengths(prepared: DatasetFolder, tmp_path: Path, name: str) -> None:
    plot_lengths(inspect_dataset(prepared), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    plot_lengths(inspect_dataset(foreign(tmp_path)), tmp_path / "segments.png")
    assert (tmp_path / "segments.png").stat().st_size > 1000


def test_a_histogram_that_cannot_be(prepared: DatasetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = inspect_dataset(prepared)
    with pytest.raises(FewShotError, match="no picture format 'wav'"):
        plot_lengths(info, tmp_path / "x.wav")
    original = builtins.__import__

    def without(name: str, *how: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *how)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FewShotError, match=r"fewshot-audio\[plots\]"):
        plot_lengths(info, tmp_path / "x.png")
