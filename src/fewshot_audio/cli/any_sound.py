"""``python -m fewshot_audio.cli.any_sound``: train the network for any sound on prepared collections, and ship it.

The recognizer is calibrated on the validation classes of the dataset that ``--measured-on`` names, and measured on its
test classes. If that is one of the collections, two networks are trained alike: one without these classes, for that,
and one of all classes, which is shipped.
"""

import argparse
import sys
from pathlib import Path

from fewshot_audio.cli.collection_weights import check_weights, weight
from fewshot_audio.cli.console import print_error, print_line, progress_bar
from fewshot_audio.cli.options import DATA_ROOT
from fewshot_audio.data.names import safe_name
from fewshot_audio.errors import DataError, FewShotError
from fewshot_audio.files import check_writable, write_text
from fewshot_audio.progress import Progress, prefixed
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.shipped import CARD_FILE, HOME
from fewshot_audio.studies.any_sound.build import build_any_sound
from fewshot_audio.studies.any_sound.card import any_sound_card
from fewshot_audio.studies.any_sound.measure import held_out_classes, measure
from fewshot_audio.studies.any_sound.training import AnySoundSettings


def build_and_ship(options: argparse.Namespace, home: Path, progress: Progress) -> Path:
    """Train both networks, and write ``home/NAME``. Raises FewShotError."""
    root, measured_on = options.data_root, options.measured_on
    if options.name != safe_name(options.name) or not options.name.isidentifier():
        raise DataError(f"{options.name!r}: a recognizer's name is letters, digits and underscores")
    settings = AnySoundSettings(steps=options.steps, seed=options.seed, weights=dict(options.weight))
    check_weights(settings.weights, options.collections)
    held_out = [*held_out_classes(root, measured_on), *options.exclude]
    folder: Path = home / options.name
    recognizers = []
    trainings = [("shipped", options.exclude)]
    if measured_on in options.collections:
        trainings = [("measured", held_out), ("shipped", [])]
    for name, excluded in trainings:
        run = options.output / name
        build_any_sound(
            run,
            root,
            options.collections,
            calibrated_on=measured_on,
            excluded=excluded,
            settings=settings,
            progress=prefixed(progress, f"{name}: "),
        )
        recognizers.append(Recognizer.from_run(run, data_root=root, progress=progress))
    measured, complete = recognizers[0], recognizers[-1]
    shipped = Recognizer(complete.embedder, complete.experiment, complete.model, measured.calibration)
    shipped.save(folder)
    numbers = measure(measured, root, measured_on, progress)
    card = any_sound_card(options.name, shipped, root, options.collections, numbers, settings, options.license)
    write_text(folder / CARD_FILE, card)
    return folder


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fewshot_audio.cli.any_sound", description=__doc__)
    parser.add_argument("name", help="the recognizer's name")
    parser.add_argument("collections", nargs="+", help="dataset folders, prepared alike, segments filled with silence")
    parser.add_argument("--measured-on", required=True, help="the collection whose held-out classes are measured on")
    parser.add_argument("--exclude", nargs="*", default=[], help="further classes that are held out, collection/class")
    parser.add_argument(
        "--weight", nargs="*", type=weight, default=[], help="collection=W: it is drawn W times as often"
    )
    parser.add_argument("--license", nargs="+", required=True, help="lines for the model card, of the recordings")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, help="folder that holds the dataset folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("experiments/any-sound"), help="folder of the runs")
    parser.add_argument("--steps", type=int, default=AnySoundSettings.steps)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        check_writable(HOME / options.name / CARD_FILE)
        with progress_bar() as progress:
            folder = build_and_ship(options, HOME, progress)
    except FewShotError as error:
        print_error(str(error))
        sys.exit(1)
    print_line(f"Recognizer and model card: {folder}")


if __name__ == "__main__":
    main()
