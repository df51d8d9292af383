"""``python -m benchmarks.detect_classes DATA``: events of enrolled classes, beside windows of a scan.

Of each class of a kind of soundscapes five clips are enrolled as they are, and two minutes of weather as background.
Recordings are mixed from the other clips. In each, the events of its target class are scored: F1 by one-to-one matching
with an intersection over union of 0.3. Sounds of other classes that are taken for the target class are wrong.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.detect import Interval, count_matches
from benchmarks.soundscapes import RATE, Call, Palette, list_palette, mix, mix_background
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.studies.tables import markdown_table

KINDS = ("animals", "percussion", "keywords")
EACH = 5
BACKGROUND_SECONDS, BACKGROUND_SEED = 120, 99
NOTHING_GIVEN = (Call(-1.0, 0.0, 0.0),)

System = Callable[[Path, str], list[Interval]]


def divide(palette: Palette) -> tuple[dict[str, list[Path]], Palette]:
    """Five clips of each class to enroll, and a palette of the others."""
    enrolled, rest = {}, {}
    for name, files in palette.sounds.items():
        order = np.random.default_rng([0, *name.encode()]).permutation(len(files))
        enrolled[name] = [files[number] for number in order[:EACH]]
        rest[name] = [files[number] for number in order[EACH:]]
    return enrolled, Palette(rest, palette.backgrounds)


def scan_windows(recognizer: Recognizer, hop: float) -> System:
    """Windows of a segment, joined if they follow each other."""

    def detect(path: Path, label: str) -> list[Interval]:
        return [(event.start, event.end) for event in recognizer.scan(path, hop).events if event.label == label]

    return detect


def detect_classes(recognizer: Recognizer) -> System:
    """The detector of the package."""
    detector = Detector.from_recognizer(recognizer)

    def detect(path: Path, label: str) -> list[Interval]:
        return [(event.start, event.end) for event in detector.detect(path) if event.label == label]

    return detect


def main() -> None:
    """Print F1 of each kind of soundscapes and system."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[6, 7])
    parser.add_argument("--half", choices=("development", "report"), default="development")
    parser.add_argument("--most", type=int, help="recordings of each kind, at most")
    arguments = parser.parse_args()
    rows = []
    for kind in arguments.kinds:
        enrolled, palette = divide(list_palette(arguments.data, kind, arguments.half))
        recognizer = Recognizer.shipped()
        for name, files in enrolled.items():
            recognizer.enroll(name, files)
        weather = mix_background(palette, np.random.default_rng(BACKGROUND_SEED), BACKGROUND_SECONDS * RATE)
        recognizer.enroll_background([(weather, RATE)])
        systems = {f"windows, hop {hop:g} s": scan_windows(recognizer, hop) for hop in (5.0, 2.5)}
        systems["events"] = detect_classes(recognizer)
        pairs = [(label, seed) for seed in arguments.seeds for label in palette.sounds]
        chosen = np.random.default_rng(0).permutation(len(pairs))[: arguments.most]
        counts: dict[str, list[tuple[int, int, int]]] = {name: [] for name in systems}
        seconds = dict.fromkeys(systems, 0.0)
        with tempfile.TemporaryDirectory() as folder:
            for number in chosen:
                scape = mix(palette, *pairs[number])
                path = Path(folder) / f"{number}.wav"
                soundfile.write(path, scape.samples, RATE)
                for name, system in systems.items():
                    began = time.perf_counter()
                    count = count_matches(scape.calls, NOTHING_GIVEN, system(path, scape.label), first=True)
                    seconds[name] += time.perf_counter() - began
                    counts[name].append((count.matched, count.reported, count.existing))
        for name, own in counts.items():
            matched, reported, existing = np.sum(own, axis=0)
            each = [200.0 * one[0] / max(1, one[1] + one[2]) for one in own]
            cells = [
                100.0 * matched / max(1, reported),
                100.0 * matched / existing,
                200.0 * matched / (reported + existing),
            ]
            rows.append([kind, name, *(f"{cell:.1f}" for cell in cells), f"{np.mean(each):.1f}"])
            rows[-1].append(f"{seconds[name] / len(own):.1f}")
        print(markdown_table(["soundscapes", "system", "P", "R", "F1", "mean F1", "s each"], rows), flush=True)


if __name__ == "__main__":
    main()
