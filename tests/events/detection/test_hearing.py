"""What is heard in frames does not depend on how they are cut, and the models of frames are scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fewshot_audio.events.detection import hearing
from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import N_MELS, Excerpt
from fewshot_audio.events.detection.hearing import HeardFrames, hear, levels_above
from fewshot_audio.events.detection.network import Hearing, open_hearing


@pytest.fixture(scope="module")
def network() -> Hearing:
    return open_hearing()


def draw_levels(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(0).uniform(-0.5, 3.5, (count, N_MELS)).astype(np.float32)


def test_levels_are_decibels_above_the_floor_within_limits() -> None:
    power = np.array([[1e-3, 0.5, 1.0, 100.0, 1e9]], np.float32)
    assert levels_above(power, np.ones_like(power))[0] == pytest.approx([-0.5, 10 * np.log10(0.5) / 10, 0, 2, 3.5])


def test_long_excerpts_are_heard_in_parts_without_seams(network: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = draw_levels(501)
    whole = hear(levels, 2, network)
    monkeypatch.setattr(hearing, "_CHUNK", 64)
    for own, expected in zip(hear(levels, 2, network), whole, strict=True):
        assert len(own) == 501
        np.testing.assert_allclose(own, expected, atol=1e-4)


def test_frames_of_half_the_length_are_heard_in_pairs(network: Hearing) -> None:
    levels = draw_levels(200)
    for own, expected in zip(
        hear(np.repeat(levels, 2, axis=0)[:399], 1, network), hear(levels, 2, network), strict=True
    ):
        np.testing.assert_allclose(own, np.repeat(expected, 2, axis=0)[:399], atol=1e-4)


def test_the_model_of_frames_is_two_logistic_regressions(network: Hearing) -> None:
    random = np.random.default_rng(1)
    power = random.exponential(1.0, (2, 300, N_MELS)).astype(np.float32)
    is_event = [np.arange(300) % 50 < 10, np.arange(300) % 70 < 10]
    for own, chosen in zip(power, is_event, strict=True):
        own[chosen, 20:30] *= 30.0
    floor = np.ones_like(power[0])
    heard = [HeardFrames.of(Excerpt(0, (0, 300), own, floor, 2), 1e-6, network) for own in power]
    used = [np.arange(300) < 200, np.arange(300) >= 50]
    model = FrameModel.fit(heard, is_event, used)
    labels = np.concatenate([own[chosen] for own, chosen in zip(is_event, used, strict=True)])
    embeddings = np.concatenate([own.embeddings[chosen] for own, chosen in zip(heard, used, strict=True)])
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, class_weight="balanced"))
    oracle.fit(embeddings, labels)
    by_levels, by_embeddings = model.likeness(heard[0])
    np.testing.assert_allclose(by_embeddings, oracle.decision_function(heard[0].embeddings), atol=0.02)
    for curve in (by_levels, by_embeddings):
        assert np.mean((curve > 0) == is_event[0]) > 0.9
