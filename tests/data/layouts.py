"""The layouts that the benchmark's datasets are published in, filled with small recordings."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tests.data.recordings import sound, write

CLASSES, CLIPS = 9, 4


def write_studio(path: Path, seed: int, seconds: float = 0.3) -> Path:
    """A 24-bit, 44.1 kHz, stereo wav file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = [sound(seed, seconds, 44_100), sound(seed + 1, seconds, 44_100)]
    soundfile.write(path, np.stack(channels, axis=1), 44_100, subtype="PCM_24")
    return path


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)


def nsynth(root: Path, classes: int = CLASSES, clips: int = CLIPS, seconds: float = 4.0) -> Path:
    """Instruments spread over the three parts, as the published ones are."""
    parts = {part: {} for part in ("nsynth-train", "nsynth-valid", "nsynth-test")}  # type: ignore[var-annotated]
    for c in range(classes):
        for k in range(clips):
            instrument, part = f"bass_electronic_{c:03d}", list(parts)[c % 3]
            note = f"{instrument}-{40 + k:03d}-100"
            parts[part][note] = {
                "note_str": note,
                "instrument_str": instrument,
                "instrument_family": 0,
                "pitch": 40 + k,
            }
            write(root / part / "audio" / f"{note}.wav", seed=100 * c + k, seconds=seconds)
    for part, notes in parts.items():
        (root / part).mkdir(parents=True, exist_ok=True)
        (root / part / "examples.json").write_text(json.dumps(notes))
    return root


def fsdkaggle2018(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """Clips of several lengths; every second pair comes from one Freesound recording."""
    train, test = [], []
    for c in range(classes):
        for k in range(clips):
            name, label, origin = f"{c:04x}{k:04x}.wav", f"Sound_{c}", 1000 + 10 * c + k // 2
            if k % 2:
                write_studio(root / "FSDKaggle2018.audio_train" / name, seed=100 * c + k, seconds=0.2 + 0.1 * k)
                train.append((name, label, 1, origin, "CC0"))
            else:
                write(root / "FSDKaggle2018.audio_test" / name, seed=100 * c + k, seconds=0.2 + 0.1 * k, rate=44_100)
                test.append((name, label, "Public", origin, "CC0"))
    meta = root / "FSDKaggle2018.meta"
    header = ["fname", "label", "manually_verified", "freesound_id", "license"]
    table(meta / "train_post_competition.csv", header, train)
    header[2] = "usage"
    table(meta / "test_post_competition_scoring_clips.csv", header, test)
    return root


def birdclef2020(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """Birds' folders of mp3 files; the last class has one clip only, and every class one that is long."""
    for c in range(classes + 1):
        folder = root / f"Avis exemplum{c}_Example bird {c}"
        for k in range(clips if c < classes else 1):
            write(folder / f"XC{1000 * c + k}.mp3", seed=100 * c + k, seconds=0.4, rate=44_100)
        write(folder / f"XC{1000 * c + 999}.mp3", seed=100 * c + 99, seconds=1.5, rate=32_000)
    return root


def voxceleb1(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """The tree of cut segments; every speaker has an empty file, the last one nothing else."""
    for c in range(classes + 1):
        speaker = root / "wav" / f"id1{c:04d}"
        for k in range(clips if c < classes else 0):
            write(speaker / f"video{c}{k // 2:05d}" / f"{k:05d}.wav", seed=100 * c + k, seconds=0.3 + 0.1 * k)
        (speaker / "empty").mkdir(parents=True)
        (speaker / "empty" / "00001.wav").touch()
    return root


def voxceleb1_cuts(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """Whole recordings (wav, mp3, flac; named as yt-dlp does), a table of segments, and one of speakers."""
    header = ["segment", "uri", "start", "end", "speaker", "verification", "identification"]
    rows, speakers = [], []
    for c in range(classes):
        name, video = f"Ann_Example_{c}", f"abcdefgh_{c:02d}"
        stem = f"An interview [{video}]" if c % 2 else video
        seconds = 0.4 * clips + 0.3
        write(root / "recordings" / f"{stem}.{('wav', 'mp3', 'flac')[c % 3]}", seed=c, seconds=seconds, rate=44_100)
        speakers.append((f"id1{c:04d}", name, "f", "USA", "dev"))
        for k in range(clips):
            start = 0.1 + 0.4 * k
            rows.append((f"{name}/{video}_{k + 1:07d}", f"{name}/{video}", start, start + 0.3, name, "dev", "trn"))
    table(root / "voxceleb1.csv", header, rows)
    table(root / "vox1_meta.csv", ["VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"], speakers, "\t")
    return root


def speechcommands(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """Words by several speakers, and the noise."""
    for c in range(classes):
        for k in range(clips):
            write(root / f"word{c}" / f"{k // 2:08x}_nohash_{k % 2}.wav", seed=100 * c + k, seconds=0.25)
    write(root / "_background_noise_" / "pink_noise.wav", seconds=1.0)
    for name in ("README.md", "validation_list.txt", "testing_list.txt"):
        (root / name).touch()
    return root


def watkins(root: Path, classes: int = CLASSES, clips: int = CLIPS) -> Path:
    """Species' folders of cuts of several rates."""
    for c in range(classes):
        for k in range(clips):
            name = f"{61000 + c:05d}{'ABC'[k % 3]}{k:02d}" if k else "no record number"
            write(root / f"Species {c}" / f"{name}.wav", seed=100 * c + k, rate=(8000, 22_050, 44_100)[k % 3])
        write(root / f"Species {c}" / f"{70000 + c}001.wav", seed=100 * c + 99, seconds=1.5)
    return root
