"""Silence Lightning's advertisements, and warnings of Lightning and torch that do not apply to this package."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("lightning.pytorch", "lightning.fabric")
MESSAGES = (
    ".*does not have many workers",  # the data loader yields task numbers only
    ".*GPU available but not used",  # the config names the device
    ".*in eval mode at the start of training",  # true of frozen encoders
    ".*isinstance\\(treespec, LeafSpec\\)",
    ".*`broadcast_buffers` is deprecated",  # Lightning still advises it for buffers that differ between ranks
    ".*Grad strides do not match bucket view strides",  # one input channel has an arbitrary stride
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block, hide log lines below warnings (``LOGGERS``) and known warnings (``MESSAGES``)."""
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
