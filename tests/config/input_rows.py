"""Rows of ``input_augmentation``: what a training step sees of its segments, with and without it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fewshot_audio.config import InputAugmentation
from tests.config.bench import Bench, Probe
from tests.config.probes import E, M, bands
from tests.config.rows import Row, as_, so_that
from tests.tiny import STD

TASKS = 6


def inputs(bench: Bench, experiment: E, model: M) -> Tensor:
    """The original views of the segments of some steps. Shape: (segments, mels, frames)."""
    steps = [bench.step(experiment, model, task) for task in range(TASKS)]
    return torch.cat([part[:, :, 0].flatten(0, 1) for step in steps for part in (step.support, step.query)])


def compared(values: Callable[[Tensor, Tensor], Any]) -> Probe:
    """Something about the inputs beside what they would be with everything off."""

    def probe(bench: Bench, experiment: E, model: M) -> Any:
        off = experiment.model_copy(update={"input_augmentation": InputAugmentation()})
        return values(inputs(bench, experiment, model), inputs(bench, off, model))

    return probe


def distance(made: Tensor, plain: Tensor) -> float:
    return (made - plain).abs().mean().item()


def furthest_shift(made: Tensor, plain: Tensor) -> int:
    """The largest of the circular shifts that explain all segments."""
    half = plain.shape[-1] // 2
    actual = []
    for new, old in zip(made, plain, strict=True):
        (shift,) = (s for s in sorted(range(-half + 1, half + 1), key=abs) if torch.equal(new, old.roll(s, -1)))
        actual.append(abs(shift))
    return max(actual)


def levels(made: Tensor, plain: Tensor) -> tuple[float, bool, bool]:
    """The largest change in dB, and whether it is the same in all frames and in all mel bins."""
    change = (made - plain) * STD
    flat = [torch.allclose(change, change.mean(axis, keepdim=True), atol=1e-4) for axis in (-1, -2)]
    return round(change.abs().max().item(), 4), *flat


def corners(made: Tensor, plain: Tensor) -> int:
    """Where the filter curve turns, at most."""
    curve = ((made - plain) * STD).mean(-1)
    return int((curve.diff(n=2, dim=-1).abs() > 1e-3).sum(-1).max())


def masks(axis: int) -> Callable[[Tensor, Tensor], Any]:
    """Most bands in a segment; narrowest and widest band of those that stand alone."""

    def values(made: Tensor, plain: Tensor) -> tuple[int, int, int]:
        assert torch.equal(made[made != 0], plain[made != 0])
        actual = [bands(row) for row in (made == 0).all(axis)]
        widths = [width for segment in actual for width in segment]
        return max(map(len, actual)), min(widths, default=0), max(widths, default=0)

    return values


TIME = {"input_augmentation.time_masks": 1}
FREQUENCY = {"input_augmentation.frequency_masks": 1}
FILTER = {"input_augmentation.filter_db": 9.0}
VIEWS = {"train_query_augmentations": True}


INPUT_ROWS = [
    Row("input_augmentation.time_scale", ([1.0, 1.0], [0.8, 1.0], [0.5, 2.0]), compared(distance),
        so_that(lambda off, little, much: off == 0 < little < much)),
    Row("input_augmentation.shift", (0.0, 0.25, 0.5), compared(furthest_shift),
        so_that(lambda off, quarter, half: off == 0 < quarter <= 8 < half <= 16)),
    Row("input_augmentation.shift", (0.0, 0.5), compared(furthest_shift),
        so_that(lambda off, half: off == 0 < half), given=VIEWS, scenario=5),
    Row("input_augmentation.shift", (0.0, 0.5), compared(distance),
        so_that(lambda off, half: off == 0 < half), given={"input_type": "wav"}),
    Row("input_augmentation.gain_db", (0.0, 3.0, 12.0), compared(levels),
        so_that(lambda off, little, much: off == (0, True, True) and little[1:] == much[1:] == (True, True)
            and 0 < little[0] <= 3 < much[0] <= 12)),
    Row("input_augmentation.filter_db", (0.0, 3.0, 12.0), compared(levels),
        so_that(lambda off, little, much: off == (0, True, True) and little[1:] == much[1:] == (True, False)
            and 0 < little[0] <= 3 < much[0] <= 12)),
    Row("input_augmentation.filter_points", (2, 3, 6), compared(corners),
        so_that(lambda line, bent, wave: line == 0 < bent <= 2 < wave <= 8), given=FILTER),
    Row("input_augmentation.time_masks", (0, 1, 3), compared(lambda *pair: masks(1)(*pair)[0]), as_(0, 1, 3),
        given={"input_augmentation.time_mask_width": [2, 3]}),
    Row("input_augmentation.time_mask_width", ([2, 3], [5, 5]), compared(masks(1)), as_((1, 2, 3), (1, 5, 5)),
        given=TIME),
    Row("input_augmentation.frequency_masks", (0, 1, 3), compared(lambda *pair: masks(2)(*pair)[0]), as_(0, 1, 3),
        given={"input_augmentation.frequency_mask_width": [1, 2]}),
    Row("input_augmentation.frequency_mask_width", ([2, 3], [5, 5]), compared(masks(2)), as_((1, 2, 3), (1, 5, 5)),
        given=FREQUENCY),
]  # fmt: skip
