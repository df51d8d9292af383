"""Preparation from 44.1 kHz wav, ours against the straightforward librosa pipeline, in one run.

    python -m benchmarks.prepare [--clips 2000] [--json FILE]

The straightforward pipeline is what one would write: a loop in one process that loads and resamples with librosa, saves
as wav, loads again, and saves the mel spectrogram in decibels. Ours has one worker per core; their start is included.
"""

import argparse
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile

from benchmarks.common import report
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.sources.folder import ClassFolders

CLASSES, SECONDS, RATE = 20, 5.0, 44_100


def write_recordings(root: Path, clips: int) -> None:
    """Write stereo 16-bit noise clips of 5 s at 44.1 kHz, evenly over the classes."""
    random = np.random.default_rng(0)
    for clip in range(clips):
        folder = root / f"class-{clip % CLASSES:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        samples = random.normal(scale=0.1, size=(int(SECONDS * RATE), 2))
        soundfile.write(folder / f"{clip:05d}.wav", samples, RATE, "PCM_16")


def straightforward(source: Path, target: Path) -> None:
    """Prepare all recordings with librosa, one after the other."""
    for path in sorted(source.glob("*/*.wav")):
        samples, _ = librosa.load(path, sr=16_000, mono=True)
        resampled = target / "wav" / path.parent.name / path.name
        resampled.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(resampled, samples, 16_000)
        samples, _ = librosa.load(resampled, sr=16_000)
        samples = (samples - samples.mean()) / samples.std()
        power = librosa.feature.melspectrogram(y=samples, sr=16_000, n_fft=1024, hop_length=512, n_mels=128)
        features = 10 * np.log10(power + np.finfo(float).eps)
        saved = target / "features" / path.parent.name / f"{path.stem}.npy"
        saved.parent.mkdir(parents=True, exist_ok=True)
        np.save(saved, features[None].astype(np.float32))


def main() -> None:
    """Time both on the same recordings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2000, help="2000 is the size of ESC-50")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        source = Path(root) / "recordings"
        write_recordings(source, options.clips)
        librosa.load(next(source.glob("*/*.wav")), sr=16_000)  # librosa compiles on first use
        start = time.perf_counter()
        straightforward(source, Path(root) / "straightforward")
        middle = time.perf_counter()
        prepare(ClassFolders(source), DatasetFolder(Path(root) / "ours"), Preprocessing())
        end = time.perf_counter()
    theirs, ours = options.clips / (middle - start), options.clips / (end - middle)
    rates = {"librosa pipeline, one process": theirs, "ours, one worker per core": ours}
    rows = [*([name, f"{rate:.1f}"] for name, rate in rates.items()), ["ratio", f"{ours / theirs:.1f}"]]
    report(
        f"Preparing {options.clips} stereo wavs of 5 s at 44.1 kHz", ["", "clips per second"], rows, rates, options.json
    )


if __name__ == "__main__":
    main()
