"""What training soundscapes are mixed from: the events in recordings of classes, and backgrounds, as mel power."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.audio.samples import Samples
from fewshot_audio.data.sources.base import Recording, Source
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.events.detection.frames import N_MELS, RATE, Frames, mel_frames
from fewshot_audio.progress import Progress, silent

log = logging.getLogger(__name__)

Decibels = NDArray[np.float16]
"""Mel power of frames every 10 ms, (frames, N_MELS); float16 is exact to 0.06 dB."""

STEP = 2
"""Frames of 5 ms that count as one."""
MARGIN = 2
"""Frames before and behind an event: a frame's window is longer than its hop."""
MOST_EVENTS = 3
"""Of one recording, the loudest."""
SHORTEST, LONGEST = 0.03, 4.0  # seconds
AUDIBLE = 25.0
"""dB below its loudest moment to which an event lasts."""
_POWER_WINDOW, _POWER_HOP = 512, 128  # samples
_RMS = 0.03
"""To which events and backgrounds are scaled."""
_LEAST_POWER = 1e-12


@dataclass(frozen=True)
class SoundPool:
    """Events by class, classes by collection, and backgrounds.

    Args:
        classes: "collection/class".
        collection_of: number of each class's collection, (classes,).
        collections: names.
        events: of each class, with ``MARGIN`` frames of silence on both sides.
        backgrounds: recordings.
    """

    classes: tuple[str, ...]
    collection_of: NDArray[np.int64]
    collections: tuple[str, ...]
    events: tuple[tuple[Decibels, ...], ...]
    backgrounds: tuple[Decibels, ...]


def read_sounds(
    sources: Mapping[str, Source],
    backgrounds: Collection[str],
    excluded: Collection[str] = (),
    progress: Progress = silent,
) -> SoundPool:
    """Read collections of recordings.

    Args:
        sources: by the collections' names.
        backgrounds: classes, "collection/class", whose recordings are what events are heard over.
        excluded: classes that are left out; a collection's name leaves it out as a whole.
        progress: called for each recording.

    Raises:
        DataError: a class that is named is not there, or there is no event or no background.
    """
    events: dict[str, list[Decibels]] = {}
    quiet: list[Decibels] = []
    names = set()
    for collection, source in sources.items():
        recordings = [item for item in source.recordings() if isinstance(item, Recording)]
        for number, recording in enumerate(recordings):
            progress(f"reading {collection}", number, len(recordings))
            name = f"{collection}/{recording.class_name}"
            names |= {collection, name}
            if collection in excluded or name in excluded:
                continue
            try:
                samples = recording.sound.read(RATE).samples
            except Rejected as error:
                log.warning("%s/%s: left out: %s", collection, on_one_line(recording.source), error)
                continue
            if name in backgrounds:
                quiet.append(_decibels(_scaled(samples)))
            else:
                events.setdefault(name, []).extend(_events(samples))
    missing = sorted((set(backgrounds) | set(excluded)) - names)
    if missing:
        raise DataError(f"there is no class {missing[0]!r} in the recordings")
    classes = tuple(sorted(name for name, own in events.items() if own))
    if not classes or not quiet:
        raise DataError(f"{len(classes)} classes of events and {len(quiet)} backgrounds: expected some of both")
    collections = tuple(name for name, _ in groupby(classes, lambda name: name.partition("/")[0]))
    of_class = np.array([collections.index(name.partition("/")[0]) for name in classes])
    return SoundPool(classes, of_class, collections, tuple(tuple(events[name]) for name in classes), tuple(quiet))


def cut_events(samples: Samples) -> list[Samples]:
    """The loudest stretches between pauses, each of ``SHORTEST`` to ``LONGEST`` seconds; longer ones are cut."""
    power = uniform_filter1d(np.square(samples), _POWER_WINDOW, mode="constant")[::_POWER_HOP]
    is_audible = np.concatenate([[False], power > power.max(initial=0.0) * 10.0 ** (-AUDIBLE / 10.0), [False]])
    edges = np.flatnonzero(np.diff(is_audible.astype(np.int8))).reshape(-1, 2) * _POWER_HOP
    parts = [samples[start : min(end, start + round(LONGEST * RATE))] for start, end in edges]
    parts = [part for part in parts if len(part) >= SHORTEST * RATE]
    return sorted(parts, key=lambda part: -float(np.abs(part).max()))[:MOST_EVENTS]


def _events(samples: Samples) -> list[Decibels]:
    silence = np.zeros(MARGIN * RATE // 100, np.float32)
    return [_decibels(np.concatenate([silence, _scaled(part), silence])) for part in cut_events(samples)]


def _scaled(samples: Samples) -> Samples:
    scaled: Samples = samples / (np.sqrt(np.mean(np.square(samples))) + 1e-9) * np.float32(_RMS)
    return scaled


def _decibels(samples: Samples) -> Decibels:
    frames: Frames = np.concatenate(list(mel_frames([samples])))
    whole = len(frames) // STEP
    power = frames[: whole * STEP].reshape(whole, STEP, N_MELS).mean(axis=1)
    decibels: Decibels = (10.0 * np.log10(np.maximum(power, _LEAST_POWER))).astype(np.float16)
    return decibels
