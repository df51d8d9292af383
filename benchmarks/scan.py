"""Scanning long recordings: real-time factor and peak memory of a recording of two hours beside one of two minutes.

The recordings are made by concatenating given ones; each is scanned in a process of its own, in windows that do not
overlap. The rate is that of the given recordings, the format FLAC.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.common import in_child, report

LENGTHS = {"2 minutes": 120, "2 hours": 7200}


def concatenate(recordings: list[Path], seconds: float, place: Path) -> Path:
    """Write ``seconds`` of the recordings, over and over, as one FLAC file at the first one's rate."""
    rate = soundfile.info(recordings[0]).samplerate
    left = round(seconds * rate)
    with soundfile.SoundFile(place, "w", rate, 1, "PCM_16") as out:
        for path in cycle(recordings):
            samples, own = soundfile.read(path, dtype="float32", always_2d=True)
            if own != rate:
                raise SystemExit(f"{path} has {own} Hz, but {recordings[0]} has {rate} Hz")
            part = samples.mean(axis=1)[:left]
            out.write(np.clip(part, -1, 1))
            left -= len(part)
            if not left:
                return place
    raise SystemExit("no recordings")


def measure(bundle: Path, recording: Path, threads: int) -> dict[str, float]:
    """Scan once; seconds exclude loading the recognizer, memory includes everything."""
    import torch

    from fewshot_audio import Recognizer
    from fewshot_audio.recognition.scan import Options, answer_file
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()  # as the command does
    torch.set_num_threads(threads)
    recognizer = Recognizer.load(bundle)
    began = time.perf_counter()
    result = answer_file(recognizer, recording, Options(hop=recognizer.segment_seconds))
    seconds = time.perf_counter() - began
    if result.error:
        raise SystemExit(result.error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"recording_seconds": result.seconds, "seconds": seconds, "windows": result.windows, "peak_rss_mib": peak}


def sources(folder: Path) -> Iterator[Path]:
    """Sound files of a folder and below, in order."""
    from fewshot_audio.audio.decode import is_audio

    return (path for path in sorted(folder.rglob("*")) if is_audio(path))


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
    files = list(sources(arguments.recordings))[:200]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds in LENGTHS.items():
            long = concatenate(files, seconds, Path(folder) / f"{seconds}.flac")
            line = [str(arguments.bundle), str(long), "--one", "--threads", str(arguments.threads)]
            found[name] = in_child("benchmarks.scan", line)
    rows = [
        [
            name,
            f"{one['windows']:.0f}",
            f"{one['seconds']:.1f}",
            f"{one['recording_seconds'] / one['seconds']:.0f}",
            f"{one['peak_rss_mib']:.0f}",
        ]
        for name, one in found.items()
    ]
    columns = ["recording", "windows", "seconds", "times real time", "peak RSS, MiB"]
    report(f"Scanning without overlap, {arguments.threads} threads", columns, rows, found, arguments.json)


if __name__ == "__main__":
    main()
