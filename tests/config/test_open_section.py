"""Sections of encoders and losses from outside, in the two files beside those of the built-in ones."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config import ExperimentConfig, ModelConfig, change_configs, check_configs, read_configs, validate
from fewshot_audio.config.keys import has_key, split_key, subsection
from fewshot_audio.config.losses import CONTRASTIVE_LOSSES, LossConfig
from fewshot_audio.config.model import ENCODERS, EncoderName
from fewshot_audio.errors import ConfigError
from tests.config.conftest import Write
from tests.parts import Bands, BandsConfig, HingeConfig
from tests.tiny import tiny_configs

BANDS, HINGE = "tests.parts:Bands", "tests.parts:Hinge"


def outside(**sections: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a pair with an encoder and a loss from outside, both registered by ``tests.parts``."""
    experiment, model = (config.model_dump() for config in tiny_configs({"loss.cpl.use": False}, scenario=4))
    experiment["encoder_name"] = BANDS
    experiment["loss"][HINGE] = {"use": True, "margin": 0.5}
    return experiment, model | sections


def both(**sections: Any) -> tuple[ExperimentConfig, ModelConfig]:
    experiment, model = outside(**sections)
    return validate(ExperimentConfig, experiment, "e.json"), validate(ModelConfig, model, "m.json")


def refusal(section: Any, values: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        validate(section, values, "m.json")
    return str(error.value).splitlines()


def test_a_section_from_outside_is_read_with_its_defaults() -> None:
    experiment, model = both(Bands={"hidden": 5})
    assert model.encoder(BANDS) == BandsConfig(hidden=5)
    assert model.out_dim(BANDS) == 8
    assert experiment.loss.used == [HINGE]
    assert experiment.contrastive == HINGE
    assert check_configs(experiment, model) == []


def test_a_loss_may_stand_under_its_registered_name() -> None:
    experiment, _ = outside()
    experiment["loss"]["Hinge"] = experiment["loss"].pop(HINGE)
    assert validate(ExperimentConfig, experiment, "e.json").contrastive == "Hinge"


def test_what_is_wrong_in_a_section_from_outside_is_told_beside_the_rest() -> None:
    _, model = outside(Bands={"hiden": 5, "bias": 1}, Surplus={}, CNN={"out_dim": 0})
    lines = refusal(ModelConfig, model)
    assert "m.json: missing key 'Bands.hidden'" in lines
    assert "m.json: unknown key 'Bands.hiden' (nearest known key: 'hidden')" in lines
    assert "m.json: key 'Bands.bias': Input should be a valid boolean (found 1)" in lines
    assert any(line.startswith("m.json: unknown key 'Surplus'") for line in lines)
    assert any(line.startswith("m.json: key 'CNN.out_dim'") for line in lines)
    assert len(lines) == 5


def test_a_reference_is_no_key_of_the_model_file() -> None:
    (line,) = refusal(ModelConfig, outside()[1] | {BANDS: {"hidden": 5}})
    assert line.startswith(f"m.json: unknown key '{BANDS}'")


def test_an_unnamed_loss_is_refused_in_its_place() -> None:
    lines = refusal(LossConfig, {"l_param": -1.0, "far.loss:Far": {"use": False}})
    assert any("key 'far.loss:Far': contrastive loss 'far.loss:Far' is code from outside" in line for line in lines)
    assert any("--plugin far" in line for line in lines)
    assert any("'l_param'" in line for line in lines)


def test_only_one_contrastive_loss_is_used() -> None:
    experiment, _ = outside()
    experiment["loss"]["cpl"]["use"] = experiment["loss"]["metric"]["use"] = True
    (line,) = refusal(ExperimentConfig, experiment)
    assert f"cpl.use and metric.use and {HINGE}.use are all true" in line


def test_a_missing_section_is_made_of_defaults_or_says_which_keys_have_none() -> None:
    _, model = both()
    with pytest.raises(ConfigError, match=f"no section 'Bands', which encoder '{BANDS}' needs for: hidden"):
        model.encoder(BANDS)


def test_equal_values_are_equal_configs_and_survive_writing_copying_and_pickling() -> None:
    experiment, model = both(Bands={"hidden": 5})
    assert (experiment, model) == both(Bands={"hidden": 5})
    assert model != both(Bands={"hidden": 6})[1]
    for config in (experiment, model):
        values = json.loads(json.dumps(config.model_dump()))
        standard = ModelConfig if isinstance(config, ModelConfig) else ExperimentConfig
        assert validate(standard, values, "again") == config
        assert standard.model_validate_json(config.model_dump_json()) == config
        assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert experiment.model_dump()["loss"][HINGE] == {"use": True, "margin": 0.5}
    assert model.model_dump()["Bands"] == {"out_dim": 8, "hidden": 5, "bias": True}
    assert model.model_copy(update={"members": 2}).model_dump()["Bands"]["hidden"] == 5


def test_keys_of_sections_from_outside_are_set_by_overrides(write: Write) -> None:
    files = write(*outside(Bands={"hidden": 5}))
    changes = [f"loss.{HINGE}.margin=0.9", "Bands.out_dim=12", "Bands.bias=false"]
    experiment, model = read_configs(*files, changes)
    assert getattr(experiment.loss, HINGE) == HingeConfig(use=True, margin=0.9)
    assert model.encoder(BANDS) == BandsConfig(hidden=5, out_dim=12, bias=False)
    with pytest.raises(ConfigError) as error:
        read_configs(*files, [f"loss.{HINGE}.margn=1", "Bands.hiden=2", "Band.hidden=2", "loss.far:Far.use=true"])
    message = str(error.value)
    assert "unknown key 'margn' (nearest known key: 'margin')" in message
    assert "unknown key 'hiden' (nearest known key: 'hidden')" in message
    assert "unknown key 'Band'" in message
    assert "--plugin far" in message


def test_changes_reach_sections_from_outside() -> None:
    pair = both(Bands={"hidden": 5})
    experiment, model = change_configs(*pair, {"Bands.hidden": 7, f"loss.{HINGE}.use": False}, "candidate 'x'")
    assert (model.encoder(BANDS), experiment.contrastive) == (BandsConfig(hidden=7), None)
    _, model = change_configs(*tiny_configs(), {"Bands": {"hidden": 3}, "encoder_name": BANDS}, "candidate 'x'")
    assert model.encoder(BANDS) == BandsConfig(hidden=3)


def test_the_encoder_of_an_override_is_loaded_before_its_options(tmp_path: Path, write: Write) -> None:
    """In a new process, in which the section is unknown until the encoder's module is imported."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "encoders.py").write_text(
        "from fewshot_audio.config.base import Section\n"
        "from fewshot_audio.config.model import register_encoder\n"
        "class LateConfig(Section):\n    out_dim: int = 4\n"
        "@register_encoder(LateConfig)\nclass Late:\n    pass\n"
    )
    files = write(*(config.model_dump() for config in tiny_configs()))
    work = (
        "import sys\nfrom pathlib import Path\nfrom fewshot_audio.config import read_configs\n"
        "files = [Path(name) for name in sys.argv[1:]]\n"
        "_, model = read_configs(*files, ['Late.out_dim=6', 'encoder_name=late.encoders:Late'])\n"
        "print(model.Late, 'torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "FEWSHOT_AUDIO_PLUGINS": "late"}
    done = subprocess.run(
        [sys.executable, "-c", work, *map(str, files)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "out_dim=6 False\n", done.stderr


def test_dotted_keys_are_split_at_dots_that_are_no_part_of_a_reference() -> None:
    assert split_key("lr") == ["lr"]
    assert split_key("loss.cpl.use") == ["loss", "cpl", "use"]
    assert split_key("loss.a.b:C") == ["loss", "a.b:C"]
    assert split_key("loss.a.b:C.use") == ["loss", "a.b:C", "use"]
    assert has_key(LossConfig, HINGE)
    assert subsection(LossConfig, HINGE) is HingeConfig
    assert not has_key(LossConfig, "Hing")
    assert subsection(LossConfig, "Hing") is None


def test_a_part_has_no_name_of_another_key() -> None:
    for registry, section in ((ENCODERS, ModelConfig), (CONTRASTIVE_LOSSES, LossConfig)):
        names = {name for name in section.model_fields if name not in registry.built_in}
        for name in {*names, "model_dump"}:
            with pytest.raises(ConfigError, match="the name is taken"):
                registry.register(BandsConfig, name=name)(Bands)


def test_the_registries_name_the_built_in_parts() -> None:
    assert sorted(ENCODERS.built_in) == sorted((*EncoderName.__args__, "ResNet8"))  # type: ignore[attr-defined]
    assert sorted(CONTRASTIVE_LOSSES.built_in) == ["angular", "cpl", "metric"]
    for registry, section in ((ENCODERS, ModelConfig), (CONTRASTIVE_LOSSES, LossConfig)):
        for name, part in registry.built_in.items():
            assert section.model_fields[name].annotation is part.section
            assert part.load().__name__ == part.target.partition(":")[2]  # type: ignore[union-attr]
