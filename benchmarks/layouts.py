"""Write class folders of recordings in the layouts that VoxCeleb1 and NSynth are published in, with a fixed split.

    python -m benchmarks.layouts voxceleb1 RECORDINGS TARGET [--whole]
    python -m benchmarks.layouts nsynth RECORDINGS TARGET

RECORDINGS has a folder of recordings for each class: words of a speaker for voxceleb1, notes of an instrument (files
named `..._Bb4.ogg`) for nsynth. TARGET gets what the published archives hold, and `splits.npy`: of every five classes
three for training, one for validation and one for testing. With --whole VoxCeleb1 is not the published tree of
segments, but whole recordings that are to be cut by the published table, as those who fetch the videos have it.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile

from fewshot_audio.audio.decode import decode, is_audio
from fewshot_audio.audio.samples import Samples
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.files import write_json

RATE = 16_000
WORDS_PER_VIDEO = 5
NOTE_SECONDS = 4
PARTS = ("nsynth-train",) * 8 + ("nsynth-valid", "nsynth-test")  # of ten instruments


def class_folders(recordings: Path) -> dict[str, list[Path]]:
    """The sound files of every class folder."""
    folders = sorted(path for path in recordings.iterdir() if path.is_dir())
    return {folder.name: sorted(filter(is_audio, folder.iterdir())) for folder in folders}


def write_voxceleb1(recordings: Path, target: Path, whole: bool = False) -> None:
    """Write ``vox1_meta.csv``, ``voxceleb1.csv``, and ``wav/<id>/<video>/<n>.wav`` or ``recordings/<video>.wav``."""
    speakers, segments, ids = [], [], []
    for number, (folder, paths) in enumerate(class_folders(recordings).items(), 1):
        speaker, name = f"id1{number:04d}", f"Speaker_{folder}"
        ids.append(speaker)
        speakers.append((speaker, name, "m", "Unknown", "dev"))
        for first in range(0, len(paths), WORDS_PER_VIDEO):
            words = [decode(path, RATE).samples for path in paths[first : first + WORDS_PER_VIDEO]]
            video = f"s{number:04d}_v{first // WORDS_PER_VIDEO:04d}"
            end = 0
            for n, word in enumerate(words, 1):
                start, end = end, end + len(word)
                segments.append((f"{name}/{video}_{n:07d}", f"{name}/{video}", start / RATE, end / RATE, name))
                if not whole:
                    _write(target / "wav" / speaker / video / f"{n:05d}.wav", word)
            if whole:
                _write(target / "recordings" / f"{video}.wav", np.concatenate(words))
    _write_table(target / "voxceleb1.csv", ("segment", "uri", "start", "end", "speaker"), segments, ",")
    columns = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
    _write_table(target / "vox1_meta.csv", columns, speakers, "\t")
    write_splits(target / "splits.npy", fixed_split(ids))


def write_nsynth(recordings: Path, target: Path) -> None:
    """Write ``nsynth-<part>/audio/<instrument>-<pitch>-<velocity>.wav``, cut to 4 s or sounded again."""
    notes: dict[str, dict[str, dict[str, str | int]]] = {part: {} for part in PARTS}
    instruments = []
    for number, (folder, paths) in enumerate(class_folders(recordings).items()):
        part, instrument = PARTS[number % len(PARTS)], f"{folder}_{number:03d}"
        instruments.append(instrument)
        for path in paths:
            pitch = int(librosa.note_to_midi(path.stem.rpartition("_")[2]))
            note = f"{instrument}-{pitch:03d}-100"
            notes[part][note] = {
                "note_str": note,
                "instrument": number,
                "instrument_str": instrument,
                "pitch": pitch,
                "velocity": 100,
                "sample_rate": RATE,
            }
            _write(target / part / "audio" / f"{note}.wav", np.resize(decode(path, RATE).samples, NOTE_SECONDS * RATE))
    for part, entries in notes.items():
        (target / part / "audio").mkdir(parents=True, exist_ok=True)
        write_json(target / part / "examples.json", entries)
    write_splits(target / "splits.npy", fixed_split(instruments))


def fixed_split(classes: Sequence[str]) -> Splits:
    """Of every five classes the third for validation, the fifth for testing."""
    train = [name for number, name in enumerate(classes) if number % 5 not in (2, 4)]
    return Splits(tuple(train), tuple(classes[2::5]), tuple(classes[4::5]))


def _write(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, "PCM_16")


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(rows)


def main() -> None:
    """Write one layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", choices=("voxceleb1", "nsynth"))
    parser.add_argument("recordings", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--whole", action="store_true", help="whole recordings and a table (voxceleb1)")
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    if options.layout == "voxceleb1":
        write_voxceleb1(options.recordings, options.target, options.whole)
    else:
        write_nsynth(options.recordings, options.target)


if __name__ == "__main__":
    main()
