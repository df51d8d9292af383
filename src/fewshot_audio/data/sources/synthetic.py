"""Procedural sounds: a labeled data set that needs no download."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile

from fewshot_audio.audio.decode import Samples
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import Recording, Skipped
from fewshot_audio.data.sources.sounds import RECIPES, synthesize
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_bytes

VERSION = 1  # to be raised whenever the sounds change


@dataclass(frozen=True, slots=True)
class ProceduralSound:
    """One sound, made when it is read."""

    seed: int
    recipe: int
    clip: int
    seconds: float

    def read(self, sample_rate: int) -> Samples:
        """Synthesize the sound: always the same one, in whatever order sounds are read."""
        rng = np.random.default_rng([self.seed, self.recipe, self.clip])
        return synthesize(RECIPES[self.recipe], rng, self.seconds, sample_rate)

    def fingerprint(self) -> str:
        """Everything the sound depends on."""
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

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every sound, class by class; the seed decides which kinds there are."""
        recipes = np.random.default_rng(self.seed).permutation(len(RECIPES))[: self.classes]
        for recipe in sorted(recipes.tolist()):
            name = RECIPES[recipe].name
            for clip in range(self.clips):
                sound = ProceduralSound(self.seed, recipe, clip, self.seconds)
                yield Recording(f"{name}/{clip:04d}", name, f"{clip:04d}", sound)


def write_wavs(source: Synthetic, root: Path, sample_rate: int = 16_000) -> list[Path]:
    """Write the sounds as ``root/<class>/<clip>.wav`` (16 bit), to be heard or enrolled; returns the paths."""
    paths = []
    for item in source.recordings():
        if isinstance(item, Recording):
            wav = io.BytesIO()
            soundfile.write(wav, item.sound.read(sample_rate), sample_rate, "PCM_16", format="WAV")
            path = root / item.class_name / f"{item.clip}.wav"
            write_bytes(path, wav.getvalue())
            paths.append(path)
    return paths
