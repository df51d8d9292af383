"""What the two files say together, and to the data: contradictions are refused with the numbers, before any work."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio.config import (
    PHASES,
    Phase,
    check_classes,
    check_configs,
    check_input,
)
from fewshot_audio.errors import ConfigError, FewShotError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.models.build import build_network
from tests.tiny import FRAMES, MELS, tiny_configs

Check = Callable[..., object]


def refusal(check: Check, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as error:
        check(*arguments)
    return str(error.value)


# Widths


@pytest.mark.parametrize("encoder", ["CNN", "Hybrid"])
@pytest.mark.parametrize("scenario", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("relation", [False, True])
def test_configs_that_pass_build_networks_whose_widths_fit(scenario: int, encoder: Any, relation: bool) -> None:
    experiment, model = tiny_configs({"relation_head": relation}, scenario=scenario, encoder=encoder)
    assert check_configs(experiment, model) == []
    network = build_network(experiment, model, MELS, FRAMES).eval()
    rows = network.fuse(network.encode(torch.zeros(8, MELS, FRAMES)).view(2, 4, -1)).flatten(0, 1)
    assert network.score(rows[:2], rows).shape == (len(rows), 2)
    if network.projection is not None:
        assert network.projection(rows).shape == rows.shape


@pytest.mark.parametrize(("scenario", "width"), [(4, 8), (5, 32)])
def test_projection_input_is_the_embedding_width(scenario: int, width: int) -> None:
    changes = {"Projection.input_dim": 40 - width}
    message = refusal(check_configs, *tiny_configs(changes, scenario=scenario))
    assert f"Projection.input_dim is {40 - width}, expected {width} (Hybrid.out_dim 8" in message
    assert ("x 4 views" in message) == (scenario == 5)
    changes["use_contrastive"] = False  # then there is no projection head
    check_configs(*tiny_configs(changes, scenario=scenario))


@pytest.mark.parametrize(("scenario", "width"), [(1, 8), (3, 32)])
def test_relation_input_is_twice_the_embedding_width(scenario: int, width: int) -> None:
    changes: dict[str, Any] = {"Relation.input_dim": width}
    check_configs(*tiny_configs(changes, scenario=scenario))  # no relation head, nothing to say
    message = refusal(check_configs, *tiny_configs(changes | {"relation_head": True}, scenario=scenario))
    assert f"Relation.input_dim is {width}, expected {2 * width} (2 x {width}; Hybrid.out_dim 8" in message


def test_projection_output_is_the_embedding_width_where_prototypes_are_not_projected() -> None:
    changes: dict[str, Any] = {"Projection.output_dim": 5}
    check_configs(*tiny_configs(changes, scenario=5))
    message = refusal(check_configs, *tiny_configs(changes | {"project_prototypes": False}, scenario=5))
    assert (
        "Projection.output_dim is 5, expected 32 (Hybrid.out_dim 8 x 4 views): project_prototypes is false" in message
    )


def test_attention_is_as_wide_as_the_encoder() -> None:
    message = refusal(check_configs, *tiny_configs({"Attention.embed_dim": 16}, scenario=3, encoder="CNN"))
    assert "Attention.embed_dim is 16, expected CNN.out_dim = 8" in message
    message = refusal(check_configs, *tiny_configs({"Attention.num_heads": 3}, scenario=3))
    assert "Attention.num_heads (3) does not divide embed_dim (8)" in message
    check_configs(*tiny_configs({"Attention.embed_dim": 16, "Attention.num_heads": 3}))  # no attention


def test_all_contradictions_are_listed_one_a_line() -> None:
    changes = {"Projection.input_dim": 1, "Attention.embed_dim": 16, "loss.cpl.m_param": 9, "specaug_params.use": False}
    assert len(refusal(check_configs, *tiny_configs(changes, scenario=5)).splitlines()) == 4


# Attention and views


@pytest.mark.parametrize("phase", PHASES)
def test_attention_needs_views_in_every_phase(phase: Phase) -> None:
    key = f"{phase}_query_augmentations"
    message = refusal(check_configs, *tiny_configs({key: False}, scenario=3))
    assert f"{key} is false: set {key}=true, or use_attention=false" in message


def test_attention_without_any_views_names_everything_to_set() -> None:
    changes = {"specaug_params.use": False} | {f"{phase}_query_augmentations": False for phase in PHASES}
    message = refusal(check_configs, *tiny_configs(changes, scenario=3))
    assert "are false: set specaug_params.use=true and train_query_augmentations=true and " in message
    assert message.endswith("test_query_augmentations=true, or use_attention=false")


def test_attention_names_the_augmentation_of_the_input_type() -> None:
    message = refusal(check_configs, *tiny_configs({"input_type": "wav"}, scenario=3))
    assert "waveaug_params.use is false: set waveaug_params.use=true" in message


# Contrastive losses


@pytest.mark.parametrize(
    ("scenario", "changes", "largest"),
    [
        (4, {}, 2),  # two queries a class
        (4, {"n_query_train": 7}, 7),
        (4, {"specaug_params.use": True, "train_query_augmentations": True}, 8),  # times four views
        (5, {}, 2),  # attention makes one row of the views
    ],
)
def test_m_larger_than_the_query_rows_names_the_largest(scenario: int, changes: dict[str, Any], largest: int) -> None:
    check_configs(*tiny_configs(changes | {"loss.cpl.m_param": largest}, scenario=scenario))
    message = refusal(check_configs, *tiny_configs(changes | {"loss.cpl.m_param": largest + 1}, scenario=scenario))
    assert f"loss.cpl.m_param is {largest + 1}, but a class has {largest} query rows" in message
    assert f"the largest possible value is {largest}" in message


def test_m_is_not_checked_where_cpl_is_not_used() -> None:
    check_configs(*tiny_configs({"loss.cpl.m_param": 50}, scenario=4, loss="angular"))
    check_configs(*tiny_configs({"loss.cpl.m_param": 50}))


@pytest.mark.parametrize(
    ("scenario", "changes", "words"),
    [
        (4, {"loss.cpl.use": False}, "use_contrastive is true, but neither loss.cpl.use nor loss.angular.use"),
        (1, {"loss.cpl.use": True}, "loss.cpl.use is true, but use_contrastive is false: prototypical loss only"),
        (1, {"loss.angular.use": True}, "loss.angular.use is true, but use_contrastive is false"),
    ],
)
def test_contrastive_switches_that_disagree_warn_and_train_without(
    scenario: int,
    changes: dict[str, Any],
    words: str,
    tiny_dataset: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    experiment, model = tiny_configs(changes | {"num_epochs": 1}, scenario=scenario)
    (warning,) = check_configs(experiment, model)
    assert words in warning
    with caplog.at_level(logging.WARNING, "fewshot_audio"):
        run_experiment(experiment, model, tiny_dataset, tmp_path)
    assert warning in caplog.messages
    trained = torch.load(tmp_path / "tiny" / "run-1" / "model.pt", weights_only=True)
    assert not [name for name in trained if name.startswith("projection")]


def test_query_flags_without_augmentation_warn() -> None:
    (warning,) = check_configs(*tiny_configs({"test_query_augmentations": True, "train_query_augmentations": True}))
    assert "train_query_augmentations, test_query_augmentations have no effect" in warning


# Classes and clips


def clips(changes: dict[str, dict[str, int]] | None = None) -> dict[Phase, dict[str, int]]:
    return {phase: {"ant": 12, "bee": 12, "cow": 12} | (changes or {}).get(phase, {}) for phase in PHASES}


def test_exactly_enough_classes_and_clips_pass() -> None:
    experiment, _ = tiny_configs({f"n_shot_{phase}": 10 for phase in PHASES})
    check_classes(experiment, clips())


@pytest.mark.parametrize("phase", PHASES)
def test_more_ways_than_classes(phase: Phase) -> None:
    experiment, _ = tiny_configs({f"n_way_{phase}": 4})
    assert refusal(check_classes, experiment, clips()) == (f"n_way_{phase} is 4, but the {phase} split has 3 classes")


@pytest.mark.parametrize("phase", PHASES)
def test_the_smallest_class_is_named(phase: Phase) -> None:
    experiment, _ = tiny_configs({f"n_shot_{phase}": 3})
    message = refusal(check_classes, experiment, clips({phase: {"bee": 4, "cow": 5}}))
    assert message == (
        f"n_shot_{phase} + n_query_{phase} is 5 clips per class, but the {phase} split has smaller classes: 'bee' (4)"
    )


def test_many_small_classes_are_counted() -> None:
    experiment, _ = tiny_configs()
    message = refusal(check_classes, experiment, clips({"test": {f"class {i}": i % 4 for i in range(9)}}))
    assert "'class 0' (0), 'class 4' (0), 'class 8' (0), 'class 1' (1), 'class 5' (1) and 4 more" in message


# The size of a segment


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ([2, 2], None),
        ([3, 1], "Hybrid.pool_dim: four poolings by 3 need 81 mel bins, but a segment has 16, expected at most 2"),
        ([1, 3], "Hybrid.pool_dim: four poolings by 3 need 81 frames, but a segment has 32, expected at most 2"),
        ([9, 2], "Hybrid.pool_dim: four poolings by 9 need 6561 mel bins, but a segment has 16, expected at most 2"),
    ],
)
def test_four_poolings_leave_something(pool: list[int], message: str | None) -> None:
    experiment, model = tiny_configs({"Hybrid.pool_dim": pool, "CNN.pool_dim": [9, 9]})
    if message is None:
        check_input(experiment, model, MELS, FRAMES)
        build_network(experiment, model, MELS, FRAMES)
    else:
        assert refusal(check_input, experiment, model, MELS, FRAMES) == message


def test_the_warp_is_shorter_than_half_a_segment() -> None:
    for warp, passes in ((15, True), (16, False)):
        experiment, model = tiny_configs({"specaug_params.W": warp}, scenario=2)
        if passes:
            check_input(experiment, model, MELS, FRAMES)
        else:
            message = refusal(check_input, experiment, model, MELS, FRAMES)
            assert message == "specaug_params.W is 16, but must be less than half of the 32 frames of a segment"
    check_input(*tiny_configs({"specaug_params.W": 99}), MELS, FRAMES)  # augmentation is off


# All of this comes before any work


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"specaug_params.use": False}, "use_attention is true"),
        ({"Relation.input_dim": 3, "relation_head": True}, "Relation.input_dim is 3"),
        ({"n_way_test": 8}, "n_way_test is 8, but the test split has 7 classes"),
        ({"n_shot_train": 11}, "'class-00' (12)"),
        ({"Hybrid.pool_dim": [3, 3]}, "four poolings by 3"),
        ({"specaug_params.W": 16}, "specaug_params.W is 16"),
        ({"dataset_name": "Tinny"}, "nearest: 'Tiny'"),
        ({"input_type": "wav", "waveaug_params.use": True}, "wav"),
    ],
)
def test_nothing_is_written_or_deleted_when_refused(
    changes: dict[str, Any], words: str, tiny_dataset: Path, tmp_path: Path
) -> None:
    experiment, model = tiny_configs(changes, scenario=5)
    with pytest.raises(FewShotError) as error:
        run_experiment(experiment, model, tiny_dataset, tmp_path / "out")
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()
    former = tmp_path / "former" / "tiny" / "results.json"
    former.parent.mkdir(parents=True)
    former.write_text("{}")
    with pytest.raises(FewShotError):
        run_experiment(experiment, model, tiny_dataset, tmp_path / "former", overwrite=True)
    assert former.read_text() == "{}"
