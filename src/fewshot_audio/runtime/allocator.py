"""The C library's allocator, set to keep freed memory."""

import ctypes
import os
import sys

# mallopt's parameters, from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_pages() -> bool:
    """Make glibc's allocator keep freed pages instead of returning them to the kernel.

    A training step, and a clip's preparation, allocate and free the same large blocks again and again. With the default
    settings each allocation takes fresh pages from the kernel, which is most of the time of a small network's training
    step on the CPU.

    Returns:
        Whether the allocator is set so; not with another C library, or if the environment variable
        ``FEWSHOT_AUDIO_SYSTEM_ALLOCATOR`` is set.
    """
    if not sys.platform.startswith("linux") or os.environ.get("FEWSHOT_AUDIO_SYSTEM_ALLOCATOR"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1) and mallopt(M_TOP_PAD, 64 * 1024 * 1024))
