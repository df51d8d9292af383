"""How long work reports where it stands: through a hook, so that library code never prints."""

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; implementations draw a bar, write a log or do nothing."""

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        """Report that ``done`` of ``total`` steps of ``description`` are finished."""


def silent(description: str, done: int, total: int, details: str = "") -> None:
    """Ignore the report."""
