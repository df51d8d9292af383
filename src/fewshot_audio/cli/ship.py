"""``python -m fewshot_audio.cli.ship EXPERIMENT NAME``: ship an experiment's first run with the package."""

import argparse
import sys
from pathlib import Path

from fewshot_audio.cli.console import print_error, print_line, progress_bar
from fewshot_audio.cli.options import DATA_ROOT
from fewshot_audio.config import PHASES
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.data.names import safe_name
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.experiments.results import read_experiment_results
from fewshot_audio.files import check_writable, write_text
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.model_card import model_card
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.shipped import CARD_FILE, HOME


def ship(
    experiment: Path, name: str, data_root: Path, license: str, home: Path = HOME, progress: Progress = silent
) -> Path:
    """Write ``home/name``: the first run's network, calibrated, and its model card. Raises DataError."""
    if name != safe_name(name) or not name.isidentifier():
        raise DataError(f"{name!r}: a recognizer's name is letters, digits and underscores")
    recognizer = Recognizer.from_run(experiment / "run-1", data_root=data_root, progress=progress)
    results = read_experiment_results(experiment)
    splits = DatasetFolders.find(data_root, results.dataset).read_splits()
    folder = home / name
    recognizer.save(folder)
    classes: dict[str, int] = {phase: len(splits[phase]) for phase in PHASES}
    write_text(folder / CARD_FILE, model_card(name, recognizer, results, classes, license))
    return folder


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fewshot_audio.cli.ship", description=__doc__)
    parser.add_argument("experiment", type=Path, help="an experiment's folder")
    parser.add_argument("name", help="the recognizer's name")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help="folder that holds the dataset folders")
    spelling = parser.add_mutually_exclusive_group(required=True)
    spelling.add_argument("--license", help="what the recordings' licenses allow, for the model card")
    spelling.add_argument("--licence", dest="license", help=argparse.SUPPRESS)  # as version 0.1 spelled it
    options = parser.parse_args()
    try:
        check_writable(HOME / options.name / CARD_FILE)
        with progress_bar() as progress:
            folder = ship(options.experiment, options.name, options.data_root, options.license, progress=progress)
    except FewShotError as error:
        print_error(str(error))
        sys.exit(1)
    print_line(f"Recognizer and model card: {folder}")


if __name__ == "__main__":
    main()
