"""What is published of the benchmark's datasets, for folders that other tools made and that do not say it."""

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.data.layout import ALIASES

# By the folder's name in lower case; the authors give none for VoxCeleb.
_WAVE_STATS = {
    "fsd2018": WaveStats(1944.0, 1605.0, 0.056),
    "nsynth": WaveStats(1294.0, 961.0, 0.224),
    "esc-50-master": WaveStats(1191.0, 1669.0, 0.144),
    "birdclef": WaveStats(3038.0, 1910.0, 0.127),
}
_SEGMENT_SECONDS = {"nsynth": 4.0}


def published_wave_stats(name: str) -> WaveStats | None:
    """Return the published spectral statistics of the dataset whose folder has this name; None if there are none."""
    return _WAVE_STATS.get(_key(name))


def published_preprocessing(name: str) -> Preprocessing:
    """Return how the features of the dataset whose folder has this name are published; any other is cut as most are."""
    return Preprocessing(segment_seconds=_SEGMENT_SECONDS.get(_key(name), 5.0))


def _key(name: str) -> str:
    return ALIASES.get(name.lower(), name.lower())
