"""Silence Lightning's advertisements, and warnings of Lightning and torch that do not apply to this package."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("lightning.pytorch", "lightning.fabric")
MESSAGES = (
    ".*does not have many workers",  # the data loader yields task numbers only
    ".*GPU available but not used",  # the config names the device
    ".*in eval mode at the start of training",  # frozen encoders are
    ".*isinstance\\(treespec, LeafSpec\\)",
    ".*`broadcast_buffers` is deprecated",  # Lightning's advice is to keep using it for buffers of each rank's own
    ".*Grad strides do not match bucket view strides",  # of the first convolution: one channel has no order
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
