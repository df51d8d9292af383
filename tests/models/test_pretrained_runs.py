"""Whole experiments with pretrained encoders: every scenario, what is kept, resuming, and the command line."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiment import run_experiment
from fewshot_audio.files import write_json
from fewshot_audio.runs import Run
from tests.cli.conftest import Shell, _logging, shell
from tests.models.tiny_pretrained import write_pretrained
from tests.tiny import NAME, tiny_configs, write_tiny_dataset, write_tiny_waveforms

__all__ = ["_logging", "shell"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tiny_waveforms(write_tiny_dataset(root))
    return root


def configs(
    folder: Path, scenario: int = 1, loss: Literal["cpl", "angular"] = "cpl", **changes: Any
) -> tuple[ExperimentConfig, ModelConfig]:
    wave = {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": scenario in (2, 3, 5)}
    small = {"num_epochs": 1, "n_testing_tasks": 4, "encoder_name": f"hf:{folder}", "Pretrained.out_dim": 8}
    return tiny_configs({**wave, **small, **changes}, scenario=scenario, loss=loss)


CASES: list[tuple[int, Literal["cpl", "angular"], str, bool, bool]] = [
    (1, "cpl", "ast", True, False),
    (1, "cpl", "whisper", False, True),
    (2, "cpl", "wavlm", True, False),
    (3, "cpl", "clap", True, False),
    (4, "angular", "hubert", False, False),
    (5, "cpl", "ast", False, True),
    (5, "angular", "wav2vec2", True, False),
]


@pytest.mark.parametrize(("scenario", "loss", "kind", "freeze", "relation"), CASES)
def test_every_scenario(
    root: Path, tmp_path: Path, scenario: int, loss: Literal["cpl", "angular"], kind: str, freeze: bool, relation: bool
) -> None:
    folder = write_pretrained(tmp_path / kind, kind)
    experiment, model = configs(folder, scenario, loss, **{"Pretrained.freeze": freeze, "relation_head": relation})
    results = run_experiment(experiment, model, root, tmp_path / "out")
    assert 0 <= results["accuracy"] <= 1
    run = tmp_path / "out" / "tiny" / "run-1"
    before = Run.read(run).untrained_network().state_dict()
    shutil.rmtree(folder)
    after = Run.read(run).trained_network().state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert "encoder.linear.weight" in moved
    assert any(name.startswith("encoder.backbone.") for name in moved) != freeze
    with pytest.raises(ConfigError, match="there is no folder"):
        Run.read(run).untrained_network()


@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "tuned"])
def test_a_resumed_run_ends_in_the_same_bits(root: Path, tmp_path: Path, freeze: bool) -> None:
    folder = write_pretrained(tmp_path / "clap", "clap")
    for name, stops in (("whole", (3,)), ("resumed", (1, 2, 3))):
        for epochs in stops:
            # A run that was stopped had all its epochs before it; its journal says how many are done.
            experiment, model = configs(folder, **{"num_epochs": 3, "Pretrained.freeze": freeze})
            if epochs < 3:
                experiment, _ = configs(folder, **{"num_epochs": epochs, "Pretrained.freeze": freeze})
            run = tmp_path / name / "tiny" / "run-1"
            if (run / "experiment_config.json").exists():
                write_json(run / "experiment_config.json", experiment.model_dump())
                (run / "result.json").unlink()
            run_experiment(experiment, model, root, tmp_path / name, resume=epochs > 1 and name == "resumed")
    states = [torch.load(tmp_path / name / "tiny" / "run-1" / "state.pt") for name in ("whole", "resumed")]
    backbone = [name for name in states[0]["network"] if name.startswith("encoder.backbone.")]
    assert states[0]["network"].keys() == states[1]["network"].keys()
    assert all(torch.equal(states[0]["network"][name], states[1]["network"][name]) for name in states[0]["network"])
    # Frozen weights are written once, with the best model, and not every epoch.
    assert (not any(name.endswith("weight") for name in backbone)) == freeze
    assert torch.load(tmp_path / "whole" / "tiny" / "run-1" / "model.pt").keys() >= set(backbone)


def test_the_command_line_trains_and_evaluates(root: Path, tmp_path: Path, shell: Shell) -> None:
    folder = write_pretrained(tmp_path / "ast", "ast")
    for path, config in zip((tmp_path / "e.json", tmp_path / "m.json"), tiny_configs(), strict=True):
        values = config.model_dump()
        values.pop("Pretrained", None)  # as in a model file that says nothing of pretrained encoders
        write_json(path, values)
    command = ["train", "-e", tmp_path / "e.json", "-m", tmp_path / "m.json", "--data-root", root]
    command += ["--output", tmp_path / "out", "--set", f"encoder_name=hf:{folder}"]
    refused = shell(*command)
    assert refused.code == 1
    assert "input_type=wav" in refused.err
    command += ["--set", "input_type=wav", "--set", "Pretrained.freeze=false"]
    done = shell(*command)
    assert done.code == 0, done.err
    assert "weights" not in done.err.lower()  # transformers' own bars and reports are silent
    shutil.rmtree(folder)
    run = tmp_path / "out" / "tiny" / "run-1"
    stored = json.loads((run / "model_config.json").read_text())["Pretrained"]
    assert stored["definition"]["config"]["model_type"] == "audio-spectrogram-transformer"
    tested = shell("evaluate", run, "--data-root", root, "--tasks", 6, "--json", tmp_path / "scores.json")
    assert tested.code == 0, tested.err
    assert json.loads((tmp_path / "scores.json").read_text())["tasks"] == 6
    assert NAME in tested.out


def test_a_segment_that_is_too_long_is_refused_before_work(root: Path, tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "ast", "ast")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"max_length": 20}))
    with pytest.raises(ConfigError, match=r"takes at most 0\.215 s, but a segment has 0\.5 s"):
        run_experiment(*configs(folder), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()
