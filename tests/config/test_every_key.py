"""For every key of both files: changing it changes the behavior that it documents.

What is asserted on are episodes, tensors, files and scores, never the parsed config. A key without a row fails.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.config import PHASES, ExperimentConfig, ModelConfig
from fewshot_audio.errors import ConfigError, FewShotError
from fewshot_audio.experiments.frozen_encoders import pool_encoders
from fewshot_audio.models.build import build_network
from fewshot_audio.models.views import WaveViews
from tests.config import probes
from tests.config.bench import Bench, parameters, plain
from tests.config.input_rows import INPUT_ROWS
from tests.config.keys import leaves
from tests.config.option_rows import OPTION_ROWS
from tests.config.probes import (
    architecture,
    episode_count,
    episode_size,
    epoch_moves,
    epoch_steps,
    losses,
    machine,
    masks,
    rows_of,
    scores,
    views,
    whole,
)
from tests.config.rows import Expectation, Refusal, Row, as_, differ, so_that, the_value
from tests.config.waveform_rows import WAVEFORM_ROWS
from tests.oracles.vote import vote as naive_vote
from tests.tiny import FRAMES, MELS, tiny_configs
from tests.tiny_encoders import describe


def shaped(*shapes: Callable[[Any], Any]) -> Expectation:
    """The weights have shapes that follow from the value, and what they lead to differs."""

    def expectation(seen: list[Any], values: tuple[Any, ...]) -> None:
        differ([observed for _, observed in seen], values)
        assert [actual for actual, _ in seen] == [[shape(value) for shape in shapes] for value in values]

    return expectation


def first_step_is_the_rate(seen: list[Any], values: tuple[Any, ...]) -> None:
    """Adam's first step moves a parameter by the learning rate."""
    for (moved,), rate in zip(seen, values, strict=True):
        assert moved == pytest.approx(rate, rel=1e-3)


def ties_differ(seen: list[Any], values: tuple[Any, ...]) -> None:
    """The strategies decide ties, each in its way, and nothing else."""
    counts = torch.stack([(seen[0].scores.argmax(-1) == c).logical_and(seen[0].valid).sum(-1) for c in range(3)], -1)
    tied = (counts == counts.amax(-1, keepdim=True)).sum(-1) > 1
    assert tied.any()
    assert (~tied).any()
    for actual, strategy in zip(seen, values, strict=True):
        assert torch.equal(actual.scores, seen[0].scores)
        for place in tied.nonzero().tolist():
            index = tuple(place)
            ballots = actual.scores[index].tolist(), actual.valid[index].tolist()
            assert actual.decisions[index] == naive_vote(*ballots, strategy)
        assert torch.equal(actual.decisions[~tied], seen[0].decisions[~tied])
    differ([actual.decisions for actual in seen], values)
    differ([actual.accuracy for actual in seen], values)


def seed_moves_training_not_tests(seen: list[Any], values: tuple[Any, ...]) -> None:
    one, two = (plain(actual) for actual in seen)
    assert one["train"] != two["train"]
    assert one["validation"] != two["validation"]
    assert one["test"] == two["test"]
    assert one["weights"][1] == two["weights"][0]  # run i uses seed + i
    assert one["weights"][0] not in two["weights"]


def only_tests_move(seen: list[Any], values: tuple[Any, ...]) -> None:
    one, two = (plain(actual) for actual in seen)
    assert one["test"] != two["test"]
    for same in ("train", "validation", "weights"):
        assert one[same] == two[same]


def only_one_score(seen: list[Any], values: tuple[Any, ...]) -> None:
    (shapes, made), refused = seen
    assert shapes == [(1, 8)]
    assert made.shape == (6, 3)  # one per query row and class
    assert isinstance(refused, Refusal)
    assert "out_dim" in refused.message


def one_of_both(seen: list[Any], values: tuple[Any, ...]) -> None:
    """bf16 trains other weights than fp32; auto is one of them."""
    fp32, bf16, auto = (plain(actual) for actual in seen)
    assert fp32 != bf16
    assert auto in (fp32, bf16)


VIEWS = {"train_query_augmentations": True, "specaug_params.use": True}
CPL: dict[str, Any] = {"scenario": 4}
ANGULAR: dict[str, Any] = {"scenario": 4, "loss": "angular"}
METRIC = {"loss.cpl.use": False, "loss.metric.use": True}
UNPROJECTED = {"project_prototypes": False}
ONE_STEP_AN_EPOCH = {"n_training_tasks": 1}
RELATION = {"relation_head": True}

EXPERIMENT_ROWS = [
    Row("encoder_name", ("CNN", "Hybrid", "ResNet12", "ResNet8"),
        architecture(scores, "encoder.rnn.weight_ih_l0", "encoder.blocks.0.shortcut.0.weight"),
        shaped(lambda name: (4, 4) if name == "Hybrid" else None,
               lambda name: {"ResNet12": (4, 1, 1, 1), "ResNet8": (4, 4, 1, 1)}.get(name))),
    Row("dataset_name", ("Tiny", "other"), probes.dataset, so_that(
        lambda one, two: (one[0], two[0]) == ("Tiny", "Other") and plain(one[1]) != plain(two[1]))),
    Row("use_attention", (False, True), rows_of("test"), as_((4, 8), (1, 32)), scenario=3),
    Row("use_contrastive", (False, True), losses, so_that(
        lambda off, on: off.contrastive == 0 < on.contrastive and off.loss < on.loss), given={"loss.cpl.use": True}),
    Row("input_type", ("spec", "wav"), lambda *args: tuple(Bench.step(*args).support.shape[3:]),
        as_((MELS, FRAMES), (128, 16))),  # 8000 samples are 16 frames of 128 mel bins
    Row("input_type", ("spec", "wav"), lambda *args: Bench.run(*args).weights),
    *(Row(f"n_way_{phase}", (2, 4), episode_size(phase, "support", 0), the_value) for phase in PHASES),
    *(Row(f"n_shot_{phase}", (1, 3), episode_size(phase, "support", 1), the_value) for phase in PHASES),
    *(Row(f"n_query_{phase}", (1, 3), episode_size(phase, "query", 1), the_value) for phase in PHASES),
    Row("train_query_augmentations", (False, True), views, as_((4, 1), (4, 4)), scenario=2),
    Row("validation_query_augmentations", (False, True), rows_of("validation"), as_((1, 8), (4, 8)), scenario=2),
    Row("test_query_augmentations", (False, True), rows_of("test"), as_((1, 8), (4, 8)), scenario=2),
    Row("lr", (0.005, 0.02), epoch_moves, first_step_is_the_rate, given=ONE_STEP_AN_EPOCH),
    Row("num_epochs", (1, 3), lambda *args: len(Bench.run(*args).metrics), the_value),
    Row("multi_segm", (False, True), lambda *args: Bench.judge(*args).valid.sum(-1).max().item(), as_(1, 3)),
    Row("tie_strategy", ("", "min_label", "max_posterior"), Bench.judge, ties_differ,
        given={"multi_segm": True, "n_testing_tasks": 60}),
    Row("relation_head", (False, True), scores, so_that(
        lambda distances, relations: (distances <= 0).all() and ((relations > 0) & (relations < 1)).all())),
    Row("n_training_tasks", (1, 3), episode_count("train"), the_value),
    Row("n_testing_tasks", (4, 7), episode_count("test"), the_value),
    Row("device", ("cpu", "cuda", "auto"), machine(gpus=1), as_("cpu", "cuda:0", "cuda:0")),
    Row("gpu_index", (0, 1), machine(gpus=2), as_("cuda:0", "cuda:1"), given={"device": "cuda"}),
    Row("scheduler_milestones", ([], [1], [2], [1, 2]), lambda *args: [moved > 0 for moved in epoch_moves(*args)],
        as_([True, True, True], [True, False, False], [True, True, False], [True, False, False]),
        given=ONE_STEP_AN_EPOCH | {"num_epochs": 3, "scheduler_gamma": 1e-30}),
    Row("scheduler_gamma", (1.0, 0.01), lambda *args: epoch_moves(*args)[1],
        so_that(lambda full, small: small == pytest.approx(0.01 * full, rel=0.01)),
        given=ONE_STEP_AN_EPOCH | {"num_epochs": 2, "scheduler_milestones": [1]}),
    Row("patience", (1, 3), lambda *args: len(epoch_moves(*args)) - 1, the_value, given={"num_epochs": 6}),
    Row("experiment_folder", ("one", "two/deep"), probes.result_files, the_value),
    Row("seed", (0, 1), whole, seed_moves_training_not_tests, given={"num_runs": 2}),
    Row("test_seed", (0, 1), whole, only_tests_move),
    Row("n_validation_tasks", (1, 3, None), episode_count("validation"), as_(1, 3, 2)),
    Row("num_runs", (1, 3), probes.run_folders, as_(["run-1"], ["run-1", "run-2", "run-3"])),
    Row("data_root", ("root", "elsewhere"), probes.trained_from_config_root),
    Row("precision", ("fp32", "bf16", "auto"), probes.reported_in_fp32, one_of_both),
    Row("episodes_per_step", (1, 2, 4), lambda *args: len(Bench.run(*args).episodes["train"]), as_(4, 4, 4),
        given={"n_training_tasks": 4}),
    Row("episodes_per_step", (1, 2, 4), epoch_steps, as_(4, 2, 1), given={"n_training_tasks": 4}),
    Row("store_precision", ("float32", "float16"), lambda bench, experiment, _: str(
        bench.open(experiment).data.store.segments.dtype), the_value),
    Row("store_precision", ("float32", "float16"), scores),
    Row("disjoint_groups", (False, True), probes.shared_recordings, so_that(
        lambda off, on: all(off.values()) and not any(on.values()))),
    Row("distance", ("euclidean", "squared", "cosine"), scores, so_that(
        lambda plain_, squared, cosine: torch.allclose(squared, -plain_.square(), atol=1e-4) and (plain_ < 0).any()
        and torch.allclose(cosine.diag(), torch.ones(3), atol=1e-5) and (cosine.abs() <= 1.00001).all())),
]  # fmt: skip

LOSS_ROWS = [
    Row("loss.l_param", (0.0, 1.0, 3.0), losses, so_that(
        lambda none, one, three: one.loss - none.loss == pytest.approx(one.contrastive.item(), rel=1e-4)
        and three.loss - none.loss == pytest.approx(3 * one.contrastive.item(), rel=1e-4)), **CPL),
    Row("loss.cpl.use", (False, True), losses, so_that(
        lambda off, on: off.contrastive == 0 < on.contrastive), **CPL),
    Row("loss.cpl.m_param", (1, 3), losses, so_that(
        lambda few, many: few.contrastive < many.contrastive), given={"n_query_train": 3}, **CPL),
    # With a large temperature all logits are 0: log(1 + negatives) over 6 queries, of 2 classes x M = 4 negatives.
    Row("loss.cpl.t_param", (0.1, 1e6), losses, so_that(
        lambda cold, hot: hot.contrastive.item() == pytest.approx(math.log(5) / 6) != cold.contrastive.item()), **CPL),
    Row("loss.cpl.reduction", ("reference", "mean"), losses, so_that(
        lambda reference, mean: mean.contrastive.item() == pytest.approx(6 * reference.contrastive.item())), **CPL),
    Row("loss.angular.use", (False, True), losses, so_that(
        lambda off, on: off.pairs == 0 < on.pairs and off.contrastive == 0 < on.contrastive), **ANGULAR),
    Row("loss.angular.angle", (0, 60), losses, so_that(lambda all_, wide: wide.pairs < all_.pairs), **ANGULAR),
    # 6 queries each with its prototype; or 3 classes of 3 members, each with the 2 others.
    Row("loss.angular.prototypes_as_anchors", (True, False), lambda *args: losses(*args).pairs.item(),
        as_(6, 18), given={"loss.angular.angle": 0}, **ANGULAR),
    Row("loss.angular.alpha", (20, 45), losses, so_that(
        lambda small, large: small.pairs == large.pairs and small.contrastive < large.contrastive), **ANGULAR),
    Row("loss.metric.use", (False, True), losses, so_that(
        lambda off, on: off.contrastive == 0 < on.contrastive), METRIC, **CPL),
    Row("loss.metric.loss", ("SupConLoss", "TripletMarginLoss", "NTXentLoss"), losses, given=METRIC, **CPL),
    # The hinge of similar embeddings grows with the margin, and all triplets are over it.
    Row("loss.metric.params", ({"margin": 10.0}, {"margin": 12.0}), losses, so_that(
        lambda some, more: more.contrastive.item() == pytest.approx(some.contrastive.item() + 2, rel=1e-5)),
        METRIC | {"loss.metric.loss": "TripletMarginLoss"}, **CPL),
    Row("normalize_prototypes", (False, True), losses, given=UNPROJECTED, **ANGULAR),
    Row("normalize_prototypes", (False, True), losses, so_that(  # the head normalizes
        lambda raw, unit: plain(raw) == plain(unit)), **ANGULAR),
    Row("normalize_prototypes", (False, True), losses, so_that(  # a cosine does not see lengths
        lambda raw, unit: torch.allclose(raw.loss, unit.loss, rtol=1e-5)), given=UNPROJECTED, **CPL),
    Row("project_prototypes", (False, True), losses, **CPL),
    Row("project_prototypes", (False, True), losses, **ANGULAR),
]  # fmt: skip

SPECAUG_ROWS = [
    Row("specaug_params.use", (False, True), views, as_((1, 1), (4, 4)), scenario=2),
    Row("specaug_params.use", (False, True), views, as_((1, 1), (1, 1)), given={"input_type": "wav"}, scenario=2),
    Row("specaug_params.mask_param", (1, 6), lambda *args: [masks(*args)[axis] for axis in ("time", "frequency")],
        as_([1, 1], [6, 6]), scenario=2),
    Row("specaug_params.W", (0, 4, 12), lambda *args: masks(*args)["warp"], so_that(
        lambda none, little, much: none == 0 < little < much), scenario=2),
    Row("specaug_params.num_mask", (1, 3), lambda *args: masks(*args)["count"], as_((1, 1), (3, 3)),
        given={"specaug_params.mask_param": 2}, scenario=2),
    Row("specaug_params.mask_value", (0, 7.5), lambda *args: masks(*args)["fill"], as_([0.0], [7.5]), scenario=2),
    Row("specaug_params.p", (0.1, 0.2), lambda *args: [masks(*args)[axis] for axis in ("time", "frequency")],
        as_([3, 8], [6, 8]), given={"specaug_params.mask_param": 8}, scenario=2),  # of 32 frames
]  # fmt: skip


def encoder_rows(encoder: Literal["CNN", "Hybrid"], width: int) -> list[Row]:
    """What both encoders have; ``width`` is what their last layer reads."""
    return [
        Row(f"{encoder}.hidden_channels", (4, 6), architecture(scores, "encoder.blocks.1.conv.weight"),
            shaped(lambda n: (n, n, 3, 3)), encoder=encoder),
        Row(f"{encoder}.pool_dim", ([2, 2], [1, 2], [2, 1]), probes.feature_map, as_((1, 2), (16, 2), (1, 32)),
            encoder=encoder),
        Row(f"{encoder}.out_dim", (8, 12), architecture(scores, "encoder.linear.weight"),
            shaped(lambda n: (n, width)), encoder=encoder),
        Row(f"{encoder}.pool_last", (True, False), probes.feature_map, as_((1, 2), (2, 4)), encoder=encoder),
        Row(f"{encoder}.pooling", ("last", "mean", "mean_max"),
            architecture(lambda *args: Bench.run(*args).weights, "encoder.linear.weight"),
            shaped(lambda kind: (8, {"last": width, "mean_max": 8}.get(kind, 4))), encoder=encoder),
    ]  # fmt: skip


RESNET: dict[str, Any] = {"given": {"encoder_name": "ResNet12"}}
RESNET_ROWS = [
    Row("ResNet12.widths", ([4, 4, 6, 8], [4, 6, 6, 10]),
        architecture(scores, "encoder.blocks.1.convs.2.weight", "encoder.linear.weight"),
        shaped(lambda widths: (widths[1], widths[1], 3, 3), lambda widths: (8, widths[3])), **RESNET),
    Row("ResNet12.stem_stride", (1, 2), architecture(scores, "encoder.stem.0.weight"),
        shaped(lambda stride: (4, 1, 3, 3) if stride == 2 else None),
        given={"encoder_name": "ResNet12", "ResNet12.pool_last": False}),
    Row("ResNet12.pooling", ("mean", "mean_max"),
        architecture(lambda *args: Bench.run(*args).weights, "encoder.linear.weight"),
        shaped(lambda kind: (8, 16 if kind == "mean_max" else 8)), **RESNET),
    Row("ResNet12.pool_last", (True, False), probes.feature_map, as_((1, 2), (2, 4)), **RESNET),
    Row("ResNet12.drop_block", (0.0, 0.5), losses, so_that(
        lambda off, on: off.loss != on.loss), **RESNET),
    Row("ResNet12.drop_block_size", (1, 2), losses, so_that(lambda one, two: one.loss != two.loss),
        given={"encoder_name": "ResNet12", "ResNet12.drop_block": 0.3}),
    Row("ResNet12.dropout", (0.0, 0.5), losses, so_that(lambda off, on: off.loss != on.loss), **RESNET),
    Row("ResNet12.out_dim", (8, 12), architecture(scores, "encoder.linear.weight"), shaped(lambda n: (n, 8)),
        **RESNET),
    Row("ResNet8.widths", ([4, 4, 6, 8], [4, 6, 6, 10]),
        architecture(scores, "encoder.blocks.0.convs.1.weight", "encoder.linear.weight"),
        shaped(lambda widths: (widths[1], widths[1], 3, 3), lambda widths: (8, 2 * widths[3])),
        given={"encoder_name": "ResNet8"}),
    Row("ResNet8.out_dim", (8, 12), architecture(scores, "encoder.linear.weight"), shaped(lambda n: (n, 16)),
        given={"encoder_name": "ResNet8"}),
]  # fmt: skip


def pretrained_rows() -> list[Row]:
    """What is trained of an encoder of waveforms, and its sizes."""

    def definition(width: int) -> dict[str, Any]:
        config = {
            "model_type": "wav2vec2",
            "hidden_size": width,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "intermediate_size": 8,
            "conv_dim": [4],
            "conv_kernel": [100],
            "conv_stride": [100],
            "num_feat_extract_layers": 1,
            "num_conv_pos_embeddings": 2,
            "num_conv_pos_embedding_groups": 2,
        }
        return {"config": config, "preprocessor": {}}

    def linear(bench: Bench, experiment: ExperimentConfig, model: ModelConfig) -> tuple[int, ...]:
        network = build_network(experiment, model, 1, 1)
        assert network.encode(torch.zeros(3, 8000)).shape == (3, model.Pretrained.out_dim)
        return tuple(network.state_dict()["encoder.linear.weight"].shape)

    def trained(bench: Bench, experiment: ExperimentConfig, model: ModelConfig) -> set[str]:
        network = build_network(experiment, model, 1, 1)
        return {name.split(".")[1] for name, value in network.named_parameters() if value.requires_grad}

    given = {
        "encoder_name": "hf:elsewhere",
        "input_type": "wav",
        "Pretrained.out_dim": 8,
        "Pretrained.definition": definition(8),
    }
    return [
        Row("Pretrained.freeze", (True, False), trained, as_({"linear"}, {"linear", "backbone"}), given),
        Row("Pretrained.out_dim", (8, 12), linear, as_((8, 8), (12, 8)), given),
        Row("Pretrained.definition", (definition(8), definition(16)), linear, as_((8, 8), (8, 16)), given),
    ]  # fmt: skip


def frozen_rows() -> list[Row]:
    """Keys of frozen encoders; no weights are needed to build the layers on them."""

    def definition(width: int) -> list[dict[str, Any]]:
        return [describe(name="yamnet", width=width).model_dump()]

    def linear(bench: Bench, experiment: ExperimentConfig, model: ModelConfig) -> tuple[int, ...]:
        network = build_network(experiment, model, 1, 1)
        assert network.encode(torch.zeros(3, 6)).shape == (3, model.Frozen.out_dim)
        return tuple(network.state_dict()["encoder.linear.weight"].shape)

    def rows_of_a_segment(bench: Bench, experiment: ExperimentConfig, model: ModelConfig) -> int:
        views = WaveViews(experiment.waveaug_params, Preprocessing(), None)
        return pool_encoders(views, experiment, model)[0].shape[0]

    given = {
        "encoder_name": "yamnet",
        "input_type": "wav",
        "specaug_params.use": False,
        "waveaug_params.use": True,
        "waveaug_params.aug_num": 3,
        "Frozen.out_dim": 8,
        "Frozen.definition": definition(6),
    }
    return [
        Row("Frozen.out_dim", (8, 12), linear, as_((8, 6), (12, 6)), given),
        Row("Frozen.draws", (2, 5), rows_of_a_segment, as_(7, 16), given),
        Row("Frozen.definition", (definition(6), definition(12)),
            lambda _, *pair: build_network(*pair, 1, 1).state_dict()["encoder.mean"].shape[0], as_(6, 12), given),
    ]  # fmt: skip


def relation_rows(layer: int) -> Row:
    """A hidden width is what one linear layer gives and the next one reads."""
    before, after = 16 if layer == 1 else 8, 1 if layer == 3 else 8
    names = [f"relation.layers.{2 * number}.weight" for number in (layer - 1, layer)]
    shapes = shaped(lambda n: (n, before), lambda n: (after, n))
    return Row(f"Relation.hidden_dim{layer}", (8, 12), architecture(scores, *names), shapes, RELATION)


MODEL_ROWS = [
    *pretrained_rows(),
    *frozen_rows(),
    *encoder_rows("CNN", width=8),
    *encoder_rows("Hybrid", width=4),
    *RESNET_ROWS,
    Row("members", (1, 2), architecture(scores, "encoder.linear.weight", "encoder.members.1.linear.weight"),
        shaped(lambda n: (8, 4) if n == 1 else None, lambda n: (8, 4) if n == 2 else None)),
    Row("Hybrid.seq_layers", (1, 2), architecture(scores, "encoder.rnn.weight_ih_l1"),
        shaped(lambda n: (4, 4) if n == 2 else None)),
    Row("Hybrid.seq_type", ("RNN", "GRU", "LSTM"), architecture(scores, "encoder.rnn.weight_ih_l0"),
        shaped(lambda kind: ({"RNN": 1, "GRU": 3, "LSTM": 4}[kind] * 4, 4))),
    Row("Hybrid.bidirectional", (False, True), architecture(scores, "encoder.rnn.weight_ih_l0_reverse"),
        shaped(lambda both: (4, 4) if both else None)),
    Row("Attention.embed_dim", (8, 12), rows_of("test"), as_((1, 32), (1, 48)), scenario=3,
        given=lambda width: {"Hybrid.out_dim": width}),
    Row("Attention.num_heads", (1, 4), architecture(scores, "attention.layer.self_attn.in_proj_weight"),
        shaped(lambda _: (24, 8)), scenario=3),
    Row("Attention.ffn_dim", (8, 24), architecture(scores, "attention.layer.linear1.weight"),
        shaped(lambda n: (n, 8)), scenario=3),
    Row("Attention.dropout", (0, 0.5), probes.fusion_varies, as_(False, True), scenario=3),
    Row("Projection.input_dim", (8, 12), architecture(losses, "projection.layers.0.weight"),
        shaped(lambda n: (8, n)), given=lambda width: {"Hybrid.out_dim": width}, **CPL),
    Row("Projection.hidden_dim", (8, 12), architecture(losses, "projection.layers.0.weight"),
        shaped(lambda n: (n, 8)), **CPL),
    Row("Projection.output_dim", (8, 12), architecture(losses, "projection.layers.2.weight"),
        shaped(lambda n: (n, 8)), **CPL),
    Row("Relation.input_dim", (16, 24), architecture(scores, "relation.layers.0.weight"), shaped(lambda n: (8, n)),
        given=lambda width: RELATION | {"Hybrid.out_dim": width // 2}),
    *(relation_rows(layer) for layer in (1, 2, 3)),
    Row("Relation.out_dim", (1, 2), architecture(scores, "relation.layers.6.weight"),
        only_one_score, given=RELATION),
]  # fmt: skip


ROWS = [*EXPERIMENT_ROWS, *LOSS_ROWS, *SPECAUG_ROWS, *WAVEFORM_ROWS, *INPUT_ROWS, *OPTION_ROWS, *MODEL_ROWS]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_changing_the_key_changes_what_it_documents(row: Row, bench: Bench) -> None:
    row.check(bench)


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    assert {row.key for row in ROWS} == {*leaves(ExperimentConfig), *leaves(ModelConfig)}


OBSERVATIONS: list[Callable[..., Any]] = [
    Bench.step,
    Bench.parameters_by_epoch,
    Bench.embeddings,
    Bench.scores,
    Bench.judge,
    lambda *args: parameters(Bench.network(*args)),
]


@pytest.mark.parametrize("scenario", [1, 5])
def test_without_a_change_nothing_changes(scenario: int, bench: Bench) -> None:
    """Else the rows would prove nothing."""
    configs = tiny_configs({"num_epochs": 1}, scenario=scenario)
    for observe in OBSERVATIONS:
        first, second = (observe(bench, *configs) for _ in range(2))
        assert plain(first) == plain(second)
    one, two = bench.run(*configs), bench.run_again(*configs)
    assert one.output != two.output
    assert plain([one.weights, one.episodes]) == plain([two.weights, two.episodes])
    assert one.results.accuracy == two.results.accuracy
    differing = {key for old, new in zip(one.metrics, two.metrics, strict=True) for key in old if old[key] != new[key]}
    assert differing <= {"seconds"}


def test_a_gpu_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="use --set device=cpu"):
        machine(gpus=0)(bench, *tiny_configs({"device": "cuda"}))
    with pytest.raises(ConfigError, match=r"gpu_index is 2, but this machine has 2 GPU"):
        machine(gpus=2)(bench, *tiny_configs({"device": "auto", "gpu_index": 2}))
    assert machine(gpus=0)(bench, *tiny_configs({"device": "auto"})) == "cpu"


def test_a_root_that_is_not_there_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(FewShotError, match="nowhere"):
        probes.trained_from_config_root(bench, *tiny_configs({"data_root": str(tmp_path / "nowhere")}))
