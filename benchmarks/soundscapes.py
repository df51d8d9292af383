"""``python -m benchmarks.soundscapes DATA OUT``: recordings with known events, mixed from folders of short sounds.

Each recording has one target class. Its calls, and sounds of other classes of the same collection, are cut at their
energy (30 ms to 5 s) and mixed over a background at a signal-to-noise ratio drawn for each. ``song`` is denser: motifs
of syllables with short gaps, of which one is the target, rendered a little differently each time.
"""

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from fewshot_audio.data.splits import read_splits

Samples = NDArray[np.float32]

RATE = 22050
KINDS = ("animals", "percussion", "keywords", "notes", "song")
SHORTEST, LONGEST = 0.03, 5.0
ANIMALS = (
    *("frog", "pig", "insects", "chirping_birds", "sheep", "cat", "rooster", "hen", "coughing", "laughing", "clapping"),
    *("mouse_click", "door_wood_knock", "water_drops", "can_opening", "crying_baby", "door_wood_creaks", "car_horn"),
    *("crow", "cow", "dog", "sneezing", "glass_breaking"),
)
WEATHER = (
    *("sea_waves", "rain", "wind", "crickets", "crackling_fire", "train", "washing_machine", "helicopter"),
    *("thunderstorm", "airplane", "engine"),
)
FOLDERS = {"percussion": "drumkit", "keywords": "words", "notes": "instruments"}


@dataclass(frozen=True)
class Call:
    """An event of the target class: seconds from the start of the recording, and its signal-to-noise ratio in dB."""

    start: float
    end: float
    snr: float


@dataclass(frozen=True)
class Soundscape:
    """A recording at ``RATE``, the calls of its target class, in order, and the sounds of other classes."""

    name: str
    label: str
    samples: Samples
    calls: tuple[Call, ...]
    others: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Palette:
    """Files to mix from: sounds by class, and backgrounds by class."""

    sounds: dict[str, list[Path]]
    backgrounds: dict[str, list[Path]]


def list_palette(data: Path, kind: str, half: str = "development") -> Palette:
    """The files of one kind of soundscape: of the classes for development, or of those for the report.

    Args:
        data: holds ``ESC-50-master``, ``published-splits``, ``halves.json`` and the collections of class folders.
        kind: one of ``KINDS``.
        half: ``development`` or ``report``; of ESC-50 training and validation classes, or test classes.
    """
    folder = data / "ESC-50-master"
    splits = read_splits(data / "published-splits" / "ESC-50-master" / "splits.npy")
    names = splits.test if half == "report" else (*splits.train, *splits.validation)
    esc50: dict[str, list[Path]] = {}
    with (folder / "meta" / "esc50.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            esc50.setdefault(row["category"], []).append((folder / "audio" / row["filename"]).with_suffix(".flac"))
    backgrounds = {name: sorted(esc50[name]) for name in WEATHER if name in names}
    if kind in FOLDERS:
        classes = json.loads((data / "halves.json").read_text())[FOLDERS[kind]][half]
        return Palette({name: sorted((data / FOLDERS[kind] / name).iterdir()) for name in classes}, backgrounds)
    return Palette({name: sorted(esc50[name]) for name in ANIMALS if name in names}, backgrounds)


def read_samples(path: Path) -> Samples:
    """A file as mono samples at ``RATE``."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    resampled: Samples = soxr.resample(samples.mean(axis=1), rate, RATE)
    return resampled


def cut_call(samples: Samples, longest: float = LONGEST) -> Samples | None:
    """The loudest stretch between pauses; None if it is shorter than ``SHORTEST``; cut at ``longest`` seconds."""
    parts = librosa.effects.split(samples, top_db=25, frame_length=512, hop_length=128)
    if not len(parts):
        return None
    start, end = max(parts, key=lambda part: float(np.abs(samples[part[0] : part[1]]).max()))
    end = min(end, start + round(longest * RATE))
    return samples[start:end] if end - start >= SHORTEST * RATE else None


def mix(
    palette: Palette,
    label: str,
    seed: int,
    *,
    minutes: float = 6.0,
    calls: int = 25,
    distractors: int = 20,
    snr: tuple[float, float] = (-3.0, 12.0),
) -> Soundscape:
    """A recording with calls of one class, sounds of others and two backgrounds one after another.

    Args:
        palette: the files.
        label: the target class.
        seed: the recording depends on it and the files alone.
        minutes: duration.
        calls: of the target class; each from a file of its own as long as there are files.
        distractors: sounds of other classes.
        snr: the lowest and highest signal-to-noise ratio, of the mean power of a call to that of what is behind it.
    """
    random = np.random.default_rng([seed, *label.encode()])
    background = mix_background(palette, random, round(minutes * 60 * RATE))
    own = _calls(palette.sounds[label], random, calls)
    classes = [name for name in palette.sounds if name != label]
    others = [call for name in random.permutation(classes)[:8] for call in _calls(palette.sounds[name], random, 3)]
    is_target = random.permutation(np.r_[np.ones(calls, bool), np.zeros(distractors, bool)])
    slots = np.linspace(2.0, minutes * 60 - 8.0, len(is_target))
    samples, events, rest, number = background.copy(), list[Call](), list[Call](), 0
    for slot, target in zip(slots, is_target, strict=True):
        sound = own[number % len(own)] if target else others[random.integers(len(others))]
        number += bool(target)
        level = random.uniform(*snr)
        start = round((slot + random.uniform(0.0, 2.0)) * RATE)
        end = _add(samples, background, sound, start, level)
        (events if target else rest).append(Call(start / RATE, end / RATE, level))
    return Soundscape(f"{label}-{seed}", label, _scaled(samples), tuple(events), tuple(rest))


def mix_song(
    palette: Palette, seed: int, *, minutes: float = 3.0, snr: tuple[float, float] = (8.0, 20.0)
) -> Soundscape:
    """Song: bouts of a motif of syllables with gaps of 15 to 80 ms, with pauses between bouts, over faint noise."""
    random = np.random.default_rng([seed, 1])
    background = mix_background(palette, random, round(minutes * 60 * RATE))
    sounds = [path for files in palette.sounds.values() for path in files]
    syllables: list[Samples] = []
    while len(syllables) < 7:
        call = cut_call(read_samples(sounds[random.integers(len(sounds))]))
        if call is not None:
            begin = random.integers(max(1, len(call) - RATE // 10))
            part = call[begin : begin + round(random.uniform(0.03, 0.2) * RATE)]
            edge = min(len(part) // 4, RATE // 100)
            ramp = np.ones(len(part), np.float32)
            ramp[:edge], ramp[-edge:] = np.linspace(0, 1, edge), np.linspace(1, 0, edge)
            syllables.append(part * ramp)
    motif = [int(number) for number in random.permutation(7)[:6]]
    target = motif[random.integers(6)]
    samples, events, rest, at, level = background.copy(), list[Call](), list[Call](), 2.0, random.uniform(*snr)
    while at < minutes * 60 - 10:
        for _ in range(random.integers(1, 5)):
            for number in motif:
                if random.random() < 0.15:
                    number = int(random.integers(7))
                own_level = level + random.uniform(-4.0, 2.0)
                start = round(at * RATE)
                end = _add(samples, background, _rendition(syllables[number], random), start, own_level)
                (events if number == target else rest).append(Call(start / RATE, end / RATE, own_level))
                at = end / RATE + random.uniform(0.015, 0.08)
        at += random.uniform(1.0, 12.0)
    return Soundscape(f"song-{seed}", "syllable", _scaled(samples), tuple(events), tuple(rest))


def soundscapes(
    data: Path, kind: str, seeds: Sequence[int], half: str = "development"
) -> list[Callable[[], Soundscape]]:
    """Makers of the soundscapes of one kind: one for each class and seed (``song``: one for each of four draws)."""
    palette = list_palette(data, kind, half)
    if kind == "song":
        return [partial(mix_song, palette, seed * 4 + number) for seed in seeds for number in range(4)]
    return [partial(mix, palette, label, seed) for seed in seeds for label in palette.sounds]


def _calls(files: Sequence[Path], random: np.random.Generator, number: int) -> list[Samples]:
    calls: list[Samples] = []
    for index in random.permutation(len(files)):
        if len(calls) < number and (call := cut_call(read_samples(files[index]))) is not None:
            calls.append(call)
    return calls


def mix_background(palette: Palette, random: np.random.Generator, length: int) -> Samples:
    """Files of two classes one after another, each at the same mean power, faded into each other over 0.5 s."""
    names = random.permutation(list(palette.backgrounds))[:2]
    background, at, fade = np.zeros(length, np.float32), 0, RATE // 2
    while at < length:
        files = palette.backgrounds[str(names[int(at > length // 2) % len(names)])]
        part = read_samples(files[random.integers(len(files))])
        part = part / (np.sqrt(np.mean(part**2)) + 1e-9) * 0.03
        step, count = len(part) - fade, min(len(part), length - at)
        ramp = np.minimum(1.0, np.minimum(np.arange(len(part)), np.arange(len(part))[::-1]) / fade)
        background[at : at + count] += (part * ramp)[:count]
        at += step
    return background + random.normal(0.0, 1e-4, length).astype(np.float32)


def _add(samples: Samples, background: Samples, sound: Samples, start: int, level: float) -> int:
    """Add a sound in place at a signal-to-noise ratio; returns its end."""
    end = min(start + len(sound), len(samples))
    sound = sound[: end - start]
    noise, own = np.sqrt(np.mean(background[start:end] ** 2)), np.sqrt(np.mean(sound**2)) + 1e-9
    samples[start:end] += sound * noise / own * 10 ** (level / 20)
    return end


def _rendition(syllable: Samples, random: np.random.Generator) -> Samples:
    """The syllable a little higher or lower, longer or shorter, and tilted in frequency."""
    varied: Samples = soxr.resample(syllable, RATE, RATE * random.uniform(0.94, 1.06)).astype(np.float32)
    tilt = random.uniform(-0.3, 0.3)
    varied[1:] += tilt * varied[:-1]
    return varied


def _scaled(samples: Samples) -> Samples:
    scaled: Samples = (samples / np.abs(samples).max() * 0.9).astype(np.float32)
    return scaled


def main() -> None:
    """Write soundscapes as NAME.wav, NAME.truth.csv and NAME.examples.csv (the first five)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", choices=KINDS, default="animals")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for make in soundscapes(arguments.data, arguments.kind, arguments.seeds):
        scape = make()
        soundfile.write(arguments.out / f"{scape.name}.wav", scape.samples, RATE)
        for suffix, calls in (("truth", scape.calls), ("examples", scape.calls[:5])):
            with (arguments.out / f"{scape.name}.{suffix}.csv").open("w", newline="") as stream:
                rows = [[f"{scape.name}.wav", f"{c.start:.4f}", f"{c.end:.4f}", scape.label] for c in calls]
                csv.writer(stream).writerows([["file", "start", "end", "label"], *rows])


if __name__ == "__main__":
    main()
