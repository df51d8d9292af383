"""Windows that slide over a stream of samples."""

from collections.abc import Iterable, Iterator

import numpy as np

from fewshot_audio.audio.samples import Samples


def slide(blocks: Iterable[Samples], length: int, hop: int) -> Iterator[tuple[int, Samples]]:
    """Cut a stream into windows of ``length`` samples, one every ``hop`` <= length.

    The last window may be shorter; there is one only if the window before it ends before the stream does.

    Yields:
        The number of a window's first sample, and its samples.
    """
    start, rest, whole = 0, np.empty(0, np.float32), False
    for block in blocks:
        rest = np.concatenate([rest, block])
        position = 0
        while len(rest) - position >= length:
            yield start, rest[position : position + length]
            start, position, whole = start + hop, position + hop, True
        rest = rest[position:]
    if len(rest) > (length - hop if whole else 0):
        yield start, rest
