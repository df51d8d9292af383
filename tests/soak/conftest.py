"""Fixtures of several soak tests."""

import logging
import random

import pytest


@pytest.fixture
def chance() -> random.Random:
    """Random numbers that differ each time; a test that fails shows their seed."""
    seed = random.SystemRandom().randrange(2**32)
    logging.getLogger(__name__).warning("seed %d", seed)
    return random.Random(seed)
