"""Plot the training curves of runs: ``python -m benchmarks.curves LABEL=RUN_DIR... -o FILE.png``."""

import argparse
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

from fewshot_audio.engine.history import METRICS_FILE, read_metrics

mpl.use("Agg")
PANELS = {"train_loss": "training loss", "train_accuracy": "training accuracy", "val_accuracy": "validation accuracy"}


def main() -> None:
    """Draw one panel per quantity, one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN_DIR")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(12, 3.6), layout="constrained")
    for argument in options.runs:
        label, _, folder = argument.partition("=")
        rows = read_metrics(Path(folder) / METRICS_FILE)
        for panel, key in zip(panels, PANELS, strict=True):
            panel.plot([row["epoch"] for row in rows], [row[key] for row in rows], label=label)
    for panel, title in zip(panels, PANELS.values(), strict=True):
        panel.set(xlabel="epoch", title=title)
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
