"""The event network: what decides about a frame, and its copy for inference."""

import torch

from fewshot_audio.events.detection.hearing import CONTEXT
from fewshot_audio.models.event_network import N_BANDS, WIDTH, EventNetwork


def make_network() -> EventNetwork:
    """With batch norms that do something."""
    torch.manual_seed(0)
    network = EventNetwork()
    network(2.0 * torch.randn(4, 64, N_BANDS))
    return network.eval()


def test_an_embedding_and_the_log_odds_of_each_frame_come_in_pairs() -> None:
    with torch.no_grad():
        embeddings, presence = make_network()(torch.randn(2, 50, N_BANDS))
    assert embeddings.shape == (2, 50, WIDTH)
    assert presence.shape == (2, 50)
    assert torch.equal(embeddings[:, ::2], embeddings[:, 1::2])


@torch.no_grad()
def test_a_frame_is_decided_by_its_context_and_nothing_beyond() -> None:
    network, levels = make_network(), torch.randn(1, 200, N_BANDS)
    changed = levels.clone()
    changed[:, 100] += 1.0
    before, after = network(levels)[0][0], network(changed)[0][0]
    differ = torch.nonzero((before - after).abs().amax(dim=1) > 1e-5).flatten()
    assert 100 - CONTEXT <= differ.min() < 100 - CONTEXT // 2
    assert 100 + CONTEXT // 2 < differ.max() <= 100 + CONTEXT


@torch.no_grad()
def test_the_folded_copy_computes_the_same() -> None:
    network, levels = make_network(), torch.randn(1, 64, N_BANDS)
    for own, folded in zip(network(levels), network.folded()(levels), strict=True):
        torch.testing.assert_close(folded, own, atol=1e-4, rtol=1e-4)
