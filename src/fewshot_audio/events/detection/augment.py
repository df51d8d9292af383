"""More examples of an event: its power added to that of other places of the recording, fainter, louder or shifted."""

import numpy as np

from fewshot_audio.events.detection.frame_model import FrameModel
from fewshot_audio.events.detection.frames import Excerpt, Frames, Integers
from fewshot_audio.events.detection.hearing import CONTEXT, NETWORK_STEP
from fewshot_audio.events.detection.windows import WindowFeatures

COPIES = 12
LEAST_GAIN, MOST_GAIN = -8.0, 3.0
"""dB by which copies are louder than the example: calls behind the marked ones are often fainter."""
MOST_SHIFT = 0.08
"""Of a copy's onset, as a part of the length."""
MOST_STRETCH = 0.1
ATTEMPTS = 20


def augmented(
    excerpt: Excerpt, starts: Integers, lengths: Integers, model: FrameModel, random: np.random.Generator
) -> Frames:
    """Features of ``COPIES`` copies of each example of an excerpt, over places of it without example.

    What an example adds to the noise floor is added, in power, to the frames of the other place.

    Args:
        excerpt: where the examples are.
        starts: their first frames in the excerpt.
        lengths: their frames.
        model: of frames.
        random: the generator.

    Shape:
        -> (copies, width).
    """
    total, rows = len(excerpt.power), []
    for start, length in np.tile(np.stack([starts, lengths], axis=1), (COPIES, 1)):
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
        windows = WindowFeatures(model.heard(mixed), model)
        rows.append(windows.rows(np.array([onset]), np.array([stretched])))
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
