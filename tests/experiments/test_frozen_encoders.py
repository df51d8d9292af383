"""Experiments on frozen encoders: the cache against computing anew, every scenario, studies, and their recognizers."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio import Recognizer
from fewshot_audio.audio.degrade import degrade
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import ExperimentConfig, ModelConfig, read_configs
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.engine.conditions import clean, degraded, embed_conditions
from fewshot_audio.engine.history import Row
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.engine.tasks import plan_tasks
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.dataset import Dataset, open_dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run, open_test
from fewshot_audio.experiments.frozen_encoders import (
    complete_with_encoders,
    pool_encoders,
    set_scales,
    with_embeddings,
)
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.experiments.stress import StressPlan, stress_run
from fewshot_audio.experiments.stress_conditions import open_waveform_test
from fewshot_audio.models.embedded_views import EmbeddedViews, PooledViews, PoolEncoder
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.installed import encoders_folder, installed_encoders
from fewshot_audio.models.frozen_layers import BLOCK_LENGTH, FrozenLayers, weighted_moments
from fewshot_audio.models.views import WaveViews
from fewshot_audio.progress import silent
from fewshot_audio.studies.holdout import check_training, hold_out, open_development
from fewshot_audio.studies.trial import run_trial
from tests.tiny import MELS, tiny_configs, write_tiny_dataset, write_tiny_waveforms
from tests.tiny_encoders import WIDTH, expected_steps, install_tiny, write_encoder

SAMPLES, RATE = 8000, 16_000
NAMES = ["yamnet", "ge2e"]  # stand-ins, which are tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    folder = write_tiny_dataset(root)
    for clip in folder.features.glob("*/*.npy"):
        if clip.stem >= "clip-05":  # five clips a class are enough, and soon embedded
            clip.unlink()
    write_tiny_waveforms(folder, SAMPLES)
    preprocessing = Preprocessing.of(segment_seconds=0.5, n_fft=512, hop_length=256, n_mels=MELS)
    folder.preprocessing.write_text(preprocessing.to_json())
    return root


@pytest.fixture(autouse=True)
def user_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("user data")
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(folder / name))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    install_tiny("yamnet", sample_rate=RATE)
    install_tiny("ge2e", seed=5, sample_rate=RATE)
    return folder


def configs(scenario: int = 1, **changes: Any) -> tuple[ExperimentConfig, ModelConfig]:
    has_views = scenario in (2, 3, 5)
    wave = {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": has_views}
    wave |= {"waveaug_params.pitchshift_p": 0.0, "waveaug_params.timestretch_p": 0.0}  # which are slow
    small = {"num_epochs": 1, "n_testing_tasks": 4, "encoder_name": NAMES, "Frozen.out_dim": 8, "Frozen.draws": 2}
    return tiny_configs({**wave, **small, **changes}, scenario=scenario)


def embedded(root: Path, experiment: ExperimentConfig, model: ModelConfig) -> tuple[Dataset, ModelConfig]:
    model = complete_with_encoders(experiment, model)
    return with_embeddings(open_dataset(root, experiment), experiment, model), model


def test_embeddings_are_those_of_the_encoders_side_by_side(root: Path) -> None:
    dataset, _ = embedded(root, *configs())
    rows = dataset.data.store.read(np.array([3]))[0]
    segment = np.load(sorted(dataset.folders.members[0].waveforms.glob("*/*.npy"))[3])[0]
    expected = [expected_steps(segment, seed).mean(0) for seed in (0, 5)]
    assert rows == pytest.approx(np.concatenate(expected)[None], rel=1e-3)  # half precision


def test_training_on_kept_embeddings_is_training_on_those_computed_anew(root: Path, tmp_path: Path) -> None:
    experiment, model = configs(num_epochs=2)
    kept, model = embedded(root, experiment, model)
    waveforms = open_dataset(root, experiment)
    views = waveforms.data.views
    assert isinstance(views, WaveViews)
    descriptions = [EncoderDescription.model_validate(values) for values in model.Frozen.definition or []]
    anew = EmbeddedViews(views.params, views.preprocessing, views.stats, descriptions)
    computed = dataclasses.replace(waveforms, data=TrainingData(waveforms.data.store, waveforms.data.splits, anew))

    former = run_trial(tmp_path / "kept", experiment, model, kept)
    for row, other in zip(former.history, _train(computed, kept, experiment, model, tmp_path / "anew"), strict=True):
        for key in ("train_loss", "val_loss"):
            assert row[key] == pytest.approx(other[key], rel=0.02), key  # half precision


def _train(
    computed: Dataset, kept: Dataset, experiment: ExperimentConfig, model: ModelConfig, folder: Path
) -> list[Row]:
    """Train on one dataset, with the scales of the other."""
    from fewshot_audio.engine.fit import train_run
    from fewshot_audio.engine.module import EpisodicTraining

    run = Run(folder, experiment, model, experiment.seed, computed.input_shape, "", None, {})
    network = run.untrained_network()
    set_scales(network, kept)
    folder.mkdir()
    return train_run(EpisodicTraining(network, experiment, computed.data, experiment.seed), folder)


def test_scales_are_those_of_the_training_classes(root: Path) -> None:
    experiment, model = configs()
    dataset, model = embedded(root, experiment, model)
    run = Run(Path(), experiment, model, 0, dataset.input_shape, "", None, {})
    network = run.untrained_network()
    set_scales(network, dataset)
    index, store = dataset.data.store.index, dataset.data.store
    clips = np.concatenate([index.by_class[name] for name in dataset.data.splits.train])
    rows = torch.from_numpy(store.read(index.offsets[clips])[:, 0])
    assert isinstance(network.encoder, FrozenLayers)
    scaled = network.encoder.scaled(rows)
    for block in scaled.split(WIDTH, dim=1):
        assert block.mean(0) == pytest.approx(torch.zeros(WIDTH), abs=0.05)  # numbers far away are cut off
        assert block.square().sum(1).mean().sqrt() == pytest.approx(BLOCK_LENGTH, rel=0.05)


@pytest.mark.parametrize("scenario", [1, 5])
def test_scenarios_train_and_test_and_resume(root: Path, tmp_path: Path, scenario: int) -> None:
    experiment, model = configs(scenario)
    results = run_experiment(experiment, model, root, tmp_path)
    run = Run.read(tmp_path / "tiny" / "run-1")
    assert [values["name"] for values in run.model.Frozen.definition or []] == NAMES
    shutil.rmtree(encoders_folder())  # what was embedded needs no encoder any more
    again = evaluate_run(run, root, run.experiment)
    assert again.accuracy == pytest.approx(results.accuracy)
    assert run_experiment(experiment, run.model, root, tmp_path, resume=True).accuracy == results.accuracy


def test_views_are_those_of_one_draw(root: Path) -> None:
    dataset, _ = embedded(root, *configs(2))
    views, store = dataset.data.views, dataset.data.store
    assert isinstance(views, PooledViews)
    per_draw = views.waveforms.params.aug_num
    raw = torch.from_numpy(store.read(np.arange(6)))
    draw = torch.tensor([0, 1, 1, 0, 1, 0])
    network: Any = None
    made = views.views(network, raw, draw)
    for segment in range(6):
        first = 1 + int(draw[segment]) * per_draw
        assert torch.equal(made[segment], torch.cat([raw[segment, :1], raw[segment, first : first + per_draw]]))
    drawn = views.draw(200, store.shape, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {0, 1}
    assert not torch.equal(raw[:, 1:], raw[:, :1].expand(-1, 2 * per_draw, -1))


def test_studies_hold_classes_out_of_the_same_embeddings(root: Path, tmp_path: Path) -> None:
    experiment, model = configs()
    development = open_development(root, experiment)
    held_out = hold_out(development, development.data.splits.train[:4])
    model = check_training(held_out, experiment, model, ("train", "test"))
    dataset = with_embeddings(held_out, experiment, model)
    assert set(dataset.data.store.classes) == set(development.data.splits.classes)
    assert run_trial(tmp_path / "trial", experiment, model, dataset).history


def test_a_file_is_checked_and_kept_among_the_users_encoders(root: Path, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoders", sample_rate=RATE)
    experiment, model = configs(encoder_name=f"onnx:{path}")
    completed = complete_with_encoders(experiment, model)
    digest = installed_encoders()["tiny"].digest
    (values,) = completed.Frozen.definition or []
    assert EncoderDescription.model_validate(values).digest == digest
    assert complete_with_encoders(experiment, completed) == completed


def test_recording_conditions_are_those_of_the_waveforms(root: Path, tmp_path: Path) -> None:
    """Embeddings of a degraded query are those of its degraded waveform, whatever has been kept."""
    experiment, model = configs(n_testing_tasks=3)
    results = run_experiment(experiment, model, root, tmp_path)
    run = Run.read(tmp_path / "tiny" / "run-1")
    test = open_waveform_test(run, root, run.experiment, silent)
    planned = plan_tasks(test.dataset.data.store.index, test.dataset.data.splits.test, test.protocol)
    rows = embed_conditions(test.system, planned, [clean, degraded("band", RATE)])
    segment = int(rows.segments[5])
    waveform = np.load(sorted(test.dataset.folders.members[0].waveforms.glob("*/*.npy"))[segment])[:1]
    network = run.trained_network().eval()
    for number, heard in enumerate([waveform, degrade(torch.from_numpy(waveform), "band", RATE).numpy()]):
        embedding = np.concatenate([expected_steps(heard[0], seed).mean(0) for seed in (0, 5)])
        with torch.no_grad():
            expected = network.encoder(torch.from_numpy(embedding)[None])[0]
        assert rows.rows[5, number, 0] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert (rows.rows[:, 0] - rows.rows[:, 1]).abs().max() > 0.01
    (as_recorded, band) = stress_run(run, root, run.experiment, StressPlan(degradations=["band"]))
    assert (as_recorded.condition, band.condition) == ("as recorded", "band")
    assert as_recorded.value == pytest.approx(results.accuracy)


def test_what_embeddings_depend_on_is_in_their_key(root: Path) -> None:
    """Another encoder, other views or another sample rate are other embeddings; without views, views are no matter."""

    def encoder(**changes: Any) -> PoolEncoder:
        experiment, model = configs(changes.pop("scenario", 2), **changes)
        views = open_dataset(root, experiment).data.views
        assert isinstance(views, WaveViews)
        return pool_encoders(views, experiment, complete_with_encoders(experiment, model))[0]

    first = encoder()
    others = [
        encoder(encoder_name="ge2e"),
        encoder(scenario=1),
        encoder(**{"Frozen.draws": 3}),
        encoder(**{"waveaug_params.aug_num": 4}),
        encoder(**{"waveaug_params.gain_p": 0.9}),
        dataclasses.replace(first, stats=None),
        dataclasses.replace(first, preprocessing=first.preprocessing.model_copy(update={"sample_rate": 8000})),
    ]
    assert len({first.key, *(other.key for other in others)}) == 1 + len(others)
    assert encoder().key == first.key
    plain = encoder(scenario=1)
    assert encoder(scenario=1, **{"Frozen.draws": 3, "waveaug_params.gain_p": 0.9}).key == plain.key


def test_the_views_of_a_segment_are_its_own(root: Path) -> None:
    experiment, model = configs(2)
    dataset = open_dataset(root, experiment)
    views = dataset.data.views
    assert isinstance(views, WaveViews)
    encoder = pool_encoders(views, experiment, complete_with_encoders(experiment, model))[0]
    (segment,) = dataset.data.store.read(np.array([2]))
    one, again, other = (encoder.embed(segment, number) for number in (2, 2, 3))
    assert np.array_equal(one, again)
    assert np.array_equal(one[0], other[0])
    assert len({row.tobytes() for row in np.concatenate([one, other[1:]])}) > len(one)  # some views change nothing
    assert not np.array_equal(one[1:], other[1:])


def test_the_moments_are_weighted() -> None:
    parts = [torch.randn(count, 2, generator=torch.Generator().manual_seed(count)) for count in (3, 5)]
    mean, deviation = weighted_moments(parts, [0.5, 0.1])
    rows, weights = torch.cat(parts).numpy(), np.repeat([0.5, 0.1], [3, 5])
    expected = np.average(rows, axis=0, weights=weights)
    assert mean.numpy() == pytest.approx(expected, rel=1e-5)
    variance = np.average((rows - expected) ** 2, axis=0, weights=weights)
    assert deviation.numpy() == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_what_is_not_installed_is_refused_before_work(root: Path, tmp_path: Path) -> None:
    for name, words in (
        ("speech-embedding", "encoder 'speech-embedding' is not installed"),
        (f"onnx:{tmp_path / 'absent.onnx'}", "absent.json: cannot be read"),
        (f"run:{tmp_path}", "not a run folder"),
    ):
        with pytest.raises((ConfigError, DataError), match=words):
            run_experiment(*configs(encoder_name=name), root, tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_a_strangers_run_opens_no_file_that_it_names(root: Path, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoders", sample_rate=RATE)
    experiment, model = configs(encoder_name=f"onnx:{path}")
    run_experiment(experiment, model, root, tmp_path)
    folder = tmp_path / "tiny" / "run-1"
    shutil.rmtree(encoders_folder())
    shutil.rmtree(root / "Tiny" / ".store")
    with pytest.raises(ConfigError, match="is not installed: fewshot-audio encoders add tiny --from-file FILE"):
        open_test(Run.read(folder), root, experiment)
    with pytest.raises(ConfigError, match="is not installed"):
        Recognizer.from_run(folder)


def test_a_trained_run_is_an_encoder_of_another(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = {"input_type": "wav", "specaug_params.use": False, "num_epochs": 1, "experiment_folder": "first"}
    run_experiment(*tiny_configs(wave), root, tmp_path)
    first = Run.read(tmp_path / "first" / "run-1")
    experiment, model = configs(encoder_name=["yamnet", f"run:{first.folder}"])
    dataset, model = embedded(root, experiment, model)
    network = first.trained_network().eval()
    waveforms = open_dataset(root, first.experiment)
    raw = torch.from_numpy(waveforms.data.store.read(np.arange(4)))
    with torch.no_grad():
        expected = network.embed(waveforms.data.views.plain(network, raw))[:, 0]
    rows = dataset.data.store.read(np.arange(4))[:, 0, WIDTH:]
    assert rows == pytest.approx(expected.numpy(), abs=2e-3 * float(expected.abs().max()))
    run_experiment(experiment, model, root, tmp_path)
    (name,) = installed_encoders().keys() - set(NAMES)
    assert name.startswith("run-")
    weights = torch.load(first.folder / "model.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in weights.items()}, first.folder / "model.pt")
    made: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("fewshot_audio.experiments.run_encoder.check_run", lambda run, name: made.append(name))
        patch.setattr("fewshot_audio.experiments.run_encoder.install", lambda checked: installed_encoders()["ge2e"])
        complete_with_encoders(*configs(encoder_name=f"run:{first.folder}"))  # other weights are another encoder
    assert len(made) == 1
    assert made[0] != name
    with pytest.raises(ConfigError, match="its network is layers on yamnet"):
        run_experiment(*configs(encoder_name=f"run:{tmp_path / 'tiny' / 'run-1'}"), root, tmp_path)


def test_a_recognizer_of_such_a_run_embeds_recordings(root: Path, tmp_path: Path) -> None:
    run_experiment(*configs(), root, tmp_path)
    folder: DatasetFolder = open_dataset(root, configs()[0]).folders.members[0]
    recognizer = Recognizer.from_run(tmp_path / "tiny" / "run-1", data_root=root)
    for name in ("class-20", "class-21"):
        clips = [np.load(clip)[0] for clip in sorted((folder.waveforms / name).glob("*.npy"))[:4]]
        recognizer.enroll(name, clips, rate=RATE)
    sound = np.load(sorted((folder.waveforms / "class-20").glob("*.npy"))[4])[0]
    before = recognizer.predict_proba((sound, RATE))
    recognizer.save(tmp_path / "bundle")
    assert np.array_equal(Recognizer.load(tmp_path / "bundle").predict_proba((sound, RATE)), before)
    shutil.rmtree(encoders_folder())
    with pytest.raises(DataError, match="is not installed"):
        Recognizer.load(tmp_path / "bundle")


def test_the_files_of_a_run_can_be_trained_again(root: Path, tmp_path: Path) -> None:
    run_experiment(*configs(), root, tmp_path)
    folder = tmp_path / "tiny" / "run-1"
    pair = read_configs(folder / "experiment_config.json", folder / "model_config.json")
    assert json.loads((folder / "model_config.json").read_text())["Frozen"]["definition"]
    assert run_experiment(*pair, root, tmp_path / "again").runs
