"""Enrolling classes that a network has never seen: accuracy, calibration and unknown sounds over draws of the clips.

For each run: all test classes of its own dataset are enrolled with a few clips each and their other clips classified;
then half of them are enrolled and half unknown. With ``--dataset`` the same is done for all classes of other folders.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.common import report
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.recognition.evaluate_open_set import evaluate_open_set
from fewshot_audio.runtime.allocator import keep_pages

OPEN_SET_TASKS = 200


def measure(run: Path, data_root: Path, dataset: str | None, shot: int, draws: int) -> dict[str, Any]:
    """Measure with all classes enrolled, over ``draws``; then with half of them enrolled and half unknown."""
    folders = DatasetFolders.find(data_root, dataset or Run.read(run).experiment.dataset_name)
    # The classes of another dataset are all new to the network.
    names = folders.list_classes() if dataset else folders.read_splits().test
    common: dict[str, Any] = {"dataset": dataset, "classes": "all" if dataset else "test", "shot": shot}
    closed = evaluate_open_set(run, data_root, enrolled=len(names), unknown=0, tasks=draws, **common)
    half = len(names) // 2
    open_set = evaluate_open_set(run, data_root, enrolled=half, unknown=half, tasks=OPEN_SET_TASKS, **common)
    return {"run": str(run), "closed": closed, "open": open_set}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of trained runs")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--dataset", action="append", default=[], help="another prepared folder; may be repeated")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_pages()
    results = [
        measure(run, arguments.data_root, dataset, arguments.shots, arguments.draws)
        for run in arguments.runs
        for dataset in (None, *arguments.dataset)
    ]
    rows = []
    for result in results:
        closed, open_set = result["closed"], result["open"]
        rows.append(
            [
                result["run"],
                f"{closed['dataset']}, {closed['enrolled_classes']} classes",
                f"{100 * closed['accuracy']:.1f} ± {100 * closed['std']:.1f} %",
                f"{100 * closed['ece_before']:.1f} % / {100 * closed['ece_after']:.1f} %",
                f"{open_set['enrolled_classes']} + {open_set['unknown_classes']}",
                f"{open_set['auroc']:.3f}",
                f"{100 * open_set['false_alarm']:.1f} % (stated {100 * open_set['false_alarm_stated']:g} %)",
                f"{100 * open_set['unknown_found']:.1f} %",
            ]
        )
    columns = ["run", "enrolled", "accuracy, std over draws", "ECE before / after", "known + unknown"]
    columns += ["AUROC", "false alarms", "unknown found"]
    title = f"Enrollment with {arguments.shots} clips a class, {arguments.draws} draws"
    report(title, columns, rows, results, arguments.json)


if __name__ == "__main__":
    main()
