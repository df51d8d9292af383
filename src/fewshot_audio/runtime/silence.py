"""Silence what Lightning and torch say to everybody: advertisements, and advice that does not apply here."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("lightning.pytorch", "lightning.fabric")
MESSAGES = (
    ".*does not have many workers",  # a batch is a number
    ".*GPU available but not used",  # the config says where
    ".*in eval mode at the start of training",  # what is frozen
    ".*isinstance\\(treespec, LeafSpec\\)",
    ".*`broadcast_buffers` is deprecated",  # Lightning's advice is to keep using it for buffers of each rank's own
    ".*Grad strides do not match bucket view strides",  # of the first convolution: one channel has no order
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence it inside the block."""
    levels = [(logging.getLogger(name), logging.getLogger(name).level) for name in LOGGERS]
    for logger, _ in levels:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in MESSAGES:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)
