"""``python -m fewshot_audio.cli``: the command, where the package is not installed."""

import sys
from pathlib import Path

from fewshot_audio.cli.app import main


def run() -> None:
    """Run the command, without the current folder on the path.

    Python puts it there first; a file in it must not be taken for a plugin of the same name.
    """
    if not sys.flags.safe_path and Path(sys.path[0], "fewshot_audio") != Path(__file__).parents[1]:
        del sys.path[0]
    main()


if __name__ == "__main__":
    run()
