"""``python -m benchmarks.page_search DATA``: how soon the page answers, in an hour's recording with five marked calls.

The hour is ten soundscapes of one class, one after another; its first five calls are marked, or any five. Counted are
the seconds until the recording is read, until the first events are there and until all are, in a first search and a
second one, and the server's memory after each.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile

from benchmarks.common import report, serving
from benchmarks.soundscapes import RATE, list_palette, mix

PARTS = 10
PAUSE = 0.1  # seconds between questions
MARKS = 5


def write_hour(path: Path, data: Path, label: str | None, *, first: bool) -> list[dict[str, Any]]:
    """Write the recording; returns its first calls, or any, as marks of the page."""
    palette = list_palette(data, "animals")
    label = label or sorted(palette.sounds)[0]
    scapes = [mix(palette, label, seed) for seed in range(PARTS)]
    soundfile.write(path, np.concatenate([scape.samples for scape in scapes]), RATE)
    offsets = np.cumsum([0, *(len(scape.samples) for scape in scapes)]) / RATE
    calls = [
        {"start": offset + call.start, "end": offset + call.end, "label": label}
        for offset, scape in zip(offsets, scapes, strict=False)
        for call in scape.calls
    ]
    chosen = range(MARKS) if first else sorted(np.random.default_rng(0).permutation(len(calls))[:MARKS].tolist())
    return [calls[number] for number in chosen]


def measure(data: Path, label: str | None, *, first: bool) -> dict[str, float]:
    """Run a server and one client; returns seconds, numbers of events and megabytes."""
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        sound = Path(temporary) / "hour.wav"
        marks = write_hour(sound, data, label, first=first)
        with (
            serving([str(Path(temporary) / "bundle"), "--new"]) as (url, process),
            httpx.Client(base_url=url, timeout=600) as client,
        ):
            memory = psutil.Process(process).memory_info
            start = time.perf_counter()
            with sound.open("rb") as stream:
                state = client.post("/api/recordings", files={"recording": (sound.name, stream)}).json()
            own = f"/api/recordings/{state['id']}"
            while state["progress"] != "ready":
                time.sleep(PAUSE)
                state = client.get(own).json()
            results["read, s"] = time.perf_counter() - start
            time.sleep(5)  # a person marks meanwhile; what a search needs is loaded
            for number, name in enumerate(("first search", "second search")):
                start = time.perf_counter()
                client.post(f"{own}/search", json={"marks": marks, "complete_between": first}).raise_for_status()
                while (state := client.get(own).json())["searches"] == number and not state["error"]:
                    if state["found_until"] and f"{name}: first events, s" not in results and not number:
                        results[f"{name}: first events, s"] = time.perf_counter() - start
                    time.sleep(PAUSE)
                if state["error"]:
                    raise SystemExit(state["error"])
                results[f"{name}: all events, s"] = time.perf_counter() - start
                results[f"{name}: events"] = len(client.get(f"{own}/events").json()["events"])
                results[f"{name}: memory, MB"] = memory().rss / 2**20
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--label", help="class of the calls; default: the first animal")
    parser.add_argument("--random-examples", action="store_true", help="mark any five calls, not the first five")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = measure(options.data, options.label, first=not options.random_examples)
    rows = [(name, f"{value:.1f}") for name, value in results.items()]
    report("An hour on the page", ("what", "value"), rows, results, options.json)


if __name__ == "__main__":
    main()
