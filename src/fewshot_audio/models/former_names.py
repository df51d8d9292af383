"""Names that entries of a network's state dict had in former versions; needs no torch."""

from typing import Any

FORMER_NAMES = {"centre": "center"}  # as version 0.1 wrote them


def rename_former(state: dict[str, Any], prefix: str = "") -> None:
    """Give the entries of a network's state dict the names of this version, whichever version wrote it.

    If both names are there, neither is touched, so that loading refuses the former one.
    """
    for former, name in FORMER_NAMES.items():
        if prefix + former in state and prefix + name not in state:
            state[prefix + name] = state.pop(prefix + former)
