"""``python -m benchmarks.background DATA``: what an enrolled background saves in false alarms.

Each draw mixes recordings of one place: sounds of four own classes, and of eight others, over weather and machines.
Five sounds of each own class are enrolled: ``marked``, a segment around each in a recording of the place, or ``clean``,
clips as they were before mixing. Recordings of the place without the own classes are the background, and another one is
asked about in windows, with and without the background. No source recording is in two of the three.

A window is a false alarm if it is answered by a class of which no sound overlaps it; a sound is recognized if a window
that has half of it or more is answered by its class. The threshold of the unknown score is swept for both, and false
alarms are compared at equal shares of recognized sounds.
"""

import argparse
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.soundscapes import RATE, WEATHER, cut_call, read_samples
from fewshot_audio.data.splits import read_splits
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.studies.tables import markdown_table

Samples = NDArray[np.float32]

KINDS = ("esc50", "urban")
WAYS: tuple[Literal["marked", "clean"], ...] = ("marked", "clean")
OWN, OTHERS = 4, 8
EACH, N_OTHERS = 5, 20  # sounds of each own class, and of others, in a recording
SPACING, LONGEST = 8.0, 3.0  # seconds
SNR = (0.0, 12.0)
HOP = 2.5
LEAST_GROUPS = 6
SHARES = (0.3, 0.4, 0.5)
"""Of sounds that are recognized, at which false alarms are compared."""
URBAN_GROUP = re.compile(r"fold\d+_(\d+)-")


class Sound(NamedTuple):
    """Where a sound lies in a recording, in seconds, and its class."""

    start: float
    end: float
    label: str


class Recording(NamedTuple):
    """Samples at ``RATE``, and the sounds of the enrolled classes in them."""

    samples: Samples
    sounds: list[Sound]


class Draw(NamedTuple):
    """Recordings: of sounds to enroll, of the background, and one that is asked about; and clips without weather."""

    enrolled: Recording
    background: list[Recording]
    asked: Recording
    clean: dict[str, list[Path]]


Groups = Mapping[str, Sequence[Sequence[Path]]]
"""Of each class the files, grouped by the recording that they were cut from."""


def list_groups(data: Path) -> tuple[Groups, Groups]:
    """The classes for development: those of ESC-50 (training and validation), and of urban."""
    folder = data / "ESC-50-master"
    splits = read_splits(data / "published-splits" / "ESC-50-master" / "splits.npy")
    esc50: dict[str, dict[str, list[Path]]] = {name: {} for name in (*splits.train, *splits.validation)}
    with (folder / "meta" / "esc50.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["category"] in esc50:
                path = (folder / "audio" / row["filename"]).with_suffix(".flac")
                esc50[row["category"]].setdefault(row["src_file"], []).append(path)
    urban: dict[str, dict[str, list[Path]]] = {}
    for name in json.loads((data / "halves.json").read_text())["urban"]["development"]:
        urban[name] = {}
        for path in sorted((data / "urban" / name).iterdir()):
            match = URBAN_GROUP.match(path.name)
            assert match, path
            urban[name].setdefault(match[1], []).append(path)
    return tuple({name: list(own.values()) for name, own in sounds.items()} for sounds in (esc50, urban))  # type: ignore[return-value]


def draw_sounds(esc50: Groups, urban: Groups, kind: str, seed: int, backgrounds: int) -> Draw:
    """Draw classes, clips and recordings; of ``urban``, the own classes are urban's and the others of both."""
    random = np.random.default_rng([seed, KINDS.index(kind)])
    all_sounds = {**esc50, **urban} if kind == "urban" else dict(esc50)
    sounds = {name: groups for name, groups in all_sounds.items() if len(groups) >= LEAST_GROUPS}
    candidates = sorted(set(sounds) & set(urban) if kind == "urban" else set(sounds) - set(WEATHER))
    own = [str(name) for name in random.permutation(candidates)[:OWN]]
    rest = sorted(set(sounds) - set(WEATHER) - set(own))
    others = [str(name) for name in random.permutation(rest)[:OTHERS]]
    weather = [str(name) for name in random.permutation(sorted(set(WEATHER) & set(sounds)))[:2]]
    parts = {name: _three_parts(sounds[name], random) for name in (*own, *others, *weather)}
    clean = {name: _one_by_one(parts[name][0])[:EACH] for name in own}

    def record(part: int, own_names: Sequence[str]) -> Recording:
        return _mix({name: _one_by_one(parts[name][part]) for name in parts}, own_names, others, weather, random)

    return Draw(record(0, own), [record(1, ()) for _ in range(backgrounds)], record(2, own), clean)


def _three_parts(groups: Sequence[Sequence[Path]], random: np.random.Generator) -> list[list[Sequence[Path]]]:
    order = [groups[number] for number in random.permutation(len(groups))]
    return [order[part::3] for part in range(3)]


def _one_by_one(groups: Sequence[Sequence[Path]]) -> list[Path]:
    """The files, one of each group in turn."""
    longest = max(map(len, groups))
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def _mix(
    files: Mapping[str, Sequence[Path]],
    own: Sequence[str],
    others: Sequence[str],
    weather: Sequence[str],
    random: np.random.Generator,
) -> Recording:
    labels = [name for name in own for _ in range(EACH)] + [others[n % len(others)] for n in range(N_OTHERS)]
    seconds = SPACING * (len(labels) + 1)
    samples = _weather([path for name in weather for path in files[name]], round(seconds * RATE), random)
    bed, sounds = samples.copy(), []
    for slot, number in enumerate(random.permutation(len(labels))):
        label = labels[number]
        call = None
        while call is None:
            call = cut_call(read_samples(files[label][int(random.integers(len(files[label])))]), LONGEST)
        start = round((slot + random.uniform(0.2, 0.8)) * SPACING * RATE)
        behind = bed[start : start + len(call)]
        level = 10 ** (random.uniform(*SNR) / 20) * np.sqrt(np.mean(behind**2) / (np.mean(call**2) + 1e-12))
        samples[start : start + len(call)] += call * np.float32(level)
        if label in own:
            sounds.append(Sound(start / RATE, (start + len(call)) / RATE, label))
    return Recording(0.9 * samples / np.abs(samples).max(), sounds)


def _weather(files: Sequence[Path], length: int, random: np.random.Generator) -> Samples:
    parts, total = [], 0
    while total < length:
        part = read_samples(files[int(random.integers(len(files)))])
        parts.append(0.03 * part / (np.sqrt(np.mean(part**2)) + 1e-9))
        total += len(part)
    return np.concatenate(parts)[:length] + random.normal(0.0, 1e-4, length).astype(np.float32)


class Answer(NamedTuple):
    """The answer for a window: its start in seconds, the best class, the unknown score, and whether it is unknown."""

    start: float
    best: str
    unknown_score: float
    is_unknown: bool


class Outcome(NamedTuple):
    """Unknown scores of windows that are false alarms and of sounds, and how many of both there are by default.

    A sound that no window answers by its class, whatever the threshold, has the score infinity.
    """

    alarms: list[float]
    sounds: list[float]
    default_alarms: int
    default_recognized: int


def answers(recognizer: Recognizer, draw: Draw, way: Literal["marked", "clean"]) -> tuple[list[Answer], list[Answer]]:
    """The answers for the windows of the asked recording, without the background and with it."""
    length = recognizer.segment_seconds
    for name, paths in draw.clean.items():
        own = [sound for sound in draw.enrolled.sounds if sound.label == name]
        marked = [_cut(draw.enrolled, (sound.start + sound.end - length) / 2, length) for sound in own]
        recognizer.enroll(name, marked if way == "marked" else paths)
    plain = recognizer.snapshot()
    recognizer.enroll_background([(recording.samples, RATE) for recording in draw.background])
    judged = (plain, recognizer.snapshot())
    starts = np.arange(0.0, len(draw.asked.samples) / RATE - length, HOP)
    windows = recognizer.embedder.embed_clips([_cut(draw.asked, start, length) for start in starts])
    results: tuple[list[Answer], list[Answer]] = ([], [])
    for start, (clip, rows) in zip(starts, windows, strict=True):
        timbre = clip.timbre(recognizer.preprocessing)
        for enrolled, result in zip(judged, results, strict=True):
            answer = recognizer.judge(enrolled, rows, len(clip.segments), timbre)
            is_unknown = answer.label != answer.best
            result.append(Answer(float(start), answer.best, answer.unknown_score, is_unknown))
    return results


def _cut(recording: Recording, start: float, length: float) -> tuple[Samples, int]:
    latest = len(recording.samples) / RATE - length
    first = round(min(max(0.0, start), latest) * RATE)
    return recording.samples[first : first + round(length * RATE)], RATE


def judge(asked: Recording, given: Sequence[Answer], length: float) -> Outcome:
    """Compare answers for windows of ``length`` seconds with what is in them."""
    alarms, default_alarms = [], 0
    scores, is_recognized = [np.inf] * len(asked.sounds), [False] * len(asked.sounds)
    for start, best, score, is_unknown in given:
        overlaps = [min(start + length, sound.end) - max(start, sound.start) for sound in asked.sounds]
        own = [overlap if sound.label == best else 0.0 for sound, overlap in zip(asked.sounds, overlaps, strict=True)]
        if max(own, default=0.0) <= 0:
            alarms.append(score)
            default_alarms += not is_unknown
        for number, sound in enumerate(asked.sounds):
            if own[number] >= (sound.end - sound.start) / 2:
                scores[number] = min(scores[number], score)
                is_recognized[number] |= not is_unknown
    return Outcome(alarms, scores, default_alarms, sum(is_recognized))


def false_alarms(outcomes: Sequence[Outcome], share: float) -> int | None:
    """False alarms at the threshold that recognizes a share of the sounds; None if there is none."""
    sounds = np.sort(np.concatenate([outcome.sounds for outcome in outcomes]))
    threshold = sounds[int(np.ceil(share * len(sounds))) - 1]
    if not np.isfinite(threshold):
        return None
    return int((np.concatenate([outcome.alarms for outcome in outcomes]) <= threshold).sum())


def main() -> None:
    """Print a table of false alarms an hour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--backgrounds", type=int, default=3, help="recordings of the background")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    esc50, urban = list_groups(options.data)
    former = Recognizer.shipped()
    rows = []
    for kind in options.kinds:
        draws = [draw_sounds(esc50, urban, kind, seed, options.backgrounds) for seed in range(options.draws)]
        hours = sum(len(draw.asked.samples) for draw in draws) / RATE / 3600
        minutes = np.mean([sum(len(part.samples) for part in draw.background) for draw in draws]) / RATE / 60
        for way in options.ways:
            outcomes: tuple[list[Outcome], list[Outcome]] = ([], [])
            for draw in draws:
                recognizer = Recognizer(former.embedder, former.experiment, former.model, former.calibration)
                for given, outcome in zip(answers(recognizer, draw, way), outcomes, strict=True):
                    outcome.append(judge(draw.asked, given, recognizer.segment_seconds))
            for name, own in zip(("without", f"{minutes:.0f} min"), outcomes, strict=True):
                total = sum(len(outcome.sounds) for outcome in own)
                recognized = sum(outcome.default_recognized for outcome in own) / total
                default = f"{sum(outcome.default_alarms for outcome in own) / hours:.0f} at {100 * recognized:.0f} %"
                swept = [false_alarms(own, share) for share in SHARES]
                cells = ["-" if alarms is None else f"{alarms / hours:.0f}" for alarms in swept]
                rows.append([kind, way, name, *cells, default])
                print(rows[-1], flush=True)
    columns = ["own classes", "enrolled", "background", *(f"{100 * share:.0f} %" for share in SHARES), "own threshold"]
    print(markdown_table(columns, rows))


if __name__ == "__main__":
    main()
