"""Recognizing: one clip and 32 clips in each back end, and the commands that people wait for, from start to end.

Clips are timed in a process of their own on one core, commands with all cores, both in an empty user's cache in which
the network's graph is built first. Processor time is given beside wall time, which other work on the machine lengthens.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.common import in_child, report

SECONDS, RATE, MANY = 5, 16_000, 32
CLI = [sys.executable, "-m", "fewshot_audio.cli"]
TORCH = {"FEWSHOT_AUDIO_BACKEND": "torch"}


def make_bundle(folder: Path) -> Path:
    """Enroll five classes of five sounds with the shipped recognizer."""
    from fewshot_audio import Recognizer

    recognizer, random = Recognizer.shipped(), np.random.default_rng(0)
    for number in range(5):
        recognizer.enroll(f"class {number}", [sound(number, random) for _ in range(5)], rate=16_000)
    recognizer.save(folder)
    return folder


def sound(number: int, random: np.random.Generator) -> Any:
    """A tone under noise, (samples,)."""
    phase = 2 * np.pi * (300 * (number + 1) + random.uniform(0, 30)) / RATE * np.arange(SECONDS * RATE)
    return (0.3 * np.sin(phase) + 0.03 * random.normal(size=len(phase))).astype(np.float32)


def measure_clips(bundle: Path, backend: Any, repetitions: int) -> dict[str, float]:
    """Milliseconds of one core from samples to an answer, for one clip alone and for each of ``MANY``."""
    from fewshot_audio import Recognizer
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()  # as the commands do
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    recognizer, random = Recognizer.load(bundle, backend=backend), np.random.default_rng(1)
    clips = [sound(number % 5, random) for number in range(MANY)]

    def milliseconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
        work()
        times = []
        for _ in range(repetitions):
            start = clock()
            work()
            times.append(1e3 * (clock() - start))
        return statistics.median(times)

    return {
        "one clip": milliseconds(lambda: recognizer.classify(clips[0], rate=16_000), time.perf_counter),
        "one clip, processor": milliseconds(lambda: recognizer.classify(clips[0], rate=16_000), time.process_time),
        f"each of {MANY}": milliseconds(lambda: recognizer.classify(clips, rate=16_000), time.perf_counter) / MANY,
        f"each of {MANY}, processor": milliseconds(lambda: recognizer.classify(clips, rate=16_000), time.process_time)
        / MANY,
    }


def measure_command(line: list[str], environment: dict[str, str], repetitions: int) -> dict[str, float]:
    """Median wall and processor seconds of a command, which must succeed."""
    walls, processor = [], []
    for _ in range(repetitions + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(line, check=True, capture_output=True, env=os.environ | environment)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return {"seconds": statistics.median(walls[1:]), "processor": statistics.median(processor[1:])}


def measure_server(bundle: Path, environment: dict[str, str], repetitions: int) -> dict[str, float]:
    """Median seconds from the start of ``serve`` to the answer of ``/health``."""
    walls, processor = [], []
    for _ in range(repetitions + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        line = [*CLI, "serve", str(bundle), "--port", "0"]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
            assert process.stdout
            address = re.match(r"Open (http://[\d.]+:\d+) ", process.stdout.readline())
            assert address
            with urllib.request.urlopen(f"{address[1]}/health") as answer:
                assert answer.status == 200
            walls.append(time.perf_counter() - start)
            process.terminate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return {"seconds": statistics.median(walls[1:]), "processor": statistics.median(processor[1:])}


def measure(folder: Path, repetitions: int) -> dict[str, Any]:
    """All figures, with an empty user's cache in ``folder``."""
    os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    bundle, clip = make_bundle(folder / "bundle"), folder / "clip.wav"
    soundfile.write(clip, sound(1, np.random.default_rng(2)), RATE)
    subprocess.run([sys.executable, "-m", "fewshot_audio.recognition.graph_building", str(bundle)], check=True)
    clips = {
        backend: in_child("benchmarks.recognize", ["--clips", str(bundle), backend, "--repetitions", str(repetitions)])
        for backend in ("torch", "auto")
    }
    commands = {}
    for name, environment in (("torch", TORCH), ("onnxruntime", {})):
        commands[name] = {
            "classify": measure_command([*CLI, "classify", str(bundle), str(clip)], environment, repetitions),
            "enroll --add": measure_command(
                [*CLI, "enroll", str(bundle), "--add", "class 1", str(clip), "-o", str(folder / "new"), "--replace"],
                environment,
                repetitions,
            ),
            "serve, to /health": measure_server(bundle, environment, repetitions),
        }
    return {"clips, ms": {"torch": clips["torch"], "onnxruntime": clips["auto"]}, "commands": commands}


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", nargs=2, metavar=("BUNDLE", "BACKEND"), help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.clips:
        print(json.dumps(measure_clips(Path(options.clips[0]), options.clips[1], options.repetitions)))
        return
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.repetitions)
    rows = [
        [
            f"{name}, ms of one core",
            *(f"{results['clips, ms'][backend][name]:.1f}" for backend in ("torch", "onnxruntime")),
        ]
        for name in results["clips, ms"]["torch"]
    ] + [
        [
            f"`{name}`, {what}",
            *(f"{results['commands'][backend][name][what]:.2f}" for backend in ("torch", "onnxruntime")),
        ]
        for name in results["commands"]["torch"]
        for what in ("seconds", "processor")
    ]
    report(f"Recognizing clips of {SECONDS} s", ["what", "torch", "onnxruntime"], rows, results, options.json)


if __name__ == "__main__":
    main()
