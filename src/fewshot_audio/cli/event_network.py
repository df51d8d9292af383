"""``python -m fewshot_audio.cli.event_network``: train the network by which ``detect`` hears recordings."""

import argparse
import sys
from pathlib import Path

from fewshot_audio.cli.collection_weights import check_weights, weight
from fewshot_audio.cli.console import print_error, print_line, progress_bar
from fewshot_audio.data.sources.base import Source
from fewshot_audio.data.sources.esc50 import TABLE, Esc50
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.errors import FewShotError
from fewshot_audio.events.detection.network import HOME, NETWORK_FILE
from fewshot_audio.files import check_writable
from fewshot_audio.studies.event_network.build import build_event_network
from fewshot_audio.studies.event_network.training import EventNetworkSettings


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fewshot_audio.cli.event_network", description=__doc__)
    parser.add_argument("collections", nargs="+", type=Path, help="folders of class folders, or ESC-50 as published")
    parser.add_argument("--background", nargs="+", required=True, help="classes that events are heard over")
    parser.add_argument("--exclude", nargs="*", default=[], help="classes or collections that are held out")
    parser.add_argument(
        "--weight", nargs="*", type=weight, default=[], help="collection=W: it is drawn W times as often"
    )
    parser.add_argument("--license", nargs="+", required=True, help="lines for the model card, of the recordings")
    parser.add_argument("-o", "--output", type=Path, default=HOME, help="folder of the network and its card")
    parser.add_argument("--steps", type=int, default=EventNetworkSettings.steps)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sources: dict[str, Source] = {
        folder.name: Esc50(folder) if (folder / TABLE).is_file() else ClassFolders(folder)
        for folder in options.collections
    }
    settings = EventNetworkSettings(steps=options.steps, seed=options.seed, weights=dict(options.weight))
    try:
        check_weights(settings.weights, sources)
        check_writable(options.output / NETWORK_FILE)
        with progress_bar() as progress:
            build_event_network(
                options.output,
                sources,
                backgrounds=options.background,
                licenses=options.license,
                excluded=options.exclude,
                settings=settings,
                progress=progress,
            )
    except FewShotError as error:
        print_error(str(error))
        sys.exit(1)
    print_line(f"Network and model card: {options.output}")


if __name__ == "__main__":
    main()
