"""More examples of an event: its power added to that of other places of the recording, fainter, louder or shifted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import Excerpt, Frames, Integers
from fewshot_audio.events.detection.hearing import CONTEXT, NETWORK_STEP, Ear, HeardFrames
from fewshot_audio.events.detection.windows import WindowFeatures

COPIES = 12
LEAST_GAIN, MOST_GAIN = -8.0, 3.0
"""dB by which copies are louder than the example: calls behind the marked ones are often fainter."""
MOST_SHIFT = 0.08
"""Of a copy's onset, as a part of the length."""
MOST_STRETCH = 0.1
ATTEMPTS = 20


@dataclass(frozen=True)
class Copy:
    """An example over another place.

    Args:
        example: its number among those of the excerpt.
        frames: the place, with what is around it.
        start: first frame of the copy in it.
        length: frames.
    """

    example: int
    frames: HeardFrames
    start: int
    length: int


def mixed_copies(
    excerpt: Excerpt, starts: Integers, lengths: Integers, ear: Ear, random: np.random.Generator
) -> list[Copy]:
    """``COPIES`` of each example of an excerpt, over places of it without example.

    What an example adds to the noise floor is added, in power, to the frames of the other place.

    Args:
        excerpt: where the examples are.
        starts: their first frames in the excerpt.
        lengths: their frames.
        ear: hears the copies.
        random: the generator.
    """
    total, copies = len(excerpt.power), []
    for number, (start, length) in enumerate(np.tile(np.stack([starts, lengths], axis=1), (COPIES, 1))):
        margin = max(int(length) // 2 + SHORTEST_MARGIN, CONTEXT * NETWORK_STEP // excerpt.step)
        first, last = max(0, start - margin), min(total, start + length + margin)
        added = np.maximum(excerpt.power[first:last] - excerpt.floor[first:last], 0.0)
        added[: start - first] = 0.0
        added[start - first + length :] = 0.0
        place = _free_place(last - first, total, starts, lengths, random)
        gain = 10.0 ** (random.uniform(LEAST_GAIN, MOST_GAIN) / 10.0)
        span = slice(place, place + last - first)
        power = excerpt.power[span] + np.float32(gain) * added
        mixed = Excerpt(0, (0, last - first), power, excerpt.floor[span], excerpt.step)
        onset = start - first + round(random.uniform(-MOST_SHIFT, MOST_SHIFT) * length)
        stretched = max(3, round(length * random.uniform(1 - MOST_STRETCH, 1 + MOST_STRETCH)))
        copies.append(Copy(number % len(starts), ear.hear(mixed), onset, stretched))
    return copies


def copy_rows(copies: Sequence[Copy], model: FrameModel) -> Frames:
    """Features of copies, at least one. Shape: -> (copies, width)."""
    rows = [WindowFeatures(own.frames, model).rows(np.array([own.start]), np.array([own.length])) for own in copies]
    return np.concatenate(rows)


SHORTEST_MARGIN = 3  # frames


def _free_place(length: int, total: int, starts: Integers, lengths: Integers, random: np.random.Generator) -> int:
    """The first frame of a stretch that no example touches, if one is found soon."""
    place = 0
    for _ in range(ATTEMPTS):
        place = int(random.integers(0, max(1, total - length)))
        if ((starts >= place + length) | (starts + lengths <= place)).all():
            break
    return place
