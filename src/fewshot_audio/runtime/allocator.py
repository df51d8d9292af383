"""The C library's allocator, told to keep what it has."""

import ctypes
import os
import sys

# mallopt's parameters, from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_pages() -> bool:
    """Tell glibc's allocator to keep freed pages; returns whether it did.

    A training step, and a clip's preparation, free and take the same large blocks again and again; with the default
    settings each costs fresh pages from the kernel, which is most of the time of a small network's step on the CPU.
    """
    if not sys.platform.startswith("linux") or os.environ.get("FEWSHOT_AUDIO_SYSTEM_ALLOCATOR"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1) and mallopt(M_TOP_PAD, 64 * 1024 * 1024))
