"""Clients that mix good and hostile uploads for a long time: no good request may fail, memory must not grow.

python -m benchmarks.serve_load BUNDLE --minutes 30 --clients 8 --json FILE
"""

import argparse
import io
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile

from benchmarks.common import report, serving

RATE = 16_000
CLIP_SECONDS = 5.0
MAX_GROWTH = 0.10  # of the memory after the warm-up: noise of the allocator
WARM_UP = 0.2  # share of the duration


@dataclass
class Tally:
    """The answers that the clients got."""

    seconds: list[float] = field(default_factory=list)
    good: int = 0
    hostile: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def clip(seed: int, seconds: float = CLIP_SECONDS) -> bytes:
    """A wav file: a tone under noise."""
    noise = np.random.default_rng(seed).normal(scale=0.05, size=round(seconds * RATE))
    tone = 0.3 * np.sin(2 * np.pi * (200 + 150 * (seed % 20)) / RATE * np.arange(len(noise)))
    stream = io.BytesIO()
    soundfile.write(stream, tone + noise, RATE, format="WAV")
    return stream.getvalue()


def hostile_uploads() -> list[tuple[str, bytes, int]]:
    """Text, noise, cut-off files, silence, an hour in a small file, too many bytes, odd names; and the status of each.

    The half of a file is answered, by what there is of it.
    """
    good = clip(0)
    hour = io.BytesIO()
    soundfile.write(hour, np.zeros(3600 * 8000, dtype=np.int16), 8000, format="FLAC")
    return [
        ("a.wav", b"no sound " * 1000, 422),
        ("a.mp3", np.random.default_rng(0).bytes(100_000), 422),
        ("a.wav", good[: len(good) // 2], 200),
        ("a.wav", good[:20], 422),
        ("a.flac", hour.getvalue(), 422),
        ("../../a", good, 422),
        ("a.zip", good, 422),
        ("a.wav", b"", 422),
        ("a.m4a", np.random.default_rng(1).bytes(50_000), 422),
        ("a.wav", bytes(65 << 20), 413),
    ]


def client(url: str, number: int, until: float, hostile: list[tuple[str, bytes, int]], tally: Tally) -> None:
    """Classify and enroll, three good uploads for each hostile one, until the time is over."""
    rng = random.Random(number)
    name, turn = f"client {number}", 0
    with httpx.Client(base_url=url, timeout=120) as session:
        while time.monotonic() < until:
            turn += 1
            try:
                if rng.random() < 0.25:
                    file, data, expected = rng.choice(hostile)
                    status = session.post("/api/classify", files={"clip": (file, data)}).status_code
                    with tally.lock:
                        tally.hostile[status] += 1
                        if status != expected:
                            tally.failures.append(f"{file} of {len(data)} bytes: {status}, expected {expected}")
                elif turn % 10 == 0:
                    answers = [
                        session.post("/api/classes", data={"name": name}, files={"clips": ("a.wav", clip(turn, 1.0))}),
                        session.get("/api/map"),
                        session.delete("/api/classes", params={"name": name}),
                    ]
                    with tally.lock:
                        tally.good += len(answers)
                        tally.failures += [f"{a.request.url}: {a.status_code}" for a in answers if a.status_code != 200]
                else:
                    upload = {"clip": ("a.wav", clip(rng.randrange(1000)))}
                    start = time.monotonic()
                    answer = session.post("/api/classify", files=upload)
                    with tally.lock:
                        tally.good += 1
                        tally.seconds.append(time.monotonic() - start)
                        if answer.status_code != 200:
                            tally.failures.append(f"{answer.request.url}: {answer.status_code} {answer.text[:200]}")
            except httpx.HTTPError as error:
                with tally.lock:
                    tally.failures.append(f"client {number}: {error!r}")


def watch(process: psutil.Process, until: float, start: float, samples: list[tuple[float, float, int]]) -> None:
    """Sample the time, the server's memory (MB) and its number of processes, every two seconds."""
    while time.monotonic() < until:
        children = process.children(recursive=True)
        samples.append((time.monotonic() - start, process.memory_info().rss / 2**20, len(children)))
        time.sleep(2)


def measure(bundle: Path, minutes: float, clients: int) -> dict[str, Any]:
    """Run a server and its clients; returns the numbers of ``summary``."""
    with (
        tempfile.TemporaryDirectory() as temporary,
        serving([str(bundle)], TMPDIR=temporary) as (url, process),
    ):
        tally, memory = Tally(), list[tuple[float, float, int]]()
        for seed in range(5):
            response = httpx.post(
                f"{url}/api/classes",
                data={"name": f"tone {seed}"},
                files={"clips": ("a.wav", clip(seed))},
                timeout=60,
            )
            response.raise_for_status()
        start = time.monotonic()
        until = start + 60 * minutes
        hostile = hostile_uploads()
        jobs = [threading.Thread(target=client, args=(url, n, until, hostile, tally)) for n in range(clients)]
        jobs.append(threading.Thread(target=watch, args=(psutil.Process(process), until, start, memory)))
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
        leftovers = len(list(Path(temporary).iterdir()))
    return summary(tally, memory, minutes, leftovers)


def summary(tally: Tally, memory: list[tuple[float, float, int]], minutes: float, leftovers: int) -> dict[str, Any]:
    """Numbers of a run; memory is compared between the time just after the warm-up and the end."""
    settled = [megabytes for seconds, megabytes, _ in memory if seconds > WARM_UP * 60 * minutes]
    quarter = max(1, len(settled) // 4)
    return {
        "minutes": minutes,
        "good_requests": tally.good,
        "hostile_requests": dict(tally.hostile),
        "failures": tally.failures[:20],
        "median_seconds": statistics.median(tally.seconds),
        "p95_seconds": statistics.quantiles(tally.seconds, n=20)[-1],
        "rss_mb_after_warm_up": statistics.median(settled[:quarter]),
        "rss_mb_at_the_end": statistics.median(settled[-quarter:]),
        "most_processes": max(count for _, _, count in memory),
        "temporary_folders": leftovers,
    }


def main() -> None:
    """Measure, print, and exit with 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments.bundle, arguments.minutes, arguments.clients)
    rows = [
        (name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
        for name, value in results.items()
    ]
    report(f"{arguments.clients} clients, good and hostile uploads", ("what", "value"), rows, results, arguments.json)
    growth = results["rss_mb_at_the_end"] - results["rss_mb_after_warm_up"]
    problems = list(results["failures"])
    if growth > MAX_GROWTH * results["rss_mb_after_warm_up"]:
        problems.append(f"memory grew by {growth:.0f} MB")
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
