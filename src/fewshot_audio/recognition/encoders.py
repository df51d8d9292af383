"""The frozen encoders beside a recognizer's network: a block of features of each, for decisions."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fewshot_audio.audio.samples import Samples
from fewshot_audio.config.frozen import MOST_ENCODERS
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.installed import open_encoder
from fewshot_audio.recognition.scoring import Rows

Encoded = Mapping[str, Rows]
"""Rows of a clip's segments by encoder: (segments, width of the encoder), float32."""


@dataclass(frozen=True)
class Cost:
    """The seconds that an encoder took for so many clips."""

    seconds: float = 0.0
    clips: int = 0


@dataclass
class ClipEncoders:
    """Embeds clips by frozen encoders of this user, each opened when it is first needed.

    Args:
        descriptions: of the encoders, by name; none if left out. They are kept in the order of their names, in which
            blocks stand in decisions and bundles, whichever order they are named in.
        chosen_by_clips: whether they were chosen by the enrolled clips.
        embed: whether bundles hold their files.

    Raises:
        ConfigError: bundles are to hold a TFLite file.
    """

    descriptions: Mapping[str, EncoderDescription] = field(default_factory=dict)
    chosen_by_clips: bool = False
    embed: bool = False

    def __post_init__(self) -> None:
        self.descriptions = dict(sorted(self.descriptions.items()))
        unfit = [name for name, value in self.descriptions.items() if value.is_tflite and self.embed]
        if unfit:  # a bundle goes to others, whom a TFLite file could harm
            raise ConfigError(f"the encoder {unfit[0]!r} is a TFLite file, which a bundle cannot hold: do not embed it")
        self.costs: dict[str, Cost] = {}
        self._open: dict[str, FrozenEncoder] = {}
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"the encoders {', '.join(self.descriptions)}" if self.descriptions else "no encoder"

    @classmethod
    def of(cls, descriptions: Sequence[EncoderDescription], *, embed: bool = False) -> "ClipEncoders":
        """These encoders. Raises ConfigError for too many."""
        if len(descriptions) > MOST_ENCODERS:
            raise ConfigError(f"{len(descriptions)} encoders, expected at most {MOST_ENCODERS}")
        return cls({description.name: description for description in descriptions}, embed=embed)

    @property
    def digests(self) -> dict[str, str]:
        """What identifies each encoder, by name."""
        return {name: description.digest for name, description in self.descriptions.items()}

    def only(self, names: Iterable[str]) -> "ClipEncoders":
        """Some of them, chosen by the enrolled clips."""
        return ClipEncoders({name: self.descriptions[name] for name in names}, True, self.embed)

    def rows(self, segments: Samples, samples: int, sample_rate: int, names: Iterable[str] | None = None) -> Encoded:
        """Embed a clip's segments; where the last one was filled up, what was there before.

        Args:
            segments: of the normalized clip, (S, segment_samples).
            samples: how many samples the clip has.
            sample_rate: of the segments, Hz.
            names: of the encoders; default: all.

        Raises:
            ConfigError: an encoder is not usable.
        """
        rest = samples - (len(segments) - 1) * segments.shape[1]
        last = segments[-1][: rest if 0 < rest < segments.shape[1] else segments.shape[1]]
        encoded = {}
        for name in self.descriptions if names is None else names:
            encoder = self._encoder(name)
            start = time.perf_counter()
            encoded[name] = np.stack([encoder.embed(part, sample_rate) for part in (*segments[:-1], last)])
            seconds = time.perf_counter() - start
            with self._lock:
                former = self.costs.get(name, Cost())
                self.costs[name] = Cost(former.seconds + seconds, former.clips + 1)
        return encoded

    def _encoder(self, name: str) -> FrozenEncoder:
        with self._lock:
            if name not in self._open:
                self._open[name] = open_encoder(self.descriptions[name])
            return self._open[name]
