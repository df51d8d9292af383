"""Stretches of a recording as samples, cut in one pass over it."""

from collections.abc import Iterable, Iterator

import numpy as np

from fewshot_audio.audio.samples import Samples
from fewshot_audio.events.detection.frames import Integers, Numbers


def cut_snippets(
    blocks: Iterable[Samples], rate: int, starts: Numbers, ends: Numbers, longest: float, shortest: float
) -> Iterator[tuple[int, Samples]]:
    """Cut a stream of samples; memory is bounded by the snippets that overlap, not by the recording.

    Args:
        blocks: the samples, in order.
        rate: samples a second.
        starts: seconds (snippets,).
        ends: seconds (snippets,).
        longest: seconds of a snippet, at most: its end is left out.
        shortest: seconds of a snippet, at least: it is made longer by what follows, or by silence at the end.

    Yields:
        Number and samples of each snippet, in the order of the starts.
    """
    first: Integers = np.maximum(0, np.round(starts * rate)).astype(np.int64)
    seconds = np.clip(ends - starts, shortest, longest)
    last = first + np.round(seconds * rate).astype(np.int64)
    order = np.argsort(first, kind="stable")
    held: Samples = np.empty(0, np.float32)
    begin = position = 0
    for block in blocks:
        held = np.concatenate([held, block])
        end = begin + len(held)
        while position < len(order) and last[order[position]] <= end:
            number = int(order[position])
            yield number, held[first[number] - begin : last[number] - begin].copy()
            position += 1
        if position == len(order):
            return
        keep = min(end, int(first[order[position]]))
        held, begin = held[keep - begin :], keep
    for number in (int(number) for number in order[position:]):
        samples = held[max(0, first[number] - begin) : last[number] - begin]
        yield number, np.pad(samples, (0, int(last[number] - first[number]) - len(samples)))
