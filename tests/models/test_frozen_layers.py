"""The scale of frozen encoders' embeddings."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fewshot_audio.config.model import FrozenConfig
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.experiments.frozen_encoders import set_scales
from fewshot_audio.models.frozen_layers import BLOCK_LENGTH, FARTHEST, FrozenLayers
from tests.tiny_encoders import describe


def layers(*widths: int) -> FrozenLayers:
    """On encoders of these widths."""
    definition = [describe(name=f"tiny-{width}", width=width).model_dump(exclude_none=True) for width in widths]
    return FrozenLayers(FrozenConfig(out_dim=2, definition=definition))


def test_each_encoder_has_the_same_length_and_far_numbers_are_cut_off() -> None:
    encoder = layers(2, 6)
    deviation = torch.tensor([1.0, 100, *[0.01] * 6])
    encoder.set_scale(torch.full((8,), 3.0), deviation)
    near, far = (encoder.scaled(3 + factor * deviation[None])[0] for factor in (1, 1000))
    for block in near.split([2, 6]):
        assert block.norm().item() == pytest.approx(BLOCK_LENGTH, rel=1e-4)
    torch.testing.assert_close(far, FARTHEST * near, rtol=1e-4, atol=0)


def test_a_number_that_never_varies_says_nothing() -> None:
    encoder = layers(3)
    encoder.set_scale(torch.zeros(3), torch.tensor([2.0, 0.0, 1e-9]))
    assert encoder.scaled(torch.tensor([[2.0, 5.0, 5.0]])).tolist() == [pytest.approx([BLOCK_LENGTH / 3**0.5, 0, 0])]


def test_classes_clips_and_segments_count_alike() -> None:
    """Two classes; the first has clips of one and of three segments, the second a clip of two; a third is of tests."""
    rows = np.arange(7, dtype=np.float32)[:, None, None] ** 2
    store = SegmentStore(rows, ["a", "b", "c"], ["1", "2", "3", "4"], np.array([0, 0, 1, 2]), np.array([0, 1, 4, 6, 7]))
    network: Any = SimpleNamespace(encoder=layers(1), set_normalization=lambda mean, std: None)
    dataset: Any = SimpleNamespace(
        mean=0.0, std=1.0, data=SimpleNamespace(store=store, splits=SimpleNamespace(train=["a", "b"]))
    )
    set_scales(network, dataset)
    weights, values = np.array([1 / 4, *[1 / 12] * 3, 1 / 4, 1 / 4]), rows[:6, 0, 0]
    mean = weights @ values
    assert network.encoder.mean.item() == pytest.approx(mean)
    assert network.encoder.scale.item() == pytest.approx((weights @ (values - mean) ** 2) ** -0.5)
