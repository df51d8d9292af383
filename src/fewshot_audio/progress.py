"""The hook through which long work reports its progress, so that library code never prints."""

from typing import Protocol


class Progress(Protocol):
    """Called as work advances; implementations draw a bar, write a log or do nothing."""

    def __call__(self, description: str, done: int, total: int, details: str = "") -> None:
        """Report progress.

        Args:
            description: the work, such as "epoch 3".
            done: number of finished steps.
            total: number of all steps.
            details: what else there is to say about it, such as the current loss.
        """


def silent(description: str, done: int, total: int, details: str = "") -> None:
    """Ignore the report."""


def prefixed(progress: Progress, prefix: str) -> Progress:
    """Put ``prefix`` before every description, for work that is a part of other work."""

    def report(description: str, done: int, total: int, details: str = "") -> None:
        progress(prefix + description, done, total, details)

    return report
