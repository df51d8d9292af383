"""Plot the training curves of runs: ``python -m benchmarks.curves LABEL=RUN_DIR... -o FILE.png``."""

import argparse
import csv
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

from fewshot_audio.engine.checkpoint import METRICS_FILE

mpl.use("Agg")
PANELS = {"train_loss": "training loss", "train_accuracy": "training accuracy", "val_accuracy": "validation accuracy"}


def main() -> None:
    """Draw one panel per quantity, one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN_DIR")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 3.6), layout="constrained")
    for named in options.runs:
        label, _, folder = named.partition("=")
        with (Path(folder) / METRICS_FILE).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for panel, key in zip(panels, PANELS, strict=True):
            panel.plot([int(row["epoch"]) for row in rows], [float(row[key]) for row in rows], label=label)
    for panel, title in zip(panels, PANELS.values(), strict=True):
        panel.set(xlabel="epoch", title=title)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
