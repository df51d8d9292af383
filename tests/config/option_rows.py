"""Rows of the options of training and scoring that are off in the documented scenarios."""

from typing import Any

import pytest
import torch

from fewshot_audio.config import PHASES
from tests.config.bench import Bench
from tests.config.probes import E, M, epoch_moves, losses, scores
from tests.config.rows import Row, as_, so_that

ONE_STEP_AN_EPOCH = {"n_training_tasks": 1}


def first_step(bench: Bench, experiment: E, model: M) -> Any:
    """Parameters before and after the first step."""
    return bench.parameters_by_epoch(experiment, model)[:2]


def decays_weights_only(seen: list[Any], values: tuple[Any, ...]) -> None:
    (start, plain), (_, decayed) = seen
    for name, value in start.items():
        shrunk = 0.005 * values[1] * value if value.ndim > 1 else torch.zeros_like(value)
        torch.testing.assert_close(decayed[name], plain[name] - shrunk)


def saves_what_it_trained(bench: Bench, experiment: E, model: M) -> bool:
    """Whether the saved weights are those that the optimizer moves."""
    run = bench.run(experiment, model)
    state = torch.load(next(run.output.rglob("state.pt")), weights_only=True)["network"]
    return all(torch.equal(state[name], value) for name, value in run.weights[0].items())


def datasets_of_an_episode(bench: Bench, experiment: E, model: M) -> set[int]:
    """How many datasets the classes of an episode come from."""
    names = bench.open(experiment).data.splits
    episodes = bench.run(experiment, model).episodes
    return {len({names[phase][c].split("/")[0] for c in e.classes}) for phase in PHASES for e in episodes[phase]}


MAML = {"algorithm.name": "fo-maml", "Hybrid.out_dim": 3, "algorithm.inner_lr": 0.5}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "prototypes": {},
    "fo-maml": MAML,
    "fo-meta-curvature": MAML,
    "meta-baseline": {"distance": "cosine", "loss.pretraining_epochs": 1, "num_epochs": 2},
    "simpleshot": {"embedding_transform": "center_l2"},
}


def trained_parts(bench: Bench, experiment: E, model: M) -> set[str]:
    """What is trained beside the encoder, and what the first step's loss is of."""
    names = {name.split(".")[0] for name in bench.run(experiment, model).weights[0]}
    classes = {"among all classes"} if bench.step(experiment, model).result.loss > 1.6 else set()
    return names & {"adaptation", "learned_scale", "center"} | classes


OPTION_ROWS = [
    Row("algorithm.name", tuple(ALGORITHMS), trained_parts, as_(
        set(), set(), {"adaptation"}, {"learned_scale", "among all classes"}, {"center", "among all classes"}),
        given=ALGORITHMS.__getitem__),
    Row("algorithm.inner_steps", (1, 4), losses, given=MAML),
    Row("algorithm.inner_lr", (1e-6, 0.5), losses, so_that(  # hardly adapted, the classes are unknown
        lambda none, some: none.loss > some.loss), given=MAML | {"algorithm.inner_steps": 5}),
    Row("optimization.weight_decay", (0.0, 0.5), first_step, decays_weights_only, given=ONE_STEP_AN_EPOCH),
    Row("optimization.schedule", ("milestones", "cosine"), lambda *args: epoch_moves(*args)[1], so_that(
        lambda full, half: half == pytest.approx(full / 2, rel=0.01)), given=ONE_STEP_AN_EPOCH | {"num_epochs": 2}),
    Row("optimization.warmup_epochs", (0, 1, 3), lambda *args: epoch_moves(*args)[0], so_that(
        lambda full, half, quarter: (full, half, quarter) == pytest.approx((0.005, 0.0025, 0.00125), rel=0.01)),
        given=ONE_STEP_AN_EPOCH | {"num_epochs": 4}),
    # Adam does not see the size of a gradient, as long as it is above its epsilon of 1e-8.
    Row("optimization.gradient_clip", (0.0, 1e-11), lambda *args: epoch_moves(*args)[0], so_that(
        lambda off, clipped: 0 < clipped < off / 100), given=ONE_STEP_AN_EPOCH),
    Row("optimization.averaging", (0.0, 0.9), saves_what_it_trained, as_(True, False)),
    Row("optimization.keep", ("best", "last"), lambda *args: len(epoch_moves(*args)), as_(2, 4),
        given={"num_epochs": 4, "patience": 1}),
    Row("joint_sampling", ("within", "free"), datasets_of_an_episode, as_({1}, {1, 2}),
        given={"dataset_name": "Tiny+Other", "n_training_tasks": 12, "num_epochs": 1}),
    Row("score_scale", (1.0, 4.0), scores, so_that(
        lambda one, four: one.any() and torch.allclose(four, 4 * one))),
    Row("embedding_transform", ("none", "center_l2", "power", "wccn"), lambda *args: Bench.judge(*args).scores),
    Row("embedding_transform", ("none", "center_l2", "power", "wccn"), losses, so_that(  # in testing alone
        lambda none, *others: all(other.loss == none.loss for other in others))),
    Row("loss.classification_weight", (0.0, 1.0, 3.0), losses, so_that(
        lambda off, one, three: 0 < (one.loss - off.loss).item()
        == pytest.approx((three.loss - off.loss).item() / 3, rel=1e-5))),
    Row("loss.pretraining_epochs", (0, 1), losses, so_that(  # among 10 classes instead of 3
        lambda off, on: off.loss < 1.6 < on.loss < 3.5 and off.accuracy == on.accuracy)),
    Row("loss.label_smoothing", (0.0, 0.1, 0.5), losses, so_that(
        lambda off, some, much: off.loss != some.loss != much.loss and off.accuracy == much.accuracy)),
]  # fmt: skip
