"""Results of cross-validations keep their form."""

import json
from pathlib import Path

import pytest

from fewshot_audio.errors import DataError
from fewshot_audio.studies.crossval.results import DivergedTraining, TrainingResult, read_training_result

OLD = Path(__file__).parents[2] / "fixtures" / "v0.1" / "searches" / "crossval" / "trainings"
FILES = sorted(OLD.glob("*.json"))
HEAD = ("candidate", "set", "fold", "held_out", "epochs", "seed", "versions")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_training_of_version_0_1_is_written_as_it_was(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    values = json.loads(text)
    result = read_training_result(file, values, (2, 1))
    assert isinstance(result, TrainingResult)
    assert {shot: test.accuracy for shot, test in result.shots.items()} == {
        int(shot): test["accuracy"] for shot, test in values["shots"].items()
    }
    written = {**{key: values[key] for key in HEAD}, **result.as_json()}
    assert json.dumps(written, indent=2, ensure_ascii=False) + "\n" == text


def test_all_are_there() -> None:
    assert len(FILES) == 4


def test_a_training_that_diverged() -> None:
    result = read_training_result(Path("x.json"), {"diverged": "epoch 2"}, (2, 1))
    assert result == DivergedTraining("epoch 2")
    assert result.as_json() == {"diverged": "epoch 2"}


@pytest.mark.parametrize("key", ["train_loss", "seconds_per_episode", "parameters", "shots"])
def test_a_missing_number_is_refused_by_name(key: str) -> None:
    values = json.loads(FILES[0].read_text())
    del values[key]
    with pytest.raises(DataError, match=rf"x\.json: expected .*{key}.*delete the file"):
        read_training_result(Path("x.json"), values, (2, 1))
