"""A row of the table that proves what a key does: values of the key, what is observed, what is expected of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from fewshot_audio.config import check_configs
from fewshot_audio.errors import FewShotError
from tests.config.bench import Bench, Probe, plain
from tests.tiny import tiny_configs

Expectation = Callable[[list[Any], tuple[Any, ...]], None]
Given = Mapping[str, Any] | Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Refusal:
    """A value that was refused."""

    message: str


def differ(seen: list[Any], values: tuple[Any, ...]) -> None:
    """Every value makes another difference, and none is refused."""
    assert not [actual for actual in seen if isinstance(actual, Refusal)], seen
    observed = [plain(actual) for actual in seen]
    for i, actual in enumerate(observed):
        assert actual not in observed[:i], f"{values[i]!r} changes nothing: {actual}"


def the_value(seen: list[Any], values: tuple[Any, ...]) -> None:
    """What is observed is the key's value."""
    assert seen == list(values)


def as_(*expected: Any) -> Expectation:
    """What is observed for each value is given."""

    def expectation(seen: list[Any], values: tuple[Any, ...]) -> None:
        assert seen == list(expected)

    return expectation


def so_that(holds: Callable[..., bool]) -> Expectation:
    """A relation between what is observed for the values."""

    def expectation(seen: list[Any], values: tuple[Any, ...]) -> None:
        assert not [actual for actual in seen if isinstance(actual, Refusal)], seen
        assert holds(*seen), seen

    return expectation


@dataclass(frozen=True)
class Row:
    """``key`` takes each of ``values``, everything else as in ``scenario`` with ``given``; ``probe`` observes."""

    key: str
    values: tuple[Any, ...]
    probe: Probe
    expect: Expectation = differ
    given: Given = field(default_factory=dict)
    scenario: int = 1
    loss: Literal["cpl", "angular"] = "cpl"
    encoder: Literal["CNN", "Hybrid"] = "Hybrid"

    def check(self, bench: Bench) -> None:
        """Observe the behavior under each value and hold it against the expectation."""
        self.expect([self._observe(bench, value) for value in self.values], self.values)

    def _observe(self, bench: Bench, value: Any) -> Any:
        given = self.given(value) if callable(self.given) else self.given
        changes = {"num_epochs": 1, **given, self.key: value}
        try:
            configs = tiny_configs(changes, scenario=self.scenario, loss=self.loss, encoder=self.encoder)
            check_configs(*configs)
            return self.probe(bench, *configs)
        except (FewShotError, ValidationError) as error:
            return Refusal(str(error))
