"""All clips of ESC-50 as a recognizer's network, its timbre and frozen encoders embed them, computed once."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.models.frozen.installed import installed_encoder
from fewshot_audio.recognition.clips import load_clips
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.recognition.recognizer import Recognizer

OWN, TIMBRE = "own", "timbre"


class EmbeddedClips(NamedTuple):
    """Clips in the order of ESC-50's table.

    Attributes:
        labels: class of each clip, (clips,).
        groups: source recording of each clip, (clips,).
        blocks: features of the clips by what made them, (clips, width).
    """

    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    blocks: dict[str, NDArray[np.float32]]


def embedded_clips(folder: Path, bundle: Path, names: Sequence[str], cache: Path) -> EmbeddedClips:
    """Embed all clips, unless ``cache``, a folder, has them already.

    Args:
        folder: ESC-50 as published.
        bundle: a recognizer, whose network and timbre are the first blocks.
        names: of encoders that are installed.
        cache: for a file of each block.
    """
    with (folder / "meta" / "esc50.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    recognizer = Recognizer.load(bundle)
    encoders = ClipEncoders.of([installed_encoder(name) for name in names])
    own = str(sum(float(value.double().abs().sum()) for value in recognizer.network.state_dict().values()))
    keys = {OWN: own, TIMBRE: str(recognizer.preprocessing.segment_seconds), **encoders.digests}
    files = {name: cache / f"{name}-{key[:16]}.npy" for name, key in keys.items()}
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        made: dict[str, list[NDArray[np.float32]]] = {name: [] for name in missing}
        for row in rows:
            (clip,) = load_clips(folder / "audio" / row["filename"], recognizer.preprocessing)
            values = dict(clip.encoded(encoders, recognizer.preprocessing, [name for name in missing if name in names]))
            if OWN in missing:
                ((_, values[OWN]),) = recognizer.embedder.embed_clips(clip)
            if TIMBRE in missing:
                values[TIMBRE] = clip.timbre(recognizer.preprocessing)
            for name in missing:
                made[name].append(np.asarray(values[name]).reshape(len(clip.segments), -1).mean(axis=0))
        cache.mkdir(parents=True, exist_ok=True)
        for name, values_of_clips in made.items():
            np.save(files[name], np.stack(values_of_clips))
    labels, groups = (np.array([row[key] for row in rows]) for key in ("category", "src_file"))
    return EmbeddedClips(labels, groups, {name: np.load(file) for name, file in files.items()})
