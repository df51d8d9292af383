"""Small recordings on disk, good ones and hostile ones, in the layouts that sources expect."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import soundfile

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.layout import DatasetFolder

SMALL = Preprocessing(segment_seconds=0.25, n_fft=512, hop_length=256, n_mels=16)


def sound(seed: int, seconds: float = 0.3, rate: int = 16_000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * rng.uniform(100, 4000) * time) + 0.05 * rng.standard_normal(len(time))


def write(path: Path, seed: int = 0, seconds: float = 0.3, rate: int = 16_000, **how: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(seed, seconds, rate), rate, format=path.suffix[1:].upper(), **how)
    return path


def class_folders(root: Path, classes: int = 15, clips: int = 3) -> Path:
    """``classes`` folders of ``clips`` wav files, some longer than a segment."""
    for c in range(classes):
        for k in range(clips):
            write(root / f"class{c:02d}" / f"clip{k}.wav", seed=100 * c + k, seconds=0.2 + 0.15 * k)
    return root


def esc50(root: Path, classes: int = 15, clips: int = 4, extension: str = "flac") -> Path:
    """The published layout; the csv names wav files, whatever lies in ``audio/``."""
    (root / "meta").mkdir(parents=True)
    with (root / "meta" / "esc50.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for c in range(classes):
            for k in range(clips):
                stem = f"{k % 5 + 1}-{1000 + 10 * c + k // 2}-{'AB'[k % 2]}-{c}"
                write(root / "audio" / f"{stem}.{extension}", seed=100 * c + k)
                rows.writerow(
                    [f"{stem}.wav", k % 5 + 1, c, f"sound_{c:02d}", c < 10, 1000 + 10 * c + k // 2, "AB"[k % 2]]
                )
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def contents(folder: DatasetFolder) -> dict[str, str]:
    """A digest of every file of a dataset folder, but the lock."""
    return {
        path.relative_to(folder.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file() and path.name != ".prepare.lock"
    }
