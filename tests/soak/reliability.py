"""What the soak tests counted: one line for each kind of fault, from which docs/reliability.md is written."""

import json
from datetime import UTC, datetime
from pathlib import Path

RECORDS = Path(__file__).parents[2] / "build" / "reliability.jsonl"


def record(fault: str, *, trials: int, lost: int, wrong: int) -> None:
    """Note a fault's outcome, and fail unless nothing was lost and nothing wrong.

    Args:
        fault: what was done to the program, in words.
        trials: how many times, at random moments or places.
        lost: trials after which something was gone that had been reported as written.
        wrong: trials after which something else than the right value was read, or no clear error told of it.
    """
    RECORDS.parent.mkdir(exist_ok=True)
    line = {"fault": fault, "trials": trials, "lost": lost, "wrong": wrong, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    with RECORDS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    assert (lost, wrong) == (0, 0), f"{fault}: of {trials} trials {lost} lost something, {wrong} gave something wrong"
