"""Pretrained encoders: weights that are read and kept, gradients, modes, precision, and strangers' folders refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import transformers
from torch.testing import assert_close

from fewshot_audio.config import check_configs
from fewshot_audio.config.model import PretrainedConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.build import complete_model
from fewshot_audio.models.huggingface import LEVEL, PretrainedEncoder, check_segment
from fewshot_audio.models.huggingface_files import read_definition
from tests.models.tiny_pretrained import KINDS, MORE_KINDS, write_pretrained
from tests.tiny import tiny_configs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind."""
    root = tmp_path_factory.mktemp("pretrained")
    for kind in (*KINDS, *MORE_KINDS):
        write_pretrained(root / kind, kind)
    return root


def load(folder: Path, **config: Any) -> PretrainedEncoder:
    definition = read_definition(f"hf:{folder}")
    encoder = PretrainedEncoder(f"hf:{folder}", PretrainedConfig(**{"out_dim": 5, "definition": definition, **config}))
    encoder.load_pretrained()
    return encoder


def waveforms(rate: int, n: int = 3, seconds: float = 1.0) -> torch.Tensor:
    return torch.randn(n, round(rate * seconds), generator=torch.Generator().manual_seed(0))


def reference(folder: Path, kind: str, x: torch.Tensor, rate: int) -> torch.Tensor:
    """What transformers itself says of the waveforms, as its documentation does it."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        if kind.startswith("clap"):
            model: Any = transformers.ClapModel.from_pretrained(folder).audio_model.eval()
            inputs = extractor([row.numpy() for row in x * LEVEL], sampling_rate=rate, return_tensors="pt")
            features = inputs["input_features"].float()
            return model(features, is_longer=torch.zeros(len(x), 1, dtype=torch.bool)).pooler_output
        inputs = extractor([row.numpy() for row in x * LEVEL], sampling_rate=rate, return_tensors="pt")
        if kind == "whisper":
            model = transformers.WhisperModel.from_pretrained(folder).encoder.eval()
            return model(inputs["input_features"]).last_hidden_state[:, :50].mean(1)  # 1 s of 2 s in 100 steps
        model = transformers.AutoModel.from_pretrained(folder).eval()
        output = model(inputs["input_values"])
        return output.pooler_output if kind == "ast" else output.last_hidden_state.mean(1)


@pytest.mark.parametrize("kind", [*KINDS, *MORE_KINDS])
def test_equals_what_transformers_computes(folders: Path, kind: str) -> None:
    encoder = load(folders / kind).eval()
    assert encoder.sample_rate == (48_000 if kind.startswith("clap") else 16_000)
    x = waveforms(encoder.sample_rate)
    expected = encoder.linear(reference(folders / kind, kind, x, encoder.sample_rate))
    with torch.no_grad():
        actual = encoder(x)
    assert actual.shape == (3, 5)
    assert actual.std() > 1e-3
    assert_close(actual, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["ast", "clap", "wavlm", "whisper"])
@pytest.mark.parametrize("freeze", [True, False], ids=["frozen", "tuned"])
def test_a_step_moves_what_is_not_frozen(folders: Path, kind: str, freeze: bool) -> None:
    encoder = load(folders / kind, freeze=freeze)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    trainable = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=0.01)
    torch.manual_seed(0)
    for _ in range(3):  # a layer may be dropped in one of them
        optimizer.zero_grad()
        encoder(waveforms(encoder.sample_rate)).square().sum().backward()
        optimizer.step()
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert {"linear.weight", "linear.bias"} <= moved
    pretrained = {name for name in moved if name.startswith("backbone.")}
    if freeze:
        assert not pretrained  # statistics of batch norm, too
    else:
        assert len(pretrained) > len(before) / 2


@pytest.mark.parametrize("kind", ["clap", "wavlm"])
def test_a_frozen_encoder_is_deterministic_in_training_and_a_tuned_one_is_not(folders: Path, kind: str) -> None:
    x = waveforms(48_000 if kind == "clap" else 16_000)
    frozen, tuned = load(folders / kind).train(), load(folders / kind, freeze=False).train()
    assert frozen.training
    assert not any(module.training for module in frozen.backbone.modules())
    assert all(module.training for module in tuned.backbone.modules())
    torch.manual_seed(0)
    assert torch.equal(frozen(x), frozen(x))
    assert not torch.equal(tuned(x), tuned(x))
    assert torch.equal(
        load(folders / kind).backbone.eval()(*inputs(frozen, x))[0], frozen.backbone(*inputs(frozen, x))[0]
    )


def inputs(encoder: PretrainedEncoder, x: torch.Tensor) -> tuple[Any, ...]:
    features = encoder.front_end(x * LEVEL)
    return (features, torch.zeros(len(x), 1, dtype=torch.bool)) if features.ndim == 4 else (features,)


def test_bf16_is_only_used_where_asked_for(folders: Path) -> None:
    encoder = load(folders / "ast").eval()
    x = waveforms(16_000)
    plain = encoder(x)
    encoder.precision = "bf16"
    rough = encoder(x)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, plain)
    assert_close(rough, plain, atol=0.05, rtol=0.05)


def test_half_precision_weights_are_read_as_float32(folders: Path, tmp_path: Path) -> None:
    transformers.ASTForAudioClassification.from_pretrained(folders / "ast").half().save_pretrained(tmp_path)
    shutil.copy(folders / "ast" / "preprocessor_config.json", tmp_path)
    assert {value.dtype for value in load(tmp_path).parameters()} == {torch.float32}


def test_definition_is_enough_without_the_folder(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "clap", tmp_path / "gone")
    experiment, model = tiny_configs({"encoder_name": f"hf:{tmp_path / 'gone'}", "input_type": "wav"})
    model = complete_model(experiment.encoder_name, model)
    trained = load(tmp_path / "gone").eval()
    shutil.rmtree(tmp_path / "gone")
    kept = type(model).model_validate_json(model.model_dump_json()).Pretrained.model_copy(update={"out_dim": 5})
    again = PretrainedEncoder(experiment.encoder_name, kept).eval()
    again.load_state_dict(trained.state_dict())
    assert torch.equal(again(waveforms(48_000)), trained(waveforms(48_000)))
    with pytest.raises(ConfigError, match="there is no folder"):
        again.load_pretrained()


def test_processor_config_is_read_where_the_extractor_is_kept_in_it(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "clap", tmp_path / "clap")
    settings = json.loads((tmp_path / "clap" / "preprocessor_config.json").read_text())
    (tmp_path / "clap" / "preprocessor_config.json").unlink()
    (tmp_path / "clap" / "processor_config.json").write_text(json.dumps({"feature_extractor": settings}))
    assert read_definition(f"hf:{tmp_path / 'clap'}") == read_definition(f"hf:{folders / 'clap'}")


def test_nothing_of_a_stranger_runs(folders: Path, tmp_path: Path) -> None:
    """Code beside the weights, pickled weights, and keys that choose other code are never used."""
    folder = shutil.copytree(folders / "hubert", tmp_path / "foreign")
    (folder / "modeling.py").write_text("raise SystemExit('executed')")
    config = json.loads((folder / "config.json").read_text())
    hostile = {
        "auto_map": {"AutoModel": "modeling.Model"},
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "someone"},
    }
    (folder / "config.json").write_text(json.dumps(config | hostile))
    weights, expected = (load(source).backbone.state_dict() for source in (folder, folders / "hubert"))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        load(folder)


def edited(folders: Path, target: Path, file: str, kind: str = "ast", **changes: Any) -> Path:
    folder = shutil.copytree(folders / kind, target / "edited", dirs_exist_ok=True)
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(values | changes))
    return folder


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"model_type": "bert"}, "model_type is 'bert'; the known audio encoders are"),
        ("config.json", {"hidden_size": "many"}, "not usable as an audio encoder"),
        ("config.json", {"hidden_size": 24}, "not usable as an audio encoder"),
        ("config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, expected at most 200"),
        ("config.json", {"num_hidden_layers": 3}, r"the weights lack 1\d of this encoder"),
        ("preprocessor_config.json", {"num_mel_bins": "few"}, "not usable as an audio encoder"),
        ("preprocessor_config.json", {"sampling_rate": None}, "not usable as an audio encoder"),
    ],
    ids=["foreign", "type", "shape", "endless", "layers", "bins", "rate"],
)
def test_contradictory_folders_are_refused(
    folders: Path, tmp_path: Path, file: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(edited(folders, tmp_path, file, **changes))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_missing_files_are_named(folders: Path, tmp_path: Path, file: str) -> None:
    folder = shutil.copytree(folders / "wav2vec2", tmp_path / "part")
    (folder / file).unlink()
    with pytest.raises(ConfigError, match=file):
        load(folder)


def test_damaged_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "wav2vec2", tmp_path / "damaged")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigError, match="not usable"):
        load(folder)


def segment_check(folder: Path, seconds: float, rate: int = 16_000) -> None:
    name = f"hf:{folder}"
    check_segment(name, read_definition(name), round(seconds * rate), rate)


@pytest.mark.parametrize(("kind", "most"), [("ast", 1.055), ("clap", 2.0), ("whisper", 2.0)])
def test_segments_longer_than_the_encoder_takes_are_refused(folders: Path, kind: str, most: float) -> None:
    segment_check(folders / kind, most)
    segment_check(folders / kind, most / 2, rate=22_050)
    with pytest.raises(ConfigError, match=rf"takes at most {most:g} s, but a segment has 3 s.*--segment-seconds"):
        segment_check(folders / kind, 3.0)


def test_segments_shorter_than_a_step_are_refused(folders: Path) -> None:
    with pytest.raises(ConfigError, match="not usable"):
        segment_check(folders / "wav2vec2", 0.001)


def test_a_preprocessor_of_another_model_is_refused_before_work(folders: Path, tmp_path: Path) -> None:
    folder = edited(folders, tmp_path, "preprocessor_config.json", num_mel_bins=24)
    with pytest.raises(ConfigError, match="not usable as an audio encoder"):
        segment_check(folder, 1.0)


def test_checking_leaves_the_global_generator_alone(folders: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    segment_check(folders / "ast", 1.0)
    assert torch.equal(torch.rand(1), expected)


def test_an_id_that_is_not_cached_says_so_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no folder someone/model; as a model id it is not in the local cache"):
        read_definition("hf:someone/model")


def test_an_id_is_read_from_the_local_cache(folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    stored, commit = tmp_path / "models--someone--model", "0" * 40
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text(commit)
    shutil.copytree(folders / "ast", stored / "snapshots" / commit)
    assert read_definition("hf:someone/model") == read_definition(f"hf:{folders / 'ast'}")


@pytest.mark.parametrize("name", ["hf:no/such/folder/here", "hf:../up", "hf:a b"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        read_definition(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "set input_type=wav"),
        ({"input_type": "wav", "input_augmentation.shift": 0.3}, "input_augmentation changes spectrograms"),
    ],
    ids=["input", "augmentation"],
)
def test_what_works_on_spectrograms_is_refused(folders: Path, changes: dict[str, Any], message: str) -> None:
    name = f"hf:{folders / 'ast'}"
    with pytest.raises(ConfigError, match=message):
        check_configs(*tiny_configs({"encoder_name": name, "Pretrained.out_dim": 8, **changes}))


def test_without_transformers_the_extra_is_named(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'fewshot-audio\[hf\]'"):
        load(folders / "hubert")


@pytest.mark.parametrize("kind", [*KINDS, *MORE_KINDS])
def test_can_be_built_without_memory_and_given_its_weights(folders: Path, kind: str) -> None:
    """As a recognizer's bundle is read: nothing that inference needs is outside the state dict or the config."""
    encoder = load(folders / kind).eval()
    config = PretrainedConfig(out_dim=5, definition=read_definition(f"hf:{folders / kind}"))
    with torch.device("meta"):
        built = PretrainedEncoder("hf:gone", config).eval()
    built.load_state_dict(encoder.state_dict(), assign=True)
    x = waveforms(encoder.sample_rate or 0)
    with torch.no_grad():
        assert torch.equal(built(x), encoder(x))


def test_without_its_definition_nothing_is_looked_up(folders: Path) -> None:
    with pytest.raises(ConfigError, match=r"Pretrained\.definition is missing"):
        PretrainedEncoder(f"hf:{folders / 'ast'}", PretrainedConfig())
