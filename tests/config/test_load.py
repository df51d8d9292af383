"""Reading the two files: what is wrong is refused, and the message says where and what was expected."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config import (
    ExperimentConfig,
    ModelConfig,
    WaveAugParams,
    check_configs,
    read_configs,
    read_json,
    validate,
)
from fewshot_audio.data.layout import find_dataset
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.run_experiment import run_experiment
from tests.config.conftest import SHIPPED, Write
from tests.config.keys import FILES, leaves, sections
from tests.tiny import FRAMES, MELS, NAME

Documented = dict[str, dict[str, Any]]
ALL_SECTIONS = [(file, path) for file, model in FILES.items() for path, _ in sections(model)]
ALL_KEYS = [(file, key) for file, model in FILES.items() for key in leaves(model)]
LATER = {
    *("seed", "test_seed", "n_validation_tasks", "num_runs", "data_root", "precision", "distance", "disjoint_groups"),
    *("episodes_per_step", "store_precision", "joint_sampling"),
    *("loss.cpl.reduction", "loss.angular.alpha"),
    "members",
    *(
        "loss.label_smoothing",
        "loss.classification_weight",
        "loss.pretraining_epochs",
        "score_scale",
        "embedding_transform",
    ),
    *(key for _, key in ALL_KEYS if key.startswith(("algorithm.", "input_augmentation.", "optimization."))),
    *(f"{encoder}.{key}" for encoder in ("CNN", "Hybrid") for key in ("pooling", "pool_last")),
    *(
        key
        for _, key in ALL_KEYS
        if key.startswith(("ResNet8.", "ResNet12.", "Pretrained.", "Frozen.", "loss.metric."))
    ),
    "waveaug_params.extra",
}
"""Keys that the documented files do not hold."""
OPTIONAL = {
    *LATER,
    *(key for file, key in ALL_KEYS if file == "model" or key.startswith(("loss.cpl.", "loss.angular."))),
    *(key for _, key in ALL_KEYS if key.startswith("waveaug_params.")),
}


def at(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The section at a path; one that may be absent becomes an empty one."""
    for name in path:
        values = values.setdefault(name, {})
    return values


def refused(write: Write, documented: Documented, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        read_configs(*write(documented["experiment"], documented["model"]), overrides)
    return str(error.value)


# The documented example


def test_the_documented_files_parse_and_hold_every_documented_key(documented: Documented) -> None:
    experiment, model = read_configs(SHIPPED / "experiment_config.json", SHIPPED / "model_config.json")
    given = {
        f"{'.'.join(path)}.{name}".lstrip(".")
        for path, _ in sections(ExperimentConfig)
        if not path or path[0] in documented["experiment"]
        for name, value in at(documented["experiment"], path).items()
        if not isinstance(value, dict)
    }
    assert given == set(leaves(ExperimentConfig)) - LATER
    network = model.model_dump()
    for section in ("CNN", "Hybrid"):
        assert documented["model"][section].pop("in_channels") == 1  # was removed since
    assert all(network[name] | section == network[name] for name, section in documented["model"].items())
    assert {f"{name}.{key}" for name, section in documented["model"].items() for key in section} == set(
        leaves(ModelConfig)
    ) - LATER
    documented["experiment"]["specaug_params"]["use"] = False
    read = experiment.model_dump()
    for key, value in documented["experiment"].items():
        if key != "loss":
            assert read[key] == (read[key] | value if isinstance(value, dict) else value)
    assert (experiment.loss.l_param, experiment.loss.cpl.m_param, experiment.loss.cpl.t_param) == (2.022308, 5, 9.2361)


def test_what_may_be_left_out_of_the_documented_files_has_their_values(documented: Documented) -> None:
    waveforms = validate(WaveAugParams, {}, "nothing").model_dump()
    assert waveforms | documented["experiment"]["waveaug_params"] == waveforms
    model = validate(ModelConfig, {}, "nothing").model_dump()
    derived = {"Attention": {"embed_dim"}, "Projection": {"input_dim"}, "Relation": {"input_dim", "out_dim"}}
    for name, section in documented["model"].items():
        given = {key: section[key] for key in section.keys() - derived.get(name, set()) - {"in_channels"}}
        assert {key: model[name][key] for key in given} == given


def test_the_documented_pair_is_refused_for_attention_without_views() -> None:
    pair = read_configs(SHIPPED / "experiment_config.json", SHIPPED / "model_config.json")
    with pytest.raises(ConfigError) as error:
        check_configs(*pair)
    assert "use_attention is true" in str(error.value)
    assert "specaug_params.use is false" in str(error.value)
    assert "set specaug_params.use=true, or use_attention=false" in str(error.value)


def test_the_documented_pair_trains_once_specaug_is_on(tiny_dataset: Path, tmp_path: Path) -> None:
    small = {f"n_{what}_{phase}": 3 for what in ("way", "shot") for phase in ("train", "validation", "test")}
    small |= {"num_epochs": 1, "num_runs": 1, "n_training_tasks": 1, "n_testing_tasks": 2}
    fits = ["specaug_params.W=15", "Hybrid.pool_dim=[2, 2]", f"dataset_name={NAME}", "device=cpu"]
    overrides = ["specaug_params.use=true", *fits, *(f"{key}={value}" for key, value in small.items())]
    experiment, model = read_configs(
        SHIPPED / "experiment_config.json", SHIPPED / "model_config.json", [*overrides, "precision=fp32"]
    )
    assert check_configs(experiment, model) == []
    results = run_experiment(experiment, model, tiny_dataset, tmp_path)
    assert results.runs[0].test.tasks == 2
    assert (tmp_path / "FSD_PROTO_PLAIN_CPL" / "run-1" / "model.pt").is_file()


@pytest.mark.parametrize("name", ["Tiny", "tiny", "TINY", "tINy"])
def test_dataset_names_in_any_case(tiny_dataset: Path, name: str) -> None:
    assert find_dataset(tiny_dataset, name).path == tiny_dataset / "Tiny"


def test_a_published_m_of_4_0_is_read_as_4(write: Write, documented: Documented) -> None:
    documented["experiment"]["loss"]["cpl"]["m_param"] = 4.0
    experiment, _ = read_configs(*write(documented["experiment"], documented["model"]))
    assert experiment.loss.cpl.m_param == 4
    assert isinstance(experiment.loss.cpl.m_param, int)


# Keys


@pytest.mark.parametrize(("file", "path"), ALL_SECTIONS, ids=str)
def test_an_unknown_key_is_refused_at_every_depth(
    file: str, path: tuple[str, ...], write: Write, documented: Documented
) -> None:
    at(documented[file], path)["zzzzzzzz"] = 1
    message = refused(write, documented)
    assert f"{file}.json: unknown key {'.'.join((*path, 'zzzzzzzz'))!r} (known keys: " in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(("file", "key"), ALL_KEYS, ids=str)
def test_a_misspelled_key_names_the_nearest(file: str, key: str, write: Write, documented: Documented) -> None:
    *path, name = key.split(".")
    for wrong in (f"{name}x", name.swapcase()):
        if wrong != name:
            section = dict(at(documented[file], tuple(path)))
            at(documented[file], tuple(path))[wrong] = section.get(name, 1)
            message = refused(write, documented)
            assert f"unknown key {'.'.join((*path, wrong))!r} (nearest known key: {name!r})" in message
            at(documented[file], tuple(path)).pop(wrong)


@pytest.mark.parametrize(("file", "key"), [pair for pair in ALL_KEYS if pair[1] not in OPTIONAL], ids=str)
def test_a_missing_key_is_named(file: str, key: str, write: Write, documented: Documented) -> None:
    *path, name = key.split(".")
    del at(documented[file], tuple(path))[name]
    message = refused(write, documented)
    assert message.endswith(f"{file}.json: missing key {key!r}")


def test_a_missing_section_is_named(write: Write, documented: Documented) -> None:
    del documented["experiment"]["loss"]
    assert "missing key 'loss'" in refused(write, documented)


def test_every_problem_is_listed_at_once(write: Write, documented: Documented) -> None:
    documented["experiment"] |= {"lr": -1, "n_way_train": "5", "patiense": 3}
    message = refused(write, documented)
    assert len(message.splitlines()) == 3
    for words in ("'lr'", "'n_way_train'", "'patiense' (nearest known key: 'patience')"):
        assert words in message


def test_the_problems_of_both_files_and_of_the_overrides_are_listed_together(
    write: Write, documented: Documented
) -> None:
    documented["experiment"] |= {"lr": "fast", "patiense": 3, "n_training_tasks": 100, "episodes_per_step": 7}
    documented["model"]["Hybrid"]["seq_type"] = "Transformer"
    documented["model"]["Projection"] |= {"input_dim": 65, "hiden_dim": 3}
    overrides = ["num_epoch=3", "lr", "specaug_params.use=false", "Attention.num_heads=0"]
    lines = refused(write, documented, *overrides).splitlines()
    expected = [
        "--set 'num_epoch=3': unknown key 'num_epoch' (nearest known key: 'num_epochs')",
        "--set 'lr': expected key=value",
        "experiment.json: key 'lr': ",
        "experiment.json: unknown key 'patiense'",
        "model.json: key 'Hybrid.seq_type': ",
        "model.json: key 'Attention.num_heads': ",
        "model.json: unknown key 'Projection.hiden_dim'",
        "use_attention is true, which needs views everywhere, but specaug_params.use is false",
        "Projection.input_dim is 65, expected 256 (Hybrid.out_dim 64 x 4 views), or leave it out",
        "n_training_tasks is 100, not a multiple of the 7 episodes of a step",
    ]
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert words in line


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, True),
        ({"lr": 0}, True),
        ({"Attention.num_heads": 0}, True),
        ({"Projection": None}, False),
        ({"Projection.input_dim": "wide"}, False),
        ({"loss": 3}, False),
        ({"Hybrid.out_dim": 0}, False),
        ({"encoder_name": "Hybird"}, False),
        ({"waveaug_params.aug_num": 0}, True),  # of waveforms, which are not read
        ({"waveaug_params.aug_num": 0, "input_type": "wav"}, False),
        ({"waveaug_params.extra": ["name"]}, True),
    ],
    ids=str,
)
def test_contradictions_are_told_beside_other_problems_unless_these_concern_them(
    wrong: dict[str, Any], told: bool, write: Write, documented: Documented
) -> None:
    documented["model"]["Projection"]["input_dim"] = 65
    overrides = [f"{key}={json.dumps(value)}" for key, value in wrong.items()]
    message = refused(write, documented, "no_key=1", *overrides)
    assert ("Projection.input_dim is 65, expected 256" in message) == told


def test_an_unreadable_file_does_not_hide_the_problems_of_the_other(write: Write, documented: Documented) -> None:
    for broken, whole in (("experiment", "model"), ("model", "experiment")):
        values = {broken: "{", whole: documented[whole] | {"surplus": 1}}
        with pytest.raises(ConfigError) as error:
            read_configs(*write(values["experiment"], values["model"]), ["num_epoch=3"])
        first, second, third = str(error.value).splitlines()
        assert f"{broken}.json: not JSON" in first
        assert second.startswith("--set 'num_epoch=3'")
        assert f"{whole}.json: unknown key 'surplus'" in third


# Types and ranges


def test_one_number_pools_both_axes(write: Write, documented: Documented) -> None:
    _, model = read_configs(*write(documented["experiment"], documented["model"]), ["CNN.pool_dim=3"])
    assert model.CNN.pool_dim == [3, 3]


@pytest.mark.parametrize(("file", "key"), [pair for pair in ALL_KEYS if pair[1] != "loss.metric.params"], ids=str)
def test_a_value_of_a_wrong_type_is_refused(file: str, key: str, write: Write, documented: Documented) -> None:
    *path, name = key.split(".")
    at(documented[file], tuple(path))[name] = {"a": 1}
    assert f"{file}.json: key {key!r}: " in refused(write, documented)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("n_way_train=5.0", "valid integer (found 5.0)"),
        ('n_way_train="5"', "valid integer (found '5')"),
        ("n_way_train=1", "greater than or equal to 2 (found 1)"),
        ("n_shot_test=0", "greater than or equal to 1 (found 0)"),
        ("use_attention=1", "valid boolean (found 1)"),
        ("lr=true", "valid number (found True)"),
        ("lr=0", "greater than 0 (found 0)"),
        ("lr=NaN", "finite number (found nan)"),
        ("lr=1e999", "finite number (found inf)"),
        (f"lr=1{'0' * 5000}", "valid number"),
        ("encoder_name=cnn", "there is no encoder 'cnn'"),
        ("tie_strategy=first", "'', 'min_label' or 'max_posterior' (found 'first')"),
        ("device=gpu", "'cuda', 'cpu' or 'auto' (found 'gpu')"),
        ("loss.cpl.m_param=4.5", "valid integer (found 4.5)"),
        ("loss.cpl.m_param=0", "greater than or equal to 1 (found 0)"),
        ("loss.cpl.t_param=0", "greater than 0 (found 0)"),
        ("loss.angular.angle=90", "less than 90 (found 90)"),
        ("loss.angular.alpha=0", "greater than 0 (found 0)"),
        ("loss=3", "expected an object (found 3)"),
        ("specaug_params=[1]", "expected an object (found [1])"),
        ("specaug_params.p=1.5", "less than or equal to 1 (found 1.5)"),
        ("specaug_params.W=-1", "greater than or equal to 0 (found -1)"),
        ("scheduler_milestones=[20, 20]", "milestones must increase (found [20, 20])"),
        ("scheduler_milestones=[0]", "greater than or equal to 1 (found 0)"),
        ("scheduler_milestones=20", "valid list (found 20)"),
        ("seed=-1", "greater than or equal to 0 (found -1)"),
        ("experiment_folder=../outside", "relative folder name without '..'"),
        ("experiment_folder=/absolute", "relative folder name without '..'"),
        ("experiment_folder=a/../../b", "relative folder name without '..'"),
        (r"experiment_folder=..\outside", "relative folder name without '..'"),
        (r"experiment_folder=C:\outside", "relative folder name without '..'"),
        ('experiment_folder="a\\u0000b"', "control characters"),
        ("experiment_folder=.", "relative folder name without '..'"),
        ("waveaug_params.min_gain_in_db=7", "min_gain_in_db (7.0) is greater than max_gain_in_db (6.0)"),
        ("waveaug_params.min_stretch_ratio=0", "greater than 0 (found 0)"),
        ("Hybrid.seq_type=Transformer", "'RNN', 'GRU' or 'LSTM' (found 'Transformer')"),
        ("CNN.pool_dim=[3]", "at least 2 items"),
        ("CNN.pool_dim=true", "valid list (found True)"),
        ("CNN.pool_dim=0", "greater than or equal to 1 (found 0)"),
        ("CNN.pool_dim=[3, 3, 3]", "at most 2 items"),
        ("CNN.in_channels=2", "only 1, its default, is still read (found 2)"),
        ("encoder_name=hf:", "(found 'hf:')"),
        ('Pretrained.definition={"config": {}}', "expected the objects 'config' and 'preprocessor'"),
        ("Attention.dropout=1", "less than 1 (found 1)"),
    ],
)
def test_types_and_ranges(override: str, words: str, write: Write, documented: Documented) -> None:
    key = override.partition("=")[0]
    message = refused(write, documented, override)
    assert words in message
    assert key.partition(".")[0] in message


def test_both_contrastive_losses_at_once_are_refused(write: Write, documented: Documented) -> None:
    assert "cpl.use and angular.use are both true" in refused(write, documented, "loss.angular.use=true")


# Files


def test_duplicate_keys_are_refused(write: Write, documented: Documented) -> None:
    text = json.dumps(documented["experiment"]).replace('"lr":', '"seed": 1, "seed": 2, "lr":')
    with pytest.raises(ConfigError, match=r"experiment\.json: key 'seed' appears twice"):
        read_configs(*write(text, documented["model"]))


def test_duplicate_keys_are_refused_inside_sections(write: Write, documented: Documented) -> None:
    text = json.dumps(documented["model"]).replace('"embed_dim":', '"dropout": 0.2, "embed_dim":')
    with pytest.raises(ConfigError, match=r"model\.json: key 'dropout' appears twice"):
        read_configs(*write(documented["experiment"], text))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(number: str, write: Write, documented: Documented) -> None:
    text = json.dumps(documented["experiment"]).replace('"lr": 0.0007', f'"lr": {number}')
    assert number in text
    with pytest.raises(ConfigError, match=r"experiment\.json: .*(finite|Infinity|NaN)"):
        read_configs(*write(text, documented["model"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "lr": 0.1,\n  "seed" 3\n}', "not JSON at line 3, column 10: Expecting ':' delimiter"),
        ('{\n  "lr": 0.1,\n}', "not JSON at line "),
        ("", "not JSON at line 1, column 1"),
        ("[1, 2]", "expected a JSON object, found list"),
        ("3", "expected a JSON object, found int"),
        (f'{{"seed": {"1" * 5000}}}', "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_json_is_refused_with_its_place(
    text: str, words: str, write: Write, documented: Documented
) -> None:
    experiment, model = write(text, documented["model"])
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        read_configs(experiment, model)
    assert str(experiment) in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read: No such file or directory$"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "latin.json").write_bytes('{"dataset_name": "é"}'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.json: cannot be read"):
        read_json(tmp_path / "latin.json")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        read_json(tmp_path)


def test_a_file_of_the_other_kind_is_named(tmp_path: Path, documented: Documented) -> None:
    experiment, model = tmp_path / "e.json", tmp_path / "m.json"
    experiment.write_text(json.dumps(documented["experiment"]))
    model.write_text(json.dumps(documented["model"]))
    with pytest.raises(ConfigError, match=r"^.*m\.json: this is a model file, expected an experiment file \(-e names"):
        read_configs(model, experiment)
    with pytest.raises(ConfigError, match=r"^.*e\.json: this is an experiment file, expected a model file"):
        read_configs(experiment, experiment)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"seed": 3}')
    assert read_json(tmp_path / "bom.json") == {"seed": 3}


def test_validate_opens_each_line_with_where(documented: Documented) -> None:
    with pytest.raises(ConfigError) as error:
        validate(ModelConfig, documented["model"] | {"CNN": {}, "Extra": 1}, "somewhere")
    assert all(line.startswith("somewhere: ") for line in str(error.value).splitlines())


# Overrides


def test_overrides_of_both_files(write: Write, documented: Documented) -> None:
    overrides = [
        *("lr=0.5", "loss.cpl.use=false", "scheduler_milestones=[1, 2]", "CNN.out_dim=32"),
        *('Hybrid={"in_channels": 1, "hidden_channels": 8, "pool_dim": [2, 2], "out_dim": 8, "seq_layers": 2,'
         ' "seq_type": "GRU", "bidirectional": true}', "dataset_name=my sounds", 'experiment_folder="quoted"'),
        *("n_validation_tasks=7", "n_validation_tasks=null", "tie_strategy=", "data_root=/a=b"),
    ]  # fmt: skip
    experiment, model = read_configs(*write(documented["experiment"], documented["model"]), overrides)
    assert experiment.lr == 0.5
    assert experiment.loss.cpl.use is False
    assert experiment.loss.cpl.m_param == 5
    assert experiment.scheduler_milestones == [1, 2]
    assert (model.CNN.out_dim, model.Hybrid.seq_type, model.Attention.embed_dim) == (32, "GRU", 64)
    assert (experiment.dataset_name, experiment.experiment_folder) == ("my sounds", "quoted")
    assert experiment.n_validation_tasks is None  # the later override counts
    assert experiment.tie_strategy == ""
    assert experiment.data_root == "/a=b"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lr", "expected key=value or key.sub=value"),
        ("=3", "expected key=value or key.sub=value"),
        ("loss..use=true", "expected key=value or key.sub=value"),
        ("learning_rate=3", "unknown key 'learning_rate'"),
        ("num_epoch=3", "unknown key 'num_epoch' (nearest known key: 'num_epochs')"),
        ("projection.input_dim=3", "unknown key 'projection' (nearest known key: 'Projection')"),
        ("loss.cpl.m_parm=3", "unknown key 'm_parm' (nearest known key: 'm_param')"),
        ("Hybrid.seq_typ=GRU", "unknown key 'seq_typ' (nearest known key: 'seq_type')"),
        ("lr.sub=3", "'lr' has no keys below it"),
        ("loss.cpl.use.deep=3", "'loss.cpl.use' has no keys below it"),
        ("seed.deep.er=3", "'seed' has no keys below it"),
    ],
)
def test_overrides_that_are_refused(override: str, words: str, write: Write, documented: Documented) -> None:
    message = refused(write, documented, override)
    assert message.startswith(f"--set {override!r}: ")
    assert words in message


def test_an_override_repairs_a_wrong_value_but_not_an_unknown_key(write: Write, documented: Documented) -> None:
    documented["experiment"]["lr"] = "fast"
    paths = write(documented["experiment"], documented["model"])
    assert read_configs(*paths, ["lr=0.1"])[0].lr == 0.1
    documented["experiment"]["loss"] = None
    assert "'loss' is not an object in the file" in refused(write, documented, "loss.cpl.use=false")


def test_the_tiny_dataset_is_as_large_as_the_tests_assume(tiny_dataset: Path) -> None:
    assert (MELS, FRAMES) == (16, 32)
    assert len(list((tiny_dataset / "Tiny" / "features").iterdir())) == 24
