"""How many cores there are for this process."""

import os
import sys


def usable_cores() -> int:
    """How many cores this process may use: a part of the machine's on a cluster, and no more than OMP_NUM_THREADS says.

    Processes that work side by side have one thread each by that variable, here as in torch and numpy.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores
