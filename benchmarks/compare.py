"""The figures of ``make bench`` beside those of another version: ratios, for each number that both have.

python -m benchmarks.compare build/bench OTHER/build/bench

Seconds compare only if both were taken on one machine, at best in one run: another machine is named above the table.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewshot_audio.studies.tables import markdown_table

DECIDES = ("cpu", "flags", "cores", "torch")  # what timings depend on


def numbers(values: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested dicts, each with the keys that lead to it."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from numbers(value, f"{name}, {key}" if name else key)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield name, values


def compare(now: Path, before: Path) -> tuple[list[str], list[list[str]]]:
    """What is to be said of the machines, and the rows of the table: file, figure, before, now, ratio."""
    remarks, rows = [], []
    for path in sorted(now.glob("*.json")):
        if not (before / path.name).is_file():
            remarks.append(f"{path.name}: not in {before}")
            continue
        new, old = (json.loads(file.read_text()) for file in (path, before / path.name))
        remarks += [
            f"{path.name}: {key} was {old['machine'].get(key)}, and is {new['machine'].get(key)}"
            for key in DECIDES
            if old["machine"].get(key) != new["machine"].get(key)
        ]
        former = dict(numbers(old["results"]))
        for name, value in numbers(new["results"]):
            if name in former:
                ratio = f"{former[name] / value:.2f}" if value else "-"
                rows.append([path.stem, name, f"{former[name]:.4g}", f"{value:.4g}", ratio])
    return remarks, rows


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("now", type=Path, help="folder of JSON files")
    parser.add_argument("before", type=Path, help="folder of those of another version")
    arguments = parser.parse_args()
    remarks, rows = compare(arguments.now, arguments.before)
    print(
        "\n".join([*remarks, ""]) + markdown_table(["benchmark", "figure", "before", "now", "before / now"], rows),
        end="",
    )


if __name__ == "__main__":
    main()
