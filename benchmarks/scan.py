"""Scanning long recordings: real-time factor and peak memory for a recording of two hours and one of two minutes.

The recordings are made by concatenating those of a folder, as FLAC files at their rate; each is scanned in a process of
its own, in windows that do not overlap.
"""

import argparse
import json
import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.common import in_child, peak_gigabytes, report
from fewshot_audio.audio.recordings import list_recordings

LENGTHS = {"2 minutes": 120, "2 hours": 7200}


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


def measure(bundle: Path, recording: Path, threads: int) -> dict[str, float]:
    """Scan once; seconds exclude loading the recognizer, memory includes everything."""
    import torch

    from fewshot_audio import Recognizer
    from fewshot_audio.recognition.options import ScanOptions
    from fewshot_audio.recognition.scan import answer_file
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()  # as the command does
    torch.set_num_threads(threads)
    recognizer = Recognizer.load(bundle)
    start = time.perf_counter()
    result = answer_file(recognizer, recording, ScanOptions(hop=recognizer.segment_seconds))
    seconds = time.perf_counter() - start
    if result.error:
        raise SystemExit(result.error)
    peak = peak_gigabytes() * 1e9 / 2**20
    return {"recording_seconds": result.seconds, "seconds": seconds, "windows": result.windows, "peak_rss_mib": peak}


def main() -> None:
    """Measure both lengths and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="a recognizer's folder")
    parser.add_argument("recordings", type=Path, help="a folder of recordings to concatenate, or with --one the one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.bundle, arguments.recordings, arguments.threads)))
        return
    files = list_recordings([arguments.recordings])[0][:200]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds in LENGTHS.items():
            long = concatenate(files, seconds, Path(folder) / f"{seconds}.flac")
            line = [str(arguments.bundle), str(long), "--one", "--threads", str(arguments.threads)]
            results[name] = in_child("benchmarks.scan", line)
    rows = [
        [
            name,
            f"{one['windows']:.0f}",
            f"{one['seconds']:.1f}",
            f"{one['recording_seconds'] / one['seconds']:.0f}",
            f"{one['peak_rss_mib']:.0f}",
        ]
        for name, one in results.items()
    ]
    columns = ["recording", "windows", "seconds", "times real time", "peak RSS, MiB"]
    report(f"Scanning without overlap, {arguments.threads} threads", columns, rows, results, arguments.json)


if __name__ == "__main__":
    main()
