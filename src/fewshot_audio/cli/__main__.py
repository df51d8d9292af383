"""``python -m fewshot_audio.cli``: the command, where the package is not installed."""

import sys
from pathlib import Path

from fewshot_audio.cli.app import main

if __name__ == "__main__":
    # Python puts the current folder first on its path; a file there must not be taken for a plugin of the same name.
    if not sys.flags.safe_path and Path(sys.path[0], "fewshot_audio") != Path(__file__).parents[1]:
        del sys.path[0]
    main()
