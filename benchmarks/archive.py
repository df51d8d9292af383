"""Archives: how fast recordings are indexed, and an index of a million windows searched and answered from.

The windows of the large index are made of those of a small one, that of the given recordings: each is one of these,
drawn at random, and to each of its numbers a normal one is added whose deviation is ``JITTER`` times that of this
number over the real windows. They are in recordings of an hour. What is searched for is drawn the same way. Each part
is measured in a process of its own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.common import in_child, peak_gigabytes, report
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import PartitionWriter
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.audio.recordings import list_recordings

JITTER = 0.3
HOUR = 720  # windows of 5 s
CLASSES, CLIPS = 20, 5
QUERIES = 100
PART = 4096


def real_windows(index: Index) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """The rows of all windows that are not silent, by block."""
    rows = {block: index.rows(block, np.arange(len(index))) for block in index.description.blocks}
    loud = rows["timbre"].any(axis=1)
    return {block: values[loud] for block, values in rows.items()}


def jittered(
    real: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]], count: int, random: np.random.Generator
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float16]]]:
    """Windows as the large index has them."""
    chosen = random.integers(len(next(iter(real.values()))), size=count)
    return {
        block: (
            values[chosen]
            + JITTER * values.std(axis=0) * random.standard_normal((count, values.shape[1]), dtype=np.float32)
        ).astype(np.float16)
        for block, values in real.items()
    }


def write_large(small: Path, folder: Path, windows: int) -> None:
    """Write the large index."""
    index = Index(small)
    folder.mkdir()
    (folder / "index.json").write_bytes((small / "index.json").read_bytes())
    real, random = real_windows(index), np.random.default_rng(0)
    description = index.description
    with PartitionWriter(folder, 0, description) as writer:
        for number, first in enumerate(range(0, windows, HOUR)):
            count = min(HOUR, windows - first)
            writer.add_rows(jittered(real, count, random))
            day, hour = divmod(number, 24)
            stamp = np.datetime64("2024-01-01") + np.timedelta64(day, "D") + np.timedelta64(hour, "h")
            samples = count * description.window
            name = f"site{number % 10}/{number}.wav"
            writer.add(
                IndexedRecording(
                    name, samples, 1, count, samples, 16_000, str(stamp.astype("M8[s]")), f"S{number % 10}"
                )
            )
        writer.commit()


def measure_search(folder: Path) -> dict[str, float]:
    """Open the index, and search it: once by reading all of it, and often with a bound held in memory."""
    from fewshot_audio.archive.neighbors import Neighbors
    from fewshot_audio.archive.search import cosines, find_windows

    def query() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        row = index.rows("embedding", random.integers(len(index), size=1))
        jitter: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
        jitter = JITTER * row.std() * random.standard_normal(row.shape, dtype=np.float32)
        return row + jitter

    values: dict[str, float] = {}
    with clocked(values, "open"):
        index = Index(folder)
    random = np.random.default_rng(1)
    for name in ("first search", "second search"):
        searched = query()
        with clocked(values, name):
            find_windows(index, cosines(index, searched), 10)
    with clocked(values, "bound"):
        neighbors = Neighbors(index)
    seconds, processor = [], []
    for _ in range(QUERIES):
        searched, start, busy = query(), time.perf_counter(), time.process_time()
        neighbors.nearest(searched, 10)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    p50, p95 = np.percentile(seconds, [50, 95]).tolist()
    values |= {"p50": p50, "p95": p95, "p95, processor": float(np.percentile(processor, 95))}
    return values | {"gigabytes": peak_gigabytes()}


@contextmanager
def clocked(values: dict[str, float], name: str) -> Iterator[None]:
    """Note how many seconds a block takes, and how many of all cores' time: on a busy machine these differ."""
    start, busy = time.perf_counter(), time.process_time()
    yield
    values |= {name: time.perf_counter() - start, f"{name}, processor": time.process_time() - busy}


def measure_classification(folder: Path, bundle: Path) -> dict[str, float]:
    """Answer for all windows by a recognizer of ``CLASSES`` classes."""
    from fewshot_audio.archive.classify import answer_index, index_results
    from fewshot_audio.recognition.recognizer import Recognizer

    index, recognizer = Index(folder), Recognizer.load(bundle)
    values: dict[str, float] = {}
    with clocked(values, "answers"):
        answers = answer_index(index, recognizer)
    with clocked(values, "events"):
        count = sum(len(result.events) for result in index_results(index, answers))
    return values | {"count of events": count, "gigabytes": peak_gigabytes()}


def write_bundle(recordings: list[Path], folder: Path) -> None:
    """Enroll classes of recordings that follow each other."""
    from fewshot_audio.recognition.recognizer import Recognizer

    recognizer = Recognizer.shipped()
    step = len(recordings) // CLASSES
    for number in range(CLASSES):
        recognizer.enroll(f"class {number}", recordings[number * step : number * step + CLIPS])
    recognizer.save(folder)


def measure_indexing(recordings: list[Path], folder: Path, hours: float, workers: int) -> dict[str, float]:
    """Index recordings of ten minutes that are made of the given ones with noise, end to end."""
    from fewshot_audio.archive.build import update_index
    from fewshot_audio.archive.embed import EmbeddingJob
    from fewshot_audio.audio.decode import decode
    from fewshot_audio.recognition.shipped import shipped_folder

    random, rate, seconds = np.random.default_rng(2), 16_000, 600
    archive = folder / "archive"
    archive.mkdir()
    pool = [decode(path).samples for path in recordings[:: max(1, len(recordings) // 200)]]
    for number in range(max(1, round(hours * 3600 / seconds))):
        parts, length = [], 0
        while length < seconds * rate:
            parts.append(pool[random.integers(len(pool))])
            length += len(parts[-1])
        samples = np.concatenate(parts)[: seconds * rate] + random.normal(0, 1e-3, seconds * rate).astype(np.float32)
        soundfile.write(archive / f"{number}.flac", np.clip(samples, -1, 1), rate, subtype="PCM_16")
    job = EmbeddingJob(folder / "own", archive, shipped_folder(), (), "cpu", 5.0)
    start = time.perf_counter()
    update = update_index([archive], job, workers)
    taken = time.perf_counter() - start
    size = sum(path.stat().st_size for path in (folder / "own").iterdir())
    return {
        "windows": update.windows,
        "seconds": taken,
        "times real time": update.windows * 5.0 / taken,
        "bytes per window": size / max(1, update.windows),
    }


def main() -> None:
    """Measure all parts and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path, help="folder of recordings")
    parser.add_argument("--windows", type=int, default=1_000_000, help="of the large index")
    parser.add_argument("--hours", type=float, default=10.0, help="of the recordings that are indexed end to end")
    parser.add_argument("--workers", type=int, default=2, help="processes that index")
    parser.add_argument("--small", type=int, default=1000, help="recordings that the large index is made of")
    parser.add_argument("--scratch", type=Path, help="where the indexes are; default: the system's temporary folder")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if arguments.part == "search":
        print(json.dumps(measure_search(folder / "large")))
        return
    if arguments.part == "classify":
        print(json.dumps(measure_classification(folder / "large", folder / "bundle")))
        return
    recordings = list_recordings([arguments.recordings])[0]
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        folder = Path(name)
        values = {"indexing": measure_indexing(recordings, folder, arguments.hours, arguments.workers)}
        write_bundle(recordings, folder / "bundle")
        write_small(recordings[:: max(1, len(recordings) // arguments.small)], folder)
        write_large(folder / "small", folder / "large", arguments.windows)
        for part in ("search", "classify"):
            words = [str(arguments.recordings), "--part", part, "--folder", str(folder)]
            values[part] = in_child("benchmarks.archive", words)
    rows = [[part, key, f"{value:.4g}"] for part, own in values.items() for key, value in own.items()]
    report(f"An index of {arguments.windows} windows", ["part", "what", "value"], rows, values, arguments.json)


def write_small(recordings: list[Path], folder: Path) -> None:
    """Index the recordings that the large index is made of."""
    from fewshot_audio.archive.build import archive_folder, update_index
    from fewshot_audio.archive.embed import EmbeddingJob
    from fewshot_audio.recognition.shipped import shipped_folder

    job = EmbeddingJob(folder / "small", archive_folder(recordings), shipped_folder(), (), "cpu", 5.0)
    update_index(recordings, job)


if __name__ == "__main__":
    main()
