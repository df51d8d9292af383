"""What the benchmarks share: a dataset of random segments, child processes, medians, machine facts, tables."""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.studies.tables import markdown_table

CPU_FLAGS = ("avx2", "avx512_f", "avx512_bf16", "amx_tile", "amx_bf16", "sve", "bf16")  # what timings depend on
GFLOP_PER_SEGMENT = 0.61  # forward and backward of the four blocks on 128 x 157, 64 channels


def random_dataset(
    root: Path, name: str = "random", classes: int = 45, clips: int = 20, *, test_only: bool = False
) -> DatasetFolder:
    """Write a dataset folder of one-segment clips (128, 157) of noise; ``test_only``: all classes are test classes."""
    folder = DatasetFolder(root / name)
    random = np.random.default_rng(0)
    names = [f"class{number:02d}" for number in range(classes)]
    for class_name in names:
        (folder.features / class_name).mkdir(parents=True)
        for clip in range(clips):
            segment = random.normal(-30, 15, (1, 128, 157)).astype(np.float32)
            np.save(folder.features / class_name / f"{clip:03d}.npy", segment)
    bounds = (0, 0) if test_only else (len(names) - 10, len(names) - 5)
    parts = (names[: bounds[0]], names[bounds[0] : bounds[1]], names[bounds[1] :])
    write_splits(folder.splits, Splits(*map(tuple, parts)))
    write_norm(folder.norm_stats, -30, 15)
    return folder


def median_seconds(work: Callable[[], object], repetitions: int, warm_up: int = 2) -> float:
    """Median wall time of ``work``."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def gemm_gflops(size: int = 2048) -> float:
    """GFLOP/s of an fp32 matrix product in this process."""
    import torch  # here, so that processes that do without it start sooner

    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / median_seconds(lambda: left @ right, 7) / 1e9


def peak_gigabytes() -> float:
    """The process's peak resident memory, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def in_child(module: str, arguments: Sequence[str], *, system_allocator: bool = False) -> Any:
    """Run ``python -m module arguments`` in a process of its own and return the JSON of its last line."""
    environment = dict(os.environ)
    if system_allocator:
        environment["FEWSHOT_AUDIO_SYSTEM_ALLOCATOR"] = "1"
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr}")
    return json.loads(process.stdout.strip().splitlines()[-1])


@contextmanager
def serving(arguments: Sequence[str], **environment: str) -> Iterator[tuple[str, int]]:
    """A server with these arguments, at a free port: its address and its process."""
    words = [sys.executable, "-c", "from fewshot_audio.cli import main; main()", "serve", *arguments, "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as server:
        try:
            assert server.stdout
            match = re.match(r"Open (\S+) ", server.stdout.readline())
            assert match
            yield match[1], server.pid
        finally:
            server.terminate()


def machine() -> dict[str, Any]:
    """Date and machine of a measurement."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "date": date.today().isoformat(),
        "cpu": str(capabilities.get("cpu_name", platform.processor())),
        "flags": "+".join(flag for flag in CPU_FLAGS if capabilities.get(flag)) or "unknown",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def report(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], values: Any, json_file: Path | None
) -> None:
    """Print a Markdown table with the machine's facts, and write the numbers as JSON if ``json_file`` is not None."""
    facts = machine()
    print(f"{title}\n({', '.join(f'{key} {value}' for key, value in facts.items())})\n")
    print(markdown_table(columns, rows), end="")
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps({"machine": facts, "results": values}, indent=2) + "\n")
