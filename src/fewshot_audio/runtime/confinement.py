"""Bounds on a process that works on what strangers may have made."""

import sys


def confine(address_space: int) -> None:
    """Bound the memory of this process and its children, and let them write no file, if the system supports it."""
    if sys.platform == "win32":
        return
    import resource

    for kind, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]  # this process may not raise it
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (bound, bound))
