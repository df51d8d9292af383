"""Whole experiments with pretrained encoders: every scenario, what is kept, resuming, and the command line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fewshot_audio import Recognizer
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.engine.baselines import LogMelCentroid
from fewshot_audio.engine.fit import _data_parallel
from fewshot_audio.engine.system import NetworkSystem
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import open_dataset
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.files import write_json
from fewshot_audio.models.build import build_network, complete_model
from fewshot_audio.progress import silent
from fewshot_audio.studies.holdout import check_training, open_development
from fewshot_audio.studies.reproduce.matrix import Cell
from fewshot_audio.studies.reproduce.protocols import TaskChanges
from fewshot_audio.studies.reproduce.run import MatrixPlan, reproduce
from fewshot_audio.studies.trial import run_trial
from tests.models.tiny_pretrained import write_pretrained
from tests.recognition.recognizers import recognizer, sound
from tests.shell import Shell, _logging, shell
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
    (1, "cpl", "whisper", False, True),
    (2, "cpl", "wavlm", True, False),
    (3, "cpl", "clap", True, False),
    (4, "angular", "hubert", False, False),
    (5, "angular", "ast", False, True),
]


@pytest.mark.parametrize(("scenario", "loss", "kind", "freeze", "relation"), CASES)
def test_every_scenario(
    root: Path, tmp_path: Path, scenario: int, loss: Literal["cpl", "angular"], kind: str, freeze: bool, relation: bool
) -> None:
    folder = write_pretrained(tmp_path / kind, kind)
    experiment, model = configs(folder, scenario, loss, **{"Pretrained.freeze": freeze, "relation_head": relation})
    results = run_experiment(experiment, model, root, tmp_path / "out")
    assert 0 <= results.accuracy <= 1
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


def test_what_is_frozen_stays_out_of_every_average(root: Path, tmp_path: Path) -> None:
    """Three thirds of a number need not be that number: CLAP's batch norm must be left alone, bit for bit."""
    folder = write_pretrained(tmp_path / "clap", "clap")
    options = {"n_training_tasks": 3, "episodes_per_step": 3, "optimization.averaging": 0.9}
    experiment, model = configs(folder, **options, **{"loss.classification_weight": 0.5})
    run_experiment(experiment, model, root, tmp_path / "out")
    run = tmp_path / "out" / "tiny" / "run-1"
    before, after = Run.read(run).untrained_network().state_dict(), torch.load(run / "model.pt")
    backbone = {name for name in before if name.startswith("encoder.backbone.")}
    assert any(name.endswith("running_mean") for name in backbone)
    assert all(torch.equal(before[name], after[name]) for name in backbone)
    state = torch.load(run / "state.pt")
    assert state["average"]["tensors"].keys() == {"encoder.linear.weight", "encoder.linear.bias"}
    assert not {name for name in state["network"] if name.endswith(("running_mean", "weight"))} & backbone
    assert len(state["optimizer"]["param_groups"][0]["params"]) == 4  # two linear layers
    assert state["classifier"].keys() == {"weight", "bias"}


def test_processes_wait_for_no_layer_that_a_tuned_encoder_leaves_out(tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "wavlm", "wavlm")
    for freeze in (True, False):
        experiment, model = configs(folder, **{"Pretrained.freeze": freeze})
        network = build_network(experiment, complete_model(experiment.encoder_name, model), 1, 1)
        assert _data_parallel(network)._ddp_kwargs["find_unused_parameters"] is not freeze


def test_a_candidate_is_completed_before_work_and_trained(root: Path, tmp_path: Path) -> None:
    """As cross-validation and the search do it."""
    folder = write_pretrained(tmp_path / "ast", "ast")
    experiment, model = configs(folder)
    dataset = open_development(root, experiment)
    complete = check_training(dataset, experiment, model, ("train", "validation"))
    assert complete == complete_model(experiment.encoder_name, model)
    assert len(run_trial(tmp_path / "scratch", experiment, complete, dataset).history) == 1
    long = replace(dataset, preprocessing=Preprocessing.of(sample_rate=4000))  # the same samples take 2 s
    with pytest.raises(ConfigError, match="takes at most"):
        check_training(long, experiment, model, ("train",))


def test_the_matrix_trains_it(root: Path, tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "ast", "ast")
    sizes = [f"n_way_{phase}=3" for phase in ("train", "validation", "test")]
    sizes += [f"n_{what}_{phase}=2" for what in ("shot", "query") for phase in ("train", "validation", "test")]
    work = ["num_epochs=1", "num_runs=1", "n_training_tasks=2", "n_validation_tasks=2", "n_testing_tasks=4"]
    changes = [f"encoder_name=hf:{folder}", "input_type=wav", "specaug_params.use=false", "Pretrained.out_dim=8"]
    overrides = [*sizes, *work, *changes, "device=cpu", "precision=fp32"]
    protocol = TaskChanges(way=3, shot=2, n_query=2, tasks=4)
    plan = MatrixPlan([Cell(NAME, "1", "Hybrid")], "quick", root, tmp_path / "out", overrides, [protocol], [])
    rows = list(reproduce(plan))
    assert rows[0].system == "1 plain"
    assert [(row.note, row.accuracy is not None) for row in rows] == [("", True)] * len(rows)


def test_the_log_mel_baseline_is_of_the_dataset_not_of_the_encoder(root: Path, tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "wav2vec2", "wav2vec2")
    rows = []
    for changes in ({}, {"encoder_name": "CNN"}):
        experiment, model = configs(folder, **changes)
        data = open_dataset(root, experiment).data
        network = build_network(experiment, complete_model(experiment.encoder_name, model), 128, 16).eval()
        system = NetworkSystem.test(network, experiment, data)
        rows.append(LogMelCentroid(system, np.arange(40)).embed(np.arange(40, 60), silent).rows)
    assert torch.equal(*rows)
    assert rows[0].shape == (20, 1, 1, 2 * 128)
    assert rows[0].std() > 0.1


def test_a_recognizer_needs_no_folder_of_its_encoder(tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "ast", "ast")
    wave = {"input_type": "wav", "specaug_params.use": False}
    made = recognizer({**wave, "encoder_name": f"hf:{folder}", "Pretrained.out_dim": 8})
    made.save(tmp_path / "bundle")
    shutil.rmtree(folder)
    clips = [sound(kind, 30) for kind in range(3)]
    assert (
        Recognizer.load(tmp_path / "bundle").predict_proba(clips, rate=16_000) == made.predict_proba(clips, rate=16_000)
    ).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.update(definition=None), r"Pretrained\.definition is missing"),
        (lambda model: model["definition"]["config"].update(model_type="bert"), "not usable as an audio encoder"),
        (lambda model: model["definition"]["preprocessor"].update(num_mel_bins=10**9), "not usable as an audio"),
        (lambda model: model["definition"]["preprocessor"].update(max_length=10**9), "expected at most 3600 s"),
        (lambda model: model["definition"]["config"].update(hidden_size=32), "expected"),
    ],
    ids=["none", "kind", "bins", "length", "width"],
)
def test_a_bundle_with_a_strangers_definition_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    wave = {"input_type": "wav", "specaug_params.use": False}
    name = f"hf:{write_pretrained(tmp_path / 'ast', 'ast')}"
    recognizer({**wave, "encoder_name": name, "Pretrained.out_dim": 8}).save(tmp_path / "bundle")
    described = json.loads((tmp_path / "bundle" / "recognizer.json").read_text())
    change(described["model"]["Pretrained"])
    (tmp_path / "bundle" / "recognizer.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=message):
        Recognizer.load(tmp_path / "bundle")
