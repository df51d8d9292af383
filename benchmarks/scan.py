"""Scanning long recordings: real-time factor and peak memory for a recording of two hours and one of two minutes.

The recordings are made by concatenating those of a folder, or else tones under noise, as FLAC files at their rate. Each
is scanned in a process of its own, in windows that do not overlap, by a bundle or by the shipped recognizer.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.common import in_child, peak_gigabytes, report
from benchmarks.recognize import make_bundle, sound
from fewshot_audio.audio.recordings import list_recordings

LENGTHS = {"2 minutes": 120, "2 hours": 7200}


def make_recordings(folder: Path) -> Path:
    """Write tones under noise of 5 s at 44.1 kHz."""
    folder.mkdir()
    random = np.random.default_rng(3)
    for number in range(20):
        soundfile.write(folder / f"{number}.flac", np.repeat(sound(number % 5, random), 3)[: 5 * 44_100], 44_100)
    return folder


def concatenate(recordings: list[Path], seconds: float, path: Path) -> Path:
    """Write ``seconds`` of the recordings, repeated as often as needed, as one FLAC file at the first one's rate."""
    rate = soundfile.info(recordings[0]).samplerate
    remaining = round(seconds * rate)
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as out:
        for recording in cycle(recordings):
            samples, own_rate = soundfile.read(recording, dtype="float32", always_2d=True)
            if own_rate != rate:
                raise SystemExit(f"{recording} has {own_rate} Hz, but {recordings[0]} has {rate} Hz")
            part = samples.mean(axis=1)[:remaining]
            out.write(np.clip(part, -1, 1))
            remaining -= len(part)
            if not remaining:
                return path
    raise SystemExit("no recordings")


def measure(bundle: Path, recording: Path, backend: Any) -> dict[str, float]:
    """Scan once; seconds exclude loading the recognizer, memory includes everything."""
    from fewshot_audio import Recognizer
    from fewshot_audio.recognition.options import ScanOptions
    from fewshot_audio.recognition.scan import answer_file
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()  # as the command does
    recognizer = Recognizer.load(bundle, backend=backend)
    start, processor = time.perf_counter(), time.process_time()
    result = answer_file(recognizer, recording, ScanOptions(hop=recognizer.segment_seconds))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    if result.error:
        raise SystemExit(result.error)
    peak = peak_gigabytes() * 1e9 / 2**20
    return {
        "recording_seconds": result.seconds,
        "seconds": seconds,
        "processor": processor,
        "windows": result.windows,
        "peak_rss_mib": peak,
    }


def main() -> None:
    """Measure both lengths and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="a recognizer's folder; default: the shipped one")
    parser.add_argument("recordings", type=Path, nargs="?", help="a folder of recordings to concatenate")
    parser.add_argument("--backend", choices=["auto", "torch"], default="auto")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.bundle, arguments.one, arguments.backend)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = arguments.bundle or make_bundle(folder / "bundle")
        subprocess.run([sys.executable, "-m", "fewshot_audio.recognition.graph_building", str(bundle)], check=True)
        files = list_recordings([arguments.recordings or make_recordings(folder / "recordings")])[0][:200]
        for name, seconds in LENGTHS.items():
            long = concatenate(files, seconds, folder / f"{seconds}.flac")
            results[name] = in_child(
                "benchmarks.scan", [str(bundle), "--one", str(long), "--backend", arguments.backend]
            )
    rows = [
        [
            name,
            f"{one['windows']:.0f}",
            f"{one['seconds']:.1f}",
            f"{one['processor']:.1f}",
            f"{one['recording_seconds'] / one['seconds']:.0f}",
            f"{one['peak_rss_mib']:.0f}",
        ]
        for name, one in results.items()
    ]
    columns = ["recording", "windows", "seconds", "of processor", "times real time", "peak RSS, MiB"]
    report(f"Scanning without overlap, back end {arguments.backend}", columns, rows, results, arguments.json)


if __name__ == "__main__":
    main()
