"""Waveform transforms from outside: drawn from random streams of their own, applied after the built-in ones."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from fewshot_audio.config.waveform_transforms import WAVEFORM_TRANSFORMS, ExtraTransform
from fewshot_audio.errors import ConfigError

PREFIX = "parameters."


class WaveformTransform(Protocol):
    """A transform, made with its options as keyword arguments.

    What happens to an example may depend on that example and its parameters alone: everything random is drawn, so
    that an example becomes the same in any batch.
    """

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw the parameters of ``n`` examples, on the CPU: tensors of ``n`` rows."""

    def apply(self, waveforms: Tensor, parameters: dict[str, Tensor], sample_rate: int) -> Tensor:
        """Transform examples. The parameters are theirs, on their device. Shape: (m, samples) -> (m, samples)."""


@dataclass(frozen=True)
class ExtraDraw:
    """A transform from outside and its parameters for ``n`` examples.

    Attributes:
        name: its registered name.
        transform: the transform.
        on: (n,) bool: which examples it applies to.
        parameters: what it drew, n rows each.
    """

    name: str
    transform: WaveformTransform
    on: Tensor
    parameters: dict[str, Tensor]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors: "on", and the parameters as "parameters.<name>"."""
        return {"on": self.on, **{f"{PREFIX}{name}": value for name, value in self.parameters.items()}}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """The same with other tensors of the same names."""
        parameters = {name: tensors[PREFIX + name] for name in self.parameters}
        return replace(self, on=tensors["on"], parameters=parameters)

    def apply(self, x: Tensor, sample_rate: int) -> Tensor:
        """Transform the examples that it applies to. Shape: (n, samples) -> (n, samples)."""
        rows = self.on.nonzero().squeeze(1)
        if not len(rows):
            return x
        index = rows.to(x.device)
        examples = x.index_select(0, index)
        result = self.transform.apply(
            examples, {k: v[rows].to(x.device) for k, v in self.parameters.items()}, sample_rate
        )
        if result.shape != examples.shape:
            raise ConfigError(
                f"waveform transform {self.name!r} made {tuple(result.shape)} of examples {tuple(examples.shape)}: "
                "expected the same shape"
            )
        return x.index_copy(0, index, result.to(x.dtype))


def draw_extra(transforms: Sequence[ExtraTransform], n: int, generator: torch.Generator) -> tuple[ExtraDraw, ...]:
    """Draw the parameters of transforms from outside, in the order in which they are applied.

    Each has a random stream of its own, keyed by its name and by where ``generator`` is, which does not move: adding,
    removing or reordering one changes no other's draws.

    Args:
        transforms: their names, probabilities and options.
        n: number of examples.
        generator: a CPU generator.

    Raises:
        ConfigError: what a transform draws is not one row for each example.
    """
    if not transforms:
        return ()
    ahead = torch.Generator()
    ahead.set_state(generator.get_state())
    key = int(torch.randint(2**63 - 1, (1,), generator=ahead))
    return tuple(_draw(transform, n, key) for transform in transforms)


def _draw(extra: ExtraTransform, n: int, key: int) -> ExtraDraw:
    part = WAVEFORM_TRANSFORMS.find(extra.name)
    transform: WaveformTransform = part.make(**extra.params)
    digest = hashlib.sha256(f"{key} {part.name}".encode()).digest()
    stream = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
    on = torch.rand(n, dtype=torch.float64, generator=stream) < extra.p
    parameters: object = transform.draw(n, stream)
    if not isinstance(parameters, dict) or not all(isinstance(value, Tensor) for value in parameters.values()):
        raise ConfigError(f"waveform transform {part.name!r} drew {parameters!r:.99}, expected a dictionary of tensors")
    wrong = [name for name, value in parameters.items() if value.shape[:1] != (n,)]
    if wrong:
        raise ConfigError(
            f"waveform transform {part.name!r}: {wrong[0]!r} has shape {tuple(parameters[wrong[0]].shape)}, "
            f"expected a row for each of {n} examples"
        )
    return ExtraDraw(part.name, transform, on, parameters)
