"""Contrastive losses as parts: one call builds the package's own and those from outside."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.config.losses import AngularConfig, CPLConfig, LossConfig
from fewshot_audio.config.presets import PUBLISHED
from fewshot_audio.engine.contrastive_losses import Mined, build_contrastive_loss, contrast
from fewshot_audio.engine.episode_loss import Objective, episode_loss
from fewshot_audio.errors import ConfigError
from fewshot_audio.functional.losses import angular_loss, cpl_loss, draw_negatives
from fewshot_audio.models.build import build_network
from tests.parts import Hinge
from tests.tiny import FRAMES, MELS, tiny_configs

WAY, QUERIES, WIDTH = 3, 4, 5


def embeddings(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.randn(WAY, WIDTH, generator=generator)
    queries = F.normalize(torch.randn(WAY * QUERIES, WIDTH, generator=generator), dim=-1)
    return anchors, queries, torch.arange(WAY).repeat_interleave(QUERIES)


def configs(loss: str, scenario: int = 4, **options: Any) -> tuple[Any, Any]:
    """A pair with one contrastive loss, by the key of its section."""
    experiment, model = tiny_configs({"loss.cpl.use": False}, scenario=scenario)
    values = experiment.model_dump()
    values["loss"][loss] = values["loss"].get(loss, {}) | {"use": True, **options}
    return ExperimentConfig.model_validate(values), model


def test_cpl_draws_its_negatives_and_is_the_function() -> None:
    loss = build_contrastive_loss(configs("cpl", m_param=2, t_param=0.7, reduction="mean")[0])
    assert loss is not None
    anchors, queries, labels = embeddings()
    value = loss(anchors, queries, labels, torch.Generator().manual_seed(5))
    negatives = draw_negatives(labels, WAY, 2, torch.Generator().manual_seed(5))
    assert isinstance(value, Tensor)
    assert torch.equal(value, cpl_loss(anchors, queries, labels, negatives, 0.7, "mean"))
    assert not torch.equal(value, loss(anchors, queries, labels, torch.Generator().manual_seed(6)))


def test_angular_is_the_function_with_its_pairs() -> None:
    loss = build_contrastive_loss(configs("angular", angle=20.0, alpha=30.0, prototypes_as_anchors=False)[0])
    assert loss is not None
    result = loss(*embeddings(), torch.Generator())
    expected = angular_loss(*embeddings(), 20.0, 30.0, False)
    assert isinstance(result, Mined)
    assert torch.equal(result.loss, expected.loss)
    assert result.pairs == expected.pairs > 0


def test_an_experiment_without_a_contrastive_loss_has_none() -> None:
    assert build_contrastive_loss(tiny_configs()[0]) is None
    assert build_contrastive_loss(tiny_configs({"loss.cpl.use": True})[0]) is None  # use_contrastive is false


@pytest.mark.parametrize("key", ["tests.parts:Hinge", "Hinge"])
def test_a_loss_from_outside_is_built_from_its_section(key: str) -> None:
    loss = build_contrastive_loss(configs(key, margin=0.7)[0])
    assert isinstance(loss, Hinge)
    assert loss.margin == 0.7


@pytest.mark.parametrize("scenario", [4, 5])
def test_a_loss_from_outside_is_weighted_and_trained(scenario: int) -> None:
    experiment, model = configs("tests.parts:Hinge", scenario, margin=0.7)
    network = build_network(experiment, model, MELS, FRAMES)
    given: list[tuple[Tensor, ...]] = []
    objective = Objective.of(experiment)
    assert objective.contrastive is not None

    def spy(*arguments: Any) -> Any:
        given.append(arguments)
        return Hinge(0.7)(*arguments)

    views = 4 if scenario == 5 else 1
    support, query = torch.randn(3, 2, views, MELS, FRAMES), torch.randn(3, 2, views, MELS, FRAMES)
    spied = Objective(objective.loss, spy, objective.project_prototypes, objective.normalize_prototypes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        result = episode_loss(network, spied, support, query, torch.Generator().manual_seed(0))
        torch.manual_seed(0)
        same = episode_loss(network, objective, support, query, torch.Generator().manual_seed(0))
    assert result.loss.item() == pytest.approx(same.loss.item(), rel=1e-5)
    ((anchors, queries, labels, generator),) = given
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (anchors.shape[0], queries.shape[0]) == (3, 6)
    torch.testing.assert_close(queries.norm(dim=-1), torch.ones(6))
    assert isinstance(generator, torch.Generator)
    assert result.contrastive > 0
    assert result.pairs == 0
    torch.autograd.backward(result.contrastive)
    assert all(value.grad is not None and value.grad.any() for value in network.projection.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("pairs", [torch.tensor(7), 7])
def test_a_loss_over_mined_pairs_tells_how_many(pairs: Any) -> None:
    experiment, model = configs("angular")
    network = build_network(experiment, model, MELS, FRAMES)
    objective = Objective(experiment.loss, lambda *_: Mined(torch.tensor(2.0), pairs), True, True)
    segments = torch.randn(3, 2, 1, MELS, FRAMES)
    result = episode_loss(network, objective, segments, segments, torch.Generator())
    assert (result.contrastive, result.pairs) == (2, 7)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (3.0, r"Returning returned 3\.0, expected a tensor"),
        (torch.zeros(15), r"Returning returned a tensor of shape \(15,\), expected a tensor without dimensions"),
        (Mined(torch.zeros(1), torch.tensor(7)), r"returned a tensor of shape \(1,\)"),
    ],
)
def test_a_loss_that_returns_no_scalar_is_refused(returned: Any, message: str) -> None:
    class Returning:
        def __call__(self, *_: Any) -> Any:
            return returned

    with pytest.raises(ConfigError, match=message):
        contrast(Returning(), torch.zeros(3, 2), torch.zeros(6, 2), torch.arange(6) // 2, torch.Generator())


def test_a_loss_with_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.tests\.parts:Weighted has weights of its own"):
        build_contrastive_loss(configs("tests.parts:Weighted")[0])


def test_sections_may_be_left_out_and_have_the_published_values_of_esc50() -> None:
    loss, published = LossConfig(l_param=1.0), PUBLISHED["esc-50-master"]
    assert loss.used == []
    assert loss.cpl == CPLConfig(use=False, m_param=published.m_param, t_param=published.t_param)
    assert loss.angular == AngularConfig(
        use=False, angle=published.angle, prototypes_as_anchors=published.prototypes_as_anchors
    )
