"""Waveform transforms from outside: their options, their own random streams, and what they are applied to."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fewshot_audio.audio.augment.waveform import WaveformDraw, draw_waveform_views, waveform_views
from fewshot_audio.config.augmentation import WaveAugParams
from fewshot_audio.config.load import validate
from fewshot_audio.config.waveform_transforms import register_waveform_transform
from fewshot_audio.errors import ConfigError
from tests.audio.augment.test_waveform_chain import ESC50, generator, noise, params
from tests.transforms import Shortening

CLIPPING = {"name": "Clipping", "params": {"least": 0.2}}
TRIPLING = {"name": "Tripling"}


def with_extra(*extra: Any, p: float = 0.5) -> WaveAugParams:
    return validate(WaveAugParams, {**params(p).model_dump(), "extra": list(extra)}, "file.json")


def make_draw(*extra: Any, rows: int = 6, p: float = 0.5) -> WaveformDraw:
    return draw_waveform_views(with_extra(*extra, p=p), ESC50, rows, 2000, generator())


def numbers(draw: WaveformDraw) -> dict[str, list[Any]]:
    """What is drawn for the built-in transforms, and for each from outside by its name."""
    own = {"built in": [value.tolist() for value in vars(draw).values() if isinstance(value, Tensor)]}
    return own | {each.name: [value.tolist() for value in each.tensors.values()] for each in draw.extra}


def test_no_transform_changes_what_another_draws() -> None:
    both = numbers(make_draw(CLIPPING, TRIPLING))
    assert both == numbers(make_draw(CLIPPING, TRIPLING))
    assert both == numbers(make_draw(TRIPLING, CLIPPING))
    assert both == numbers(make_draw(CLIPPING)) | numbers(make_draw(TRIPLING))
    assert both["built in"] == numbers(make_draw())["built in"]
    assert both["Clipping"] != both["Tripling"]


def test_the_generator_stands_where_it_would_without_them() -> None:
    with_them, without = generator(), generator()
    draw_waveform_views(with_extra(CLIPPING), ESC50, 6, 2000, with_them)
    draw_waveform_views(with_extra(), ESC50, 6, 2000, without)
    assert torch.equal(with_them.get_state(), without.get_state())
    first, second = (draw_waveform_views(with_extra(CLIPPING), ESC50, 6, 2000, with_them) for _ in range(2))
    assert numbers(first)["Clipping"] != numbers(second)["Clipping"]


def test_they_are_applied_after_the_built_in_ones_in_their_order() -> None:
    x = noise(6, 2000)
    built_in = waveform_views(x, make_draw(p=1.0))[:, 1]
    draw = make_draw(CLIPPING, TRIPLING, p=1.0)
    share = draw.extra[0].parameters["share"]
    assert ((share >= 0.2) & (share <= 1)).all()
    limit = (built_in.abs().amax(1) * share).unsqueeze(1)
    views = waveform_views(x, draw)
    assert torch.equal(views[:, 0], x)
    assert torch.equal(views[:, 1], 3 * built_in.clamp(-limit, limit))
    tripled_first = waveform_views(x, make_draw(TRIPLING, CLIPPING, p=1.0))[:, 1]
    torch.testing.assert_close(tripled_first, views[:, 1])  # a share of a threefold peak


def test_the_probability_decides_which_examples_change() -> None:
    x = noise(400, 50)
    draw = draw_waveform_views(with_extra({**TRIPLING, "p": 0.25}, p=0.0), ESC50, 400, 50, generator())
    on = draw.extra[0].on
    assert 70 < int(on.sum()) < 130  # 100, deviation 8.7
    assert torch.equal(waveform_views(x, draw)[:, 1], torch.where(on.unsqueeze(1), 3 * x, x))


def test_an_example_becomes_the_same_alone() -> None:
    x, draw = noise(6, 2000), make_draw({**CLIPPING, "p": 0.5}, TRIPLING)
    together = waveform_views(x, draw)
    for row in range(6):
        assert torch.equal(waveform_views(x[row : row + 1], draw[row : row + 1]), together[row : row + 1])
    chosen = torch.tensor([4, 1])
    assert torch.equal(waveform_views(x[chosen], draw[chosen]), together[chosen])


def test_options_are_those_of_its_section() -> None:
    assert with_extra({"name": "Clipping"}).extra[0].params == {"least": 0.1}  # so that a run records them
    for extra, words in (
        (
            {"name": "Clipping", "params": {"least": 2}},
            r"extra.0.params': least: Input should be less than or equal to 1",
        ),
        ({"name": "Clipping", "params": {"most": 1}}, "most: Extra inputs are not permitted"),
        ({"name": "Tripling", "params": {"least": 1}}, "it has no options"),
        ({"name": "Clipping", "q": 1}, "unknown key 'extra.0.q'"),
        ({"name": "Cliping"}, "there is no waveform transform 'Cliping', did you mean 'Clipping'"),
        ({"name": "elsewhere.sounds:Echo"}, r"runs only if you name its package: --plugin elsewhere"),
    ):
        with pytest.raises(ConfigError, match=words):
            with_extra(extra)
    with pytest.raises(ConfigError, match="Clipping is listed twice"):
        with_extra(CLIPPING, {**CLIPPING, "p": 0.5})


def test_what_it_makes_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = make_draw({"name": "Shortening"})
    with pytest.raises(ConfigError, match=r"'Shortening' made \(6, 1999\) of examples \(6, 2000\)"):
        waveform_views(noise(6, 2000), draw)
    off = replace(draw, extra=tuple(replace(each, on=torch.zeros(6, dtype=torch.bool)) for each in draw.extra))
    assert waveform_views(noise(6, 2000), off).shape == (6, 2, 2000)
    monkeypatch.setattr(Shortening, "rows", 1)
    with pytest.raises(ConfigError, match=r"'Shortening': 'numbers' has shape \(7,\), expected a row for each of 6"):
        make_draw({"name": "Shortening"})
    for drawn in (None, {"numbers": 0.5}, torch.zeros(6)):
        monkeypatch.setattr(Shortening, "draw", lambda *_, drawn=drawn: drawn)
        with pytest.raises(ConfigError, match=r"'Shortening' drew .*, expected a dictionary of tensors"):
            make_draw({"name": "Shortening"})


def test_a_class_without_the_two_methods_is_no_transform() -> None:
    with pytest.raises(ConfigError, match=r"waveform transform 'Half' of .*Half has no apply; each has draw, apply"):

        @register_waveform_transform()
        class Half:
            def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
                return {}
