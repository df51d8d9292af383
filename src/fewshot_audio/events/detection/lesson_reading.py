"""What is learned from: blocks of recordings around the examples, in bounded memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.audio.decode import Decoding, recording_seconds
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.frames import (
    BLOCK_UNITS,
    FLOOR_UNITS,
    FRAMES_PER_SECOND,
    RATE,
    UNIT,
    Block,
    Integers,
    cut_blocks,
    mel_frames,
)
from fewshot_audio.events.detection.lesson import Lesson
from fewshot_audio.events.detection.windows import SHORTEST

MOST_BLOCKS = 8
"""Minutes of one recording that are learned from."""
CONTEXT = 4.5
"""Context of a block, in longest examples: no candidate that begins in it is cut off."""
FIRST_PART = 0.5
"""If the last example ends in the first half of its recording, the examples are taken for the first of it."""


def context_units(longest: float) -> int:
    """Seconds of context for examples of up to ``longest`` seconds, with what the noise floor needs beyond."""
    return int(np.ceil(CONTEXT * longest * FRAMES_PER_SECOND / UNIT)) + FLOOR_UNITS + 2


def are_first(path: Path, last_end: float) -> bool:
    """Whether examples that end at ``last_end`` seconds are likely to be the first events of their recording."""
    seconds = recording_seconds(path)
    return seconds is not None and last_end <= FIRST_PART * seconds


def read_blocks(path: Path, marks: Sequence[Annotation], longest: float, *, background: bool = False) -> list[Block]:
    """Read the minutes of a recording that are learned from.

    Args:
        path: the recording.
        marks: examples and counterexamples in it.
        longest: seconds of the longest example.
        background: whether the recording is learned from without marks.

    Raises:
        Rejected: the recording cannot be used.
    """
    length = BLOCK_UNITS * UNIT
    middles = [int((mark.start + mark.end) / 2 * FRAMES_PER_SECOND) // length for mark in marks]
    counts = {number: middles.count(number) for number in middles}
    chosen = set(sorted(counts, key=lambda number: -counts[number])[:MOST_BLOCKS])
    for number in np.linspace(0, max(chosen, default=-1) + 1, MOST_BLOCKS).astype(int):
        if len(chosen) < MOST_BLOCKS:
            chosen.add(int(number))
    blocks, last = [], MOST_BLOCKS - 1 if background else max(chosen)
    for number, block in enumerate(cut_blocks(mel_frames(Decoding(path, RATE)), context_units(longest))):
        if background or number in chosen:
            blocks.append(block)
        if number == last:
            break
    return blocks


def make_lesson(
    block: Block,
    step: int,
    known_end: float,
    examples: Sequence[Annotation] = (),
    counterexamples: Sequence[Annotation] = (),
    unsure: Sequence[Annotation] = (),
) -> Lesson:
    """A block as one label learns from it.

    Args:
        block: with context.
        step: frames of 5 ms that count as one.
        known_end: seconds in the recording from which nothing is known; infinite if it is known to its end.
        examples: of the label, in the whole recording.
        counterexamples: events that are not the label's, in the whole recording.
        unsure: what may be events, in the whole recording.
    """
    excerpt = block.excerpt(step)
    rate = FRAMES_PER_SECOND / step
    core = excerpt.core[0] - excerpt.first, min(excerpt.core[1] - excerpt.first, len(excerpt.power))

    def frames(marks: Sequence[Annotation]) -> tuple[Integers, Integers]:
        starts = [round(mark.start * rate) - excerpt.first for mark in marks]
        lengths = [max(SHORTEST, round((mark.end - mark.start) * rate)) for mark in marks]
        inside = [
            (start, length)
            for start, length in zip(starts, lengths, strict=True)
            if start < core[1] and start + length > core[0] and start >= 0 and start + length <= len(excerpt.power)
        ]
        table = np.array(inside, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    starts, lengths = frames(examples)
    end = core[1] if known_end == float("inf") else min(core[1], round(known_end * rate) - excerpt.first)
    return Lesson(excerpt, starts, lengths, (core[0], max(core[0], end)), frames(counterexamples), frames(unsure))
