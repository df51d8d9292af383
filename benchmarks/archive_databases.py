"""Databases beside the exact search of an index: LanceDB and usearch on as many windows as a large archive has.

The windows are made of those of an index as ``benchmarks.archive`` makes them, and so is what is searched for. An
approximate search looks as far as it takes to find 95 % of the ten nearest windows. While a process reads, another
appends recordings of an hour; then one is removed. A process that appends to a smaller database is killed at random
moments, and what it had reported as written is counted. lancedb and usearch are no dependencies: install them to
measure them.
"""

import argparse
import importlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.archive import HOUR, JITTER, QUERIES, clocked, jittered, real_windows
from benchmarks.common import in_child, peak_gigabytes, report
from fewshot_audio.archive.description import read_index_description
from fewshot_audio.archive.halves import Halves, Singles
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.partition import PartitionWriter, remove_recordings
from fewshot_audio.archive.recordings import IndexedRecording

MODULE = "benchmarks.archive_databases"
COUNT = 10  # nearest windows that are searched for
ENOUGH = 0.95  # of them that are found
APPENDED = 5  # recordings, beside a reader
KILLS, KILLED_WINDOWS = 20, 28 * HOUR
PARTS = ("build", "queries", "readers", "kills")


class _Database(Protocol):
    """Windows by number, on disk. What a writing method did is durable when it returns.

    Attributes:
        efforts: how far a search may look, from the least on.
    """

    efforts: tuple[int, ...]

    def __init__(self, folder: Path, index: Path) -> None: ...
    def build(self, rows: Iterable[Halves], windows: int) -> None: ...
    def open(self) -> None: ...
    def __len__(self) -> int: ...
    def search(self, query: Singles, effort: int) -> list[int]: ...
    def append(self, rows: Halves, first: int) -> None: ...
    def remove(self, first: int) -> None: ...
    def size(self) -> int: ...


class _Exact:
    """An index and ``Neighbors``, with which ``serve`` searches; its timbre is left out of its size."""

    efforts: tuple[int, ...] = (0,)

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder, self._source, self._description = folder, index, read_index_description(index)

    def build(self, rows: Iterable[Halves], windows: int) -> None:
        self._folder.mkdir()
        shutil.copy(self._source / "index.json", self._folder)
        with PartitionWriter(self._folder, 0, self._description) as writer:
            for number, part in enumerate(rows):
                self._add(writer, part, number * HOUR)
            writer.commit()

    def _add(self, writer: PartitionWriter, rows: Halves, first: int) -> None:
        others = {name: np.ones((len(rows), width), np.float16) for name, width in self._description.blocks.items()}
        writer.add_rows(others | {"embedding": rows})
        samples = (len(rows) - 1) * self._description.hop + self._description.window
        writer.add(IndexedRecording(f"{first}.wav", samples, 1, len(rows), samples, 16_000))

    def open(self) -> None:
        from fewshot_audio.archive.neighbors import Neighbors

        self._index = Index(self._folder)
        self._neighbors = Neighbors(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def search(self, query: Singles, effort: int) -> list[int]:
        return [int(window) for window in self._neighbors.nearest(query[None], COUNT)[0]]

    def append(self, rows: Halves, first: int) -> None:
        with PartitionWriter(self._folder, 0, self._description) as writer:
            self._add(writer, rows, first)
            writer.commit()

    def remove(self, first: int) -> None:
        remove_recordings(self._folder, 0, [f"{first}.wav"])

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._folder.iterdir() if "timbre" not in path.name)


class _Lance:
    """A table of LanceDB with an inverted file of product codes, whose candidates are compared exactly."""

    efforts: tuple[int, ...] = (20, 50, 100, 200, 400)  # partitions that are searched

    def __init__(self, folder: Path, index: Path) -> None:
        self._folder = folder
        self._lancedb, self._arrow = imported("lancedb"), imported("pyarrow")
        width = read_index_description(index).blocks["embedding"]
        vector = self._arrow.list_(self._arrow.float16(), width)
        self._schema = self._arrow.schema([("id", self._arrow.int64()), ("vector", vector)])

    def _batch(self, rows: Halves, first: int) -> Any:
        numbers = self._arrow.array(np.arange(first, first + len(rows)))
        flat = self._arrow.array(np.ascontiguousarray(rows).reshape(-1))
        vectors = self._arrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        return self._arrow.RecordBatch.from_arrays([numbers, vectors], schema=self._schema)

    def build(self, rows: Iterable[Halves], windows: int) -> None:
        batches = (self._batch(part, number * HOUR) for number, part in enumerate(rows))
        reader = self._arrow.RecordBatchReader.from_batches(self._schema, batches)
        table = self._lancedb.connect(self._folder).create_table("windows", reader)
        width = self._schema.field("vector").type.list_size
        kind = imported("lancedb.index").IvfPq
        partitions = max(1, round(windows**0.5))
        settings = kind(distance_type="cosine", num_partitions=partitions, num_sub_vectors=width // 8)
        table.create_index("vector", config=settings)

    def open(self) -> None:
        self._table = self._lancedb.connect(self._folder).open_table("windows")

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def search(self, query: Singles, effort: int) -> list[int]:
        search = self._table.search(query).distance_type("cosine").nprobes(effort).refine_factor(20).limit(COUNT)
        return [int(number) for number in search.select(["id", "_distance"]).to_arrow()["id"].to_pylist()]

    def append(self, rows: Halves, first: int) -> None:
        self._table.add(self._batch(rows, first))

    def remove(self, first: int) -> None:
        self._table.delete(f"id >= {first} and id < {first + HOUR}")

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file())


class _Usearch:
    """A graph of usearch (HNSW) with its own settings; every change writes the whole file."""

    efforts: tuple[int, ...] = (64, 128, 256, 512, 1024)  # candidates that are followed

    def __init__(self, folder: Path, index: Path) -> None:
        self._file = folder / "windows.usearch"
        self._usearch = imported("usearch.index")
        self._width = read_index_description(index).blocks["embedding"]
        self._writable: Any = None

    def build(self, rows: Iterable[Halves], windows: int) -> None:
        graph = self._usearch.Index(ndim=self._width, metric="cos", dtype="f16")
        for number, part in enumerate(rows):
            graph.add(np.arange(number * HOUR, number * HOUR + len(part)), part, threads=0)
        self._file.parent.mkdir()
        graph.save(str(self._file))

    def open(self) -> None:
        self._graph = self._usearch.Index.restore(str(self._file), view=True)
        if self._graph is None:
            raise ValueError(f"{self._file}: cannot be read")

    def __len__(self) -> int:
        return len(self._graph)

    def search(self, query: Singles, effort: int) -> list[int]:
        self._graph.expansion_search = effort
        return [int(number) for number in self._graph.search(query, COUNT).keys]

    def _changed(self) -> Any:
        self._writable = self._writable or self._usearch.Index.restore(str(self._file), view=False)
        return self._writable

    def append(self, rows: Halves, first: int) -> None:
        self._changed().add(np.arange(first, first + len(rows)), rows, threads=0)
        self._writable.save(str(self._file))

    def remove(self, first: int) -> None:
        self._changed().remove(np.arange(first, first + HOUR))
        self._writable.save(str(self._file))

    def size(self) -> int:
        return self._file.stat().st_size


DATABASES: dict[str, type[_Database]] = {"exact": _Exact, "lancedb": _Lance, "usearch": _Usearch}


def imported(name: str) -> Any:
    """A package that is no dependency."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{name} is not installed: pip install lancedb usearch ({error})") from error


def made_windows(index: Path, count: int, seed: int) -> Iterator[Halves]:
    """Rows of windows, an hour at a time."""
    real = {"embedding": real_windows(Index(index))["embedding"]}
    random_numbers = np.random.default_rng(seed)
    for first in range(0, count, HOUR):
        yield jittered(real, min(HOUR, count - first), random_numbers)["embedding"]


def made_queries(index: Path) -> Singles:
    """What is searched for, (queries, width)."""
    rows, numbers = real_windows(Index(index))["embedding"], np.random.default_rng(1)
    chosen = rows[numbers.integers(len(rows), size=QUERIES)]
    noise = numbers.standard_normal(chosen.shape, dtype=np.float32)
    queries: Singles = chosen + JITTER * chosen.std(axis=1, keepdims=True) * noise
    return queries


def measure_queries(database: _Database, queries: Singles, truth: Path) -> dict[str, float]:
    """Time of searches, at the least effort that finds enough; the exact search says what there is to find."""
    values: dict[str, float] = {}
    with clocked(values, "open"):
        database.open()
    if database.efforts == (0,):
        np.save(truth, [database.search(query, 0) for query in queries])
    nearest = np.load(truth)
    for effort in database.efforts:
        seconds, processor, hits = [], [], 0
        for query, expected in zip(queries, nearest, strict=True):
            start, busy = time.perf_counter(), time.process_time()
            answer = database.search(query, effort)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - busy)
            hits += len(set(answer) & set(expected.tolist()))
        recall = hits / nearest.size
        print(f"effort {effort}: recall {recall:.3f}, p95 {np.percentile(seconds, 95):.4f} s", file=sys.stderr)
        if recall >= ENOUGH:
            break
    times = {"query, p50": np.median(seconds), "query, p95": np.percentile(seconds, 95)}
    times["query, p95, processor"] = np.percentile(processor, 95)
    values |= {name: float(value) for name, value in times.items()}
    return values | {"effort": effort, "recall@10": recall, "gigabytes": peak_gigabytes()}


def append_recordings(database: _Database, index: Path, count: int) -> None:
    """Append recordings, and report each that is written with the seconds that it took."""
    database.open()
    first = len(database)
    for rows in made_windows(index, count * HOUR, first):
        start = time.perf_counter()
        database.append(rows, first)
        print(time.perf_counter() - start, flush=True)
        first += HOUR


def read_until(database: _Database, queries: Singles, effort: int, stop: Path) -> dict[str, float]:
    """Search until a file is there."""
    database.open()
    print("ready", flush=True)
    seconds: list[float] = []
    while not stop.exists():
        start = time.perf_counter()
        found = database.search(queries[len(seconds) % len(queries)], effort)
        seconds.append(time.perf_counter() - start)
        if len(found) != COUNT:
            raise ValueError(f"{len(found)} windows instead of {COUNT}")
    return {"searches": len(seconds), "p95": float(np.percentile(seconds, 95))}


def part_of(name: str, *words: object) -> "subprocess.Popen[str]":
    """Another process of this benchmark."""
    call = [sys.executable, "-m", MODULE, *map(str, sys.argv[1:2]), "--part", name, *map(str, words)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True)


def measure_readers(kind: str, folder: Path, index: Path, effort: int) -> dict[str, float]:
    """Append beside a reader, open again, and remove."""
    words, stop = ("--database", kind, "--folder", folder, "--effort", effort), folder.parent / "stop"
    stop.unlink(missing_ok=True)
    reader = part_of("read", *words)
    assert reader.stdout is not None
    reader.stdout.readline()
    writer = part_of("append", *words, "--count", APPENDED)
    written = [float(line) for line in writer.communicate()[0].splitlines()]
    stop.touch()
    lines = reader.communicate()[0].splitlines()
    read = json.loads(lines[-1]) if reader.returncode == 0 else {"searches": 0, "p95": float("nan")}
    values = {"append an hour": float(np.median(written)), "query beside a writer, p95": read["p95"]}
    database = DATABASES[kind](folder, index)
    with clocked(values, "open again"):
        database.open()
    before = len(database)
    with clocked(values, "remove an hour"):
        database.remove(0)
    database.open()
    values["windows removed"] = before - len(database)
    return values | {"reader's exit code": reader.returncode, "searches beside a writer": read["searches"]}


def measure_kills(kind: str, folder: Path, index: Path) -> dict[str, float]:
    """Kill a process that appends; what cannot be opened any more is counted, and put back."""
    database = DATABASES[kind](folder, index)
    database.build(made_windows(index, KILLED_WINDOWS, 0), KILLED_WINDOWS)
    backup, lost, broken = folder.with_name("backup"), 0, 0
    for _ in range(KILLS):
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(folder, backup)
        database.open()
        before = len(database)
        writer = part_of("append", "--database", kind, "--folder", folder, "--count", 10_000)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(random.uniform(0, 1))
        writer.send_signal(signal.SIGKILL)
        written = 1 + len(writer.communicate()[0].splitlines())
        database = DATABASES[kind](folder, index)
        try:
            database.open()
            after = len(database)
            lost += after < before + written * HOUR or bool((after - before) % HOUR)
        except Exception as error:  # noqa: BLE001 - whatever a database raises for its damaged files
            print(f"{kind}: {error}", file=sys.stderr)
            broken += 1
            shutil.rmtree(folder)
            shutil.copytree(backup, folder)
    return {"kills": KILLS, "kills that lost windows": lost, "kills after which it cannot be opened": broken}


def measure(kind: str, arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All parts, each in a process of its own."""
    values: dict[str, Any] = {}
    words = [str(arguments.index), "--database", kind, "--windows", str(arguments.windows)]
    for part in arguments.parts:
        folder = scratch / (f"{kind}-kills" if part == "kills" else kind)
        effort = ["--effort", str(values.get("queries", {}).get("effort", 0))]
        values[part] = in_child(MODULE, [*words, *effort, "--part", part, "--folder", str(folder)])
        print(kind, part, values[part], file=sys.stderr, flush=True)
    return values


def run_part(arguments: argparse.Namespace) -> None:
    """Do one part; the last line that is printed is its outcome."""
    kind, folder, index = arguments.database, arguments.folder, arguments.index
    database = DATABASES[kind](folder, index)
    values: dict[str, float] = {}
    if arguments.part == "build":
        with clocked(values, "build"):
            database.build(made_windows(index, arguments.windows, 0), arguments.windows)
        values |= {"bytes for each window": database.size() / arguments.windows, "gigabytes": peak_gigabytes()}
    elif arguments.part == "queries":
        values = measure_queries(database, made_queries(index), folder.parent / "truth.npy")
    elif arguments.part == "readers":
        values = measure_readers(kind, folder, index, arguments.effort)
    elif arguments.part == "kills":
        values = measure_kills(kind, folder, index)
    elif arguments.part == "read":
        values = read_until(database, made_queries(index), arguments.effort, folder.parent / "stop")
    else:
        append_recordings(database, index, arguments.count)
        return
    print(json.dumps(values))


def main() -> None:
    """Measure each database and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path, help="an index, whose windows the others are made of")
    parser.add_argument("--windows", type=int, default=1_000_000, help="how many are made")
    parser.add_argument("--only", nargs="+", choices=DATABASES, default=list(DATABASES), help="databases; exact first")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what is measured; build first")
    parser.add_argument("--scratch", type=Path, help="where they are; default: the system's temporary folder")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    for name, kind in (("part", str), ("folder", Path), ("database", str), ("effort", int), ("count", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        run_part(arguments)
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        values = {kind: measure(kind, arguments, Path(name)) for kind in arguments.only}
    rows = [
        [kind, part, key, f"{value:.4g}"]
        for kind, parts in values.items()
        for part, own in parts.items()
        for key, value in own.items()
    ]
    report(f"{arguments.windows} windows", ["database", "part", "what", "value"], rows, values, arguments.json)


if __name__ == "__main__":
    main()
