"""Procedural sounds: a labeled data set that needs no download."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fewshot_audio.audio.decode import Decoded
from fewshot_audio.audio.wav import write_wav
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, SkippedInput
from fewshot_audio.data.sources.sounds import RECIPES, synthesize
from fewshot_audio.errors import DataError

VERSION = 1  # raise it whenever the sounds change


@dataclass(frozen=True, slots=True)
class ProceduralSound:
    """One sound, made when it is read."""

    seed: int
    recipe: int
    clip: int
    seconds: float

    def read(self, sample_rate: int) -> Decoded:
        """Synthesize the sound, which does not depend on the order in which sounds are read."""
        rng = np.random.default_rng([self.seed, self.recipe, self.clip])
        return Decoded(synthesize(RECIPES[self.recipe], rng, self.seconds, sample_rate), "")

    def fingerprint(self) -> str:
        """Return everything that the sound depends on."""
        return f"{VERSION}-{self.seed}-{self.recipe}-{self.clip}-{self.seconds!r}"


@dataclass(frozen=True)
class Synthetic:
    """``classes`` kinds of sounds (combinations of timbre, melody and rhythm), ``clips`` of each."""

    classes: int = 60
    clips: int = 20
    seconds: float = 3.0
    seed: int = 0
    name: ClassVar[str] = "synthetic"
    segment_seconds: ClassVar[float] = 3.0
    limits: ClassVar[SourceLimits] = SourceLimits()

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        if not 1 <= self.classes <= len(RECIPES):
            raise DataError(f"synthetic: {self.classes} classes, expected 1 to {len(RECIPES)}")
        if self.clips < 1 or not 0.1 <= self.seconds <= 600 or self.seed < 0:
            raise DataError(
                f"synthetic: {self.clips} clips of {self.seconds:g} s with seed {self.seed}, expected at least 1 clip "
                "of 0.1 to 600 s and a seed of at least 0"
            )

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every sound, class by class; the seed selects the classes."""
        recipes = np.random.default_rng(self.seed).permutation(len(RECIPES))[: self.classes]
        for recipe in sorted(recipes.tolist()):
            name = RECIPES[recipe].name
            for clip in range(self.clips):
                sound = ProceduralSound(self.seed, recipe, clip, self.seconds)
                yield Recording(f"{name}/{clip:04d}", name, f"{clip:04d}", sound)


def write_wavs(source: Synthetic, root: Path, sample_rate: int = 16_000) -> list[Path]:
    """Write the sounds as ``root/<class>/<clip>.wav`` (16 bit) and return the paths."""
    paths = []
    for item in source.recordings():
        if isinstance(item, Recording):
            path = root / item.class_name / f"{item.clip}.wav"
            write_wav(path, item.sound.read(sample_rate).samples, sample_rate)
            paths.append(path)
    return paths
