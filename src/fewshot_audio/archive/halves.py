"""Numbers of 16 bits, as an index holds them, and of 32 bits, as they are computed with."""

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.errors import DataError

Halves = NDArray[np.float16]
Singles = NDArray[np.float32]

LARGEST_HALF = 65504.0

_SIGN_AND_NUMBER = np.int32(-0x70000001)  # without the bits into which the sign was shifted
_EXPONENTS = np.float32(2.0**112)  # from the bias of 16 bits, 15, to that of 32 bits, 127


def narrow(rows: Singles) -> Halves:
    """Round to 16 bits. Raises DataError if a number is not finite, or too large."""
    if not (np.abs(rows) <= LARGEST_HALF).all():
        raise DataError(f"an embedding is not finite, or exceeds {LARGEST_HALF:g}, the largest number of an index")
    return rows.astype(np.float16)


def widen(halves: Halves, out: Singles | None = None) -> Singles:
    """Numbers of 16 bits as the same numbers of 32 bits, in half of the time that numpy takes.

    What is no finite number, which ``narrow`` writes nowhere, becomes a finite one of more than 65504.

    Args:
        halves: (rows, width).
        out: C-contiguous array of the same shape that is written to; default: a new one.
    """
    wide = np.empty(halves.shape, np.float32) if out is None else out
    bits = wide.view(np.int32)
    np.copyto(bits, halves.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, _SIGN_AND_NUMBER, out=bits)
    np.multiply(wide, _EXPONENTS, out=wide)
    return wide
