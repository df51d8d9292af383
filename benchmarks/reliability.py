"""Write docs/reliability.md from what the soak tests counted (``make soak`` appends to build/reliability.jsonl).

python -m benchmarks.reliability [--records FILE] [--page FILE]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from fewshot_audio.files import write_text
from fewshot_audio.studies.tables import markdown_table

ROOT = Path(__file__).parents[1]
RECORDS, PAGE = ROOT / "build" / "reliability.jsonl", ROOT / "docs" / "reliability.md"
COLUMNS = ("fault", "trials", "lost", "wrong", "date")
INTRODUCTION = """# Faults that were tried

What was done to the program, at random moments or places, and how often; every trial has a seed of its own. A trial
is **lost** if something is gone afterwards that had been reported as written. It is **wrong** if another value than the
right one was read or written, or a fault ended in anything but a message that says what is the matter. Both have to be
0: a test fails otherwise.

Killed commands are started again, and what they end with is compared with the result of one that nothing happened to.
A limit of the file size and a full disk are the same to a program except for the reason that it is told. Damaged files
are derived from valid ones; each has to be read, or refused, within a second and in bounded memory.

<!-- not run: it takes more than half an hour -->

    make soak
    python -m benchmarks.reliability
"""


def latest_records(lines: list[str]) -> list[dict[str, Any]]:
    """The last record of each fault, by name."""
    records = {record["fault"]: record for record in map(json.loads, lines)}
    return [records[fault] for fault in sorted(records, key=str.casefold)]


def page(records: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The page, in Markdown."""
    rows = [[f"{record[column]:,}" if column == "trials" else str(record[column]) for column in COLUMNS]
            for record in records]  # fmt: skip
    where = f"On {facts['cores']} cores ({facts['cpu']}, {facts['flags']}), torch {facts['torch']}, "
    return f"{INTRODUCTION}\n{where}Python {facts['python']}:\n\n{markdown_table(COLUMNS, rows)}"


def main() -> None:
    """Read the options and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="what the soak tests counted")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    if not arguments.records.is_file():
        sys.exit(f"{arguments.records}: no such file; `make soak` writes it")
    lines = arguments.records.read_text(encoding="utf-8").splitlines()
    write_text(arguments.page, page(latest_records(lines), machine()))
    print(f"Wrote {arguments.page}")


if __name__ == "__main__":
    main()
