"""How many cores there are for this process."""

import os
import sys


def usable_cores() -> int:
    """How many cores this process may use: a part of the machine's on a cluster."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
