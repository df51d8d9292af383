"""How long a user waits for ``fewshot-audio --help``, for imports, and (with ``--train``) for the first episode.

python -m benchmarks.startup [--train] [--repetitions N] [--json FILE]
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import random_dataset, report
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.store import SegmentStore

HELP, IMPORT, REPORT = "--help", "import fewshot_audio", "import fewshot_audio.studies.report"
PLAIN, ANGULAR = "train, plain", "train, attention + angular"
LIMITS = {HELP: 0.5, PLAIN: 15.0, ANGULAR: 15.0}
# Stops the process at the first report of the training loop, which comes after the first episode.
UNTIL_FIRST_EPISODE = """
import os, sys
import fewshot_audio.cli.train as command
from contextlib import contextmanager
@contextmanager
def stop_at_once():
    def report(description, done, total, details=""):
        if description.endswith("training"):
            os._exit(0)
    yield report
command.progress_bar = stop_at_once
from fewshot_audio.cli import main
main(sys.argv[1:])
"""


def seconds(command: list[str]) -> float:
    """Wall time of a command, which must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def train_command(root: Path, scenario: int) -> list[str]:
    """The command that trains a scenario on the dataset in ``root`` until its first episode is done."""
    files = []
    for kind, config in zip("em", scenario_configs("random", scenario, "angular"), strict=True):
        path = root / f"{kind}{scenario}.json"
        path.write_text(json.dumps(config.model_dump()))
        files += [f"-{kind}", str(path)]
    train = ["train", *files, "--data-root", str(root), "--output", str(root / "out"), "--overwrite"]
    return [sys.executable, "-c", UNTIL_FIRST_EPISODE, *train]


def main() -> None:
    """Measure each command, after one run that brings the files into memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train until the first episode is done, too")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    commands = {HELP: [sys.executable, "-m", "fewshot_audio.cli", "--help"]}
    commands |= {line: [sys.executable, "-c", line] for line in (IMPORT, REPORT)}
    with tempfile.TemporaryDirectory() as name:
        if options.train:
            root = Path(name)
            SegmentStore.open(random_dataset(root))
            commands |= {PLAIN: train_command(root, 1), ANGULAR: train_command(root, 5)}
        results = {}
        for title, command in commands.items():
            seconds(command)
            results[title] = statistics.median(seconds(command) for _ in range(options.repetitions))
    rows = [[title, f"{value:.2f}", str(LIMITS.get(title, "-"))] for title, value in results.items()]
    report("Start-up, seconds", ["what", "median, s", "limit, s"], rows, results, options.json)
    slow = [title for title, value in results.items() if value > LIMITS.get(title, math.inf)]
    sys.exit(f"over the limit: {', '.join(slow)}" if slow else 0)


if __name__ == "__main__":
    main()
