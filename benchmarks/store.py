"""A store of 300,000 segments against one of 2,100: opening, memory, training speed, cold reads.

python -m benchmarks.store [--segments 300000] [--root DIR] [--json FILE]

A segment is a clip of its own. The large store is a sparse file, random where it is read. Both train on the same
seven classes, whose segments are in the page cache; cold reads follow after those have been dropped from it. Each
measurement has a process of its own; memory is RssAnon, so that mapped files do not count. The stores take turns,
so that a machine that warms up favors neither; medians over the rounds.
"""

import argparse
import json
import os
import random
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import in_child, median_seconds, report
from benchmarks.train_step import build, training_step
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.packed_store import PackedStore, write_index
from fewshot_audio.data.splits import Splits, read_splits, write_splits
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.data.store_folder import StoreFolder, clips_fingerprint
from fewshot_audio.engine.loader import TrainingData
from fewshot_audio.models.views import SpecViews
from fewshot_audio.runtime.device import start_runtime

PER_CLASS, CACHED_CLASSES, SHAPE = 300, 7, (128, 157)


def write_store(root: Path, name: str, classes: int) -> DatasetFolder:
    """Write a dataset folder with empty clip files and a packed store that belongs to them."""
    folder = DatasetFolder(root / name)
    names = [f"class{number:04d}" for number in range(classes)]
    for class_name in names:
        (folder.features / class_name).mkdir(parents=True)
        for clip in range(PER_CLASS):
            (folder.features / class_name / f"{clip:04d}.npy").touch()
    packed = folder.path / ".store" / "features" / clips_fingerprint(folder.features)[:20]
    packed.mkdir(parents=True)
    segments: Any = np.lib.format.open_memmap(
        packed / "segments.npy", "w+", np.dtype("<f4"), (classes * PER_CLASS, *SHAPE)
    )
    generator = np.random.default_rng(0)
    for row in range(CACHED_CLASSES * PER_CLASS):
        segments[row] = generator.normal(-30, 15, SHAPE)
    segments.flush()
    checksums = np.full(len(segments), zlib.crc32(bytes(segments[0].nbytes)), np.uint32)
    used = CACHED_CLASSES * PER_CLASS
    checksums[:used] = [zlib.crc32(segment) for segment in segments[:used]]
    write_index(
        packed,
        classes=names,
        clips=[f"{clip:04d}" for clip in range(PER_CLASS)] * classes,
        class_of=np.repeat(np.arange(classes), PER_CLASS),
        counts=np.ones(classes * PER_CLASS, np.int64),
        dtype=segments.dtype,
        shape=segments.shape,
        checksums=checksums,
    )
    cached = tuple(names[:CACHED_CLASSES])
    write_splits(folder.splits, Splits(cached, (), ()))
    write_norm(folder.norm_stats, -30, 15)
    return folder


def anonymous_bytes() -> int:
    """Memory of this process that is not the cache of a file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")


def measure(folder: DatasetFolder, repetitions: int) -> dict[str, float]:
    """Everything about one store."""
    before = anonymous_bytes()
    open_seconds = median_seconds(lambda: SegmentStore.open(folder), 3, warm_up=1)
    packed = next((folder.path / ".store" / "features").glob("*/segments.npy")).parent
    index_seconds = median_seconds(lambda: _open(folder, packed), 3, warm_up=1)
    cold, cold_without = (_cold(folder, packed, read_ahead=read_ahead) for read_ahead in (True, False))
    store = SegmentStore.open(folder)
    opened_bytes = anonymous_bytes() - before

    cached = np.arange(CACHED_CLASSES * PER_CLASS)
    store.read(cached)
    shuffled = random.Random(0)
    fetch_seconds = median_seconds(lambda: store.read(np.array(shuffled.sample(range(len(cached)), 50))), 50)

    experiment, _, network = build("plain", "Hybrid")
    network.set_precision(start_runtime(experiment.device, experiment.gpu_index, experiment.precision).precision)
    data = TrainingData(store, read_splits(folder.splits), SpecViews(experiment.specaug_params))
    step_seconds = median_seconds(training_step(network, experiment, data), repetitions)
    return {
        "segments": len(store.segments),
        "open": open_seconds,
        "index": index_seconds,
        "opened_bytes": opened_bytes,
        "trained_bytes": anonymous_bytes() - before,
        "fetch": fetch_seconds,
        "step": step_seconds,
        "cold": cold,
        "cold_without": cold_without,
    }


def _open(folder: DatasetFolder, packed: Path) -> SegmentStore:
    """Open a store without looking whether the folder has changed."""
    return SegmentStore.of(PackedStore.read(packed), StoreFolder(folder, "features", "float32").pack_again)


def _nothing(_: object) -> None:
    """Read nothing ahead."""


def _cold(folder: DatasetFolder, packed: Path, *, read_ahead: bool) -> float:
    """Median seconds of fetching and verifying 50 random segments that are on the disk only: mapped pages stay."""
    descriptor = os.open(packed / "segments.npy", os.O_RDONLY)
    shuffled, times = random.Random(1), []
    try:
        for _ in range(9):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            store = _open(folder, packed)
            if not read_ahead:
                store.read_ahead = _nothing  # type: ignore[method-assign, assignment]
            indices = np.array(shuffled.sample(range(CACHED_CLASSES * PER_CLASS), 50))
            start = time.perf_counter()
            store.read(indices)
            times.append(time.perf_counter() - start)
            del store
    finally:
        os.close(descriptor)
    return median(times)


def main() -> None:
    """Write both stores, measure each in a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=300_000)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(DatasetFolder(options.child), options.repetitions)))
        return
    rounds: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=options.root) as root:
        sizes = {"small": CACHED_CLASSES, "large": max(CACHED_CLASSES, options.segments // PER_CLASS)}
        folders = [write_store(Path(root), name, classes) for name, classes in sizes.items()]
        for _ in range(options.rounds):
            for folder in folders:
                arguments = ["--child", str(folder.path), "--repetitions", str(options.repetitions)]
                rounds.setdefault(folder.path.name, []).append(in_child("benchmarks.store", arguments))
    results = {name: {key: median(run[key] for run in runs) for key in runs[0]} for name, runs in rounds.items()}
    rows = [
        [
            f"{result['segments']:.0f}",
            f"{result['open']:.2f}",
            f"{result['index']:.3f}",
            f"{result['opened_bytes'] / 1e6:.0f}",
            f"{result['trained_bytes'] / 1e6:.0f}",
            f"{1000 * result['fetch']:.2f}",
            f"{1 / result['step']:.2f}",
            f"{1000 * result['cold']:.1f}",
            f"{1000 * result['cold_without']:.1f}",
        ]
        for result in results.values()
    ]
    columns = ["segments", "open, s", "index alone, s", "RssAnon opened, MB", "RssAnon trained, MB"]
    columns += ["50 segments, ms", "episodes / s", "cold, ms", "cold without read-ahead, ms"]
    report("A large store against a small one", columns, rows, results, options.json)
    print(f"\nepisodes per second, large / small: {results['small']['step'] / results['large']['step']:.3f}")


if __name__ == "__main__":
    main()
