"""The straightforward loop of the benchmarks computes what training computes: loss and gradients of one episode."""

import copy
from typing import Literal

import pytest
import torch
from benchmarks.naive import NaiveNetwork, PublishedPairsNetwork
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.engine.episode_loss import Objective, episode_loss
from fewshot_audio.models.build import build_network
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import SpecViews
from tests.tiny import FRAMES, MEAN, MELS, STD, tiny_configs

WAY, SHOT, QUERY = 3, 2, 4
SCENARIOS: dict[str, tuple[int, Literal["cpl", "angular"]]] = {
    "plain": (1, "cpl"),
    "enrichment": (2, "cpl"),
    "attention": (3, "cpl"),
    "attention + CPL": (5, "cpl"),
    "attention + angular": (5, "angular"),
}


class Episode:
    """A network in eval mode (running statistics away from their start), raw segments, and draws of their views."""

    def __init__(self, scenario: int, loss: Literal["cpl", "angular"], encoder: Literal["CNN", "Hybrid"]) -> None:
        experiment, model = tiny_configs(
            {"n_query_train": QUERY, "loss.angular.angle": 20.0}, scenario=scenario, loss=loss, encoder=encoder
        )
        self.experiment: ExperimentConfig = experiment
        random = torch.Generator().manual_seed(4)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.network = build_network(experiment, model, MELS, FRAMES)
            self.network.set_normalization(MEAN, STD)
            self.network.encode(torch.randn(40, MELS, FRAMES, generator=random))
        self.network.eval()
        center = torch.randn(WAY, 1, MELS, FRAMES, generator=random)
        self.raw = [
            MEAN + STD * (center + torch.randn(WAY, items, MELS, FRAMES, generator=random)) for items in (SHOT, QUERY)
        ]
        self.maker = SpecViews(experiment.specaug_params)
        views = [experiment.support_views("train"), experiment.query_views("train")]
        self.draws: list[SpecAugmentDraw | None] = [
            self.maker.draw(segments.shape[0] * segments.shape[1], (MELS, FRAMES), random) if number > 1 else None
            for segments, number in zip(self.raw, views, strict=True)
        ]

    def fast(self) -> tuple[Tensor, dict[str, Tensor]]:
        network = copy.deepcopy(self.network)
        views = []
        for segments, draw in zip(self.raw, self.draws, strict=True):
            flat = segments.flatten(0, 1)
            made = self.maker.plain(network, flat) if draw is None else self.maker.views(network, flat, draw)
            views.append(made.view(*segments.shape[:2], *made.shape[1:]))
        result = episode_loss(
            network, Objective.of(self.experiment), views[0], views[1], torch.Generator().manual_seed(5)
        )
        return result.loss, gradients(network, result.loss)

    def naive(self, kind: type[NaiveNetwork] = NaiveNetwork) -> tuple[Tensor, dict[str, Tensor]]:
        network = copy.deepcopy(self.network)
        loss = kind(network).episode_loss(
            self.experiment, self.raw[0], self.raw[1], *self.draws, torch.Generator().manual_seed(5)
        )
        return loss, gradients(network, loss)


def gradients(network: FewShotNetwork, loss: Tensor) -> dict[str, Tensor]:
    torch.autograd.backward(loss)
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("encoder", ["CNN", "Hybrid"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_naive_and_fast_agree(scenario: str, encoder: Literal["CNN", "Hybrid"]) -> None:
    episode = Episode(*SCENARIOS[scenario], encoder)
    (loss, gradient), (expected, expected_gradient) = episode.fast(), episode.naive()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert gradient.keys() == expected_gradient.keys()
    largest = max(value.norm() for value in expected_gradient.values())
    for name, value in expected_gradient.items():
        assert (gradient[name] - value).norm() <= 1e-4 * value.norm() + 1e-6 * largest, name


def test_the_published_pairing_is_another_and_larger_loss() -> None:
    episode = Episode(*SCENARIOS["attention + angular"], "Hybrid")
    ours, _ = episode.naive()
    theirs, gradient = episode.naive(PublishedPairsNetwork)
    assert theirs > ours
    assert all(value.isfinite().all() for value in gradient.values())
