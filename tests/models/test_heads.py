"""Relation head, projection head and view attention against naive loops with the same weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fewshot_audio.config import ModelConfig
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.heads import ProjectionHead, RelationHead
from tests.numerics import generator, gradients, normal, seeded_layers
from tests.oracles import networks as oracle


def linears(module: nn.Module) -> list[oracle.Linear]:
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    return [oracle.Linear(m.weight.tolist(), m.bias.tolist()) for m in layers]


def randomize(module: nn.Module, seed: int) -> None:
    """Biases and norms start at 0 and 1, where mistakes hide."""
    rng = generator(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype))


# Relation head


def relation_head(width: int = 3) -> RelationHead:
    with seeded_layers():
        head = RelationHead(input_dim=2 * width, hidden_dim1=7, hidden_dim2=5, hidden_dim3=6, out_dim=1).double()
    randomize(head, 0)
    return head


def test_relation_head_by_hand() -> None:
    head = RelationHead(input_dim=2, hidden_dim1=1, hidden_dim2=1, hidden_dim3=1, out_dim=1)
    layers = [m for m in head.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(1)
            layer.bias.zero_()
        layers[0].weight.copy_(torch.tensor([[2.0, 1.0]]))  # twice the prototype plus the query
        layers[3].bias.fill_(-4)
    scores = head(torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [-9.0]]))
    expected = torch.tensor([[0.0, -4.0], [-4.0, -4.0]]).sigmoid()
    torch.testing.assert_close(scores, expected)
    naive = oracle.relation_head(linears(head), [[1.0], [-1.0]], [[2.0], [-9.0]])
    torch.testing.assert_close(torch.tensor(naive), expected)


def test_relation_head() -> None:
    head = relation_head()
    protos, queries = normal(4, 3, seed=1), normal(5, 3, seed=2)
    expected = oracle.relation_head(linears(head), protos.tolist(), queries.tolist())
    scores = head(protos, queries)
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64))
    assert ((scores > 0) & (scores < 1)).all()


def test_relation_head_leading_dimensions_are_separate_episodes() -> None:
    head = relation_head()
    protos, queries = normal(2, 3, 4, 3, seed=1), normal(2, 3, 5, 3, seed=2)
    scores = head(protos, queries)
    assert scores.shape == (2, 3, 5, 4)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(scores[i, j], head(protos[i, j], queries[i, j]))


def test_relation_head_gradients() -> None:
    head = relation_head()
    protos, queries = normal(2, 3, seed=1).requires_grad_(), normal(3, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(head, (protos, queries))
    for gradient in gradients(head(protos, queries).sum(), *head.parameters()):
        assert gradient.abs().sum() > 0


# Projection head


def test_projection_head_by_hand() -> None:
    head = ProjectionHead(input_dim=2, hidden_dim=2, output_dim=2)
    first, second = (m for m in head.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(torch.eye(2))
        second.weight.copy_(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
        first.bias.zero_()
        second.bias.zero_()
    torch.testing.assert_close(head(torch.tensor([[5.0, -1.0]])), torch.tensor([[0.6, 0.8]]))
    naive_first, naive_second = linears(head)
    assert oracle.projection_head(naive_first, naive_second, [5.0, -1.0]) == pytest.approx([0.6, 0.8])


def test_projection_head() -> None:
    with seeded_layers():
        head = ProjectionHead(input_dim=4, hidden_dim=6, output_dim=3).double()
    randomize(head, 0)
    x = normal(5, 4, seed=1)
    first, second = linears(head)
    expected = [oracle.projection_head(first, second, row) for row in x.tolist()]
    projected = head(x)
    torch.testing.assert_close(projected, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(head, (x.requires_grad_(),))


def test_projection_of_a_dead_hidden_layer_is_finite() -> None:
    head = ProjectionHead(input_dim=2, hidden_dim=3, output_dim=2)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    x = torch.ones(1, 2, requires_grad=True)
    assert gradients(head(x).sum(), x)[0].isfinite().all()


# View attention


def attention(heads: int, dropout: float = 0.1) -> ViewAttention:
    with seeded_layers():
        module = ViewAttention(embed_dim=6, num_heads=heads, ffn_dim=9, dropout=dropout).double().eval()
    randomize(module, 0)
    return module


def transformer_oracle(layer: Any) -> oracle.TransformerLayer:
    assert layer.self_attn.in_proj_bias is not None
    parts = zip(layer.self_attn.in_proj_weight.chunk(3), layer.self_attn.in_proj_bias.chunk(3), strict=True)
    query, key, value = (oracle.Linear(weight.tolist(), bias.tolist()) for weight, bias in parts)

    def linear(module: Any) -> oracle.Linear:
        return oracle.Linear(module.weight.tolist(), module.bias.tolist())

    def layer_norm(module: Any) -> oracle.LayerNorm:
        return oracle.LayerNorm(module.weight.tolist(), module.bias.tolist())

    return oracle.TransformerLayer(
        heads=layer.self_attn.num_heads,
        query=query,
        key=key,
        value=value,
        out=linear(layer.self_attn.out_proj),
        norm1=layer_norm(layer.norm1),
        ffn1=linear(layer.linear1),
        ffn2=linear(layer.linear2),
        norm2=layer_norm(layer.norm2),
    )


def naive_fusion(layer: Any, x: Tensor) -> Tensor:
    naive = transformer_oracle(layer)
    fused = [[value for token in naive(tokens) for value in token] for tokens in x.tolist()]
    return torch.tensor(fused, dtype=torch.float64)


def test_transformer_layer_by_hand() -> None:
    """Queries and keys 0: equal weights, so that attention is the mean of the tokens; the feed-forward adds nothing."""
    zero, one = oracle.Linear([[0.0, 0.0]] * 2, [0.0, 0.0]), oracle.Linear([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    plain = oracle.LayerNorm([1.0, 1.0], [0.0, 0.0], eps=0.0)
    layer = oracle.TransformerLayer(
        1, zero, zero, one, one, plain, zero, zero, oracle.LayerNorm([2.0, 2.0], [0.0, 1.0])
    )
    first, second = layer([[1.0, 0.0], [3.0, 0.0]])
    assert first == pytest.approx([2.0, -1.0], abs=1e-4)  # (1, 0) + (2, 0) -> (1, -1) -> (2, -2 + 1)
    assert second == pytest.approx([2.0, -1.0], abs=1e-4)


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("views", [1, 4])
def test_view_attention_is_one_post_norm_transformer_layer(heads: int, views: int) -> None:
    module, x = attention(heads), normal(3, views, 6, seed=1)
    fused = module(x)
    assert fused.shape == (3, views * 6)
    torch.testing.assert_close(fused, naive_fusion(module.layer, x))


def test_view_attention_trains_what_it_evaluates() -> None:
    """In training mode torch takes another path through the layer; without dropout it is the same function."""
    module, x = attention(2, dropout=0.0), normal(3, 4, 6, seed=1)
    torch.testing.assert_close(module.train()(x), naive_fusion(module.layer, x))
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(x), naive_fusion(module.layer, x))
    assert torch.autograd.gradcheck(module, (normal(2, 3, 6, seed=2).requires_grad_(),))


def test_permuting_views_permutes_blocks() -> None:
    module, x = attention(2), normal(5, 4, 6, seed=1)
    order = torch.tensor([2, 0, 3, 1])
    blocks = module(x).reshape(5, 4, 6)
    torch.testing.assert_close(module(x[:, order]).reshape(5, 4, 6), blocks[:, order])


def test_view_attention_keeps_examples_apart() -> None:
    module, x = attention(2), normal(5, 4, 6, seed=1)
    fused = module(x)
    for i in range(5):
        torch.testing.assert_close(module(x[i : i + 1])[0], fused[i])


def test_view_attention_drops_in_training_only() -> None:
    module, x = attention(1, dropout=0.5), normal(3, 4, 6, seed=1)
    assert torch.equal(module(x), module(x))
    module.train()
    with seeded_layers():
        assert not torch.equal(module(x), module(x))


def test_the_defaults_are_the_documented_ones() -> None:
    """Those of the model file."""
    model = ModelConfig()
    parts = ((ProjectionHead(64), model.Projection), (RelationHead(2 * 64), model.Relation))
    for part, section in parts:
        sizes = [layer.out_features for layer in part.modules() if isinstance(layer, nn.Linear)]
        widths = section.model_dump(exclude={"input_dim", "out_dim"}, exclude_none=True).values()
        assert [size for size in sizes if size > 1] == list(widths)
    layer, attention = ViewAttention(64).layer, model.Attention
    assert (layer.self_attn.num_heads, layer.linear1.out_features) == (attention.num_heads, attention.ffn_dim)
    assert layer.dropout.p == attention.dropout
