"""Recognizers that come with the package: trained, calibrated, without enrolled classes.

Each is a folder here: a bundle and a ``MODEL_CARD.md``, which says what it was trained on, how well it does, and what
its license allows. ``make recognizer`` trains and writes one.
"""

from pathlib import Path

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle import BUNDLE_FILE

CARD_FILE = "MODEL_CARD.md"
HOME = Path(__file__).parent
DEFAULT = "any_sound"
"""The recognizer that is used unless another is named."""


def shipped_names(home: Path = HOME) -> list[str]:
    """Names of the recognizers that this installation has."""
    return sorted(path.parent.name for path in home.glob(f"*/{BUNDLE_FILE}"))


def shipped_folder(name: str | None = None, home: Path = HOME) -> Path:
    """Folder of a shipped recognizer; without a name, of ``DEFAULT``, or of the only one.

    Raises:
        DataError: there is none of that name, or several without ``DEFAULT`` and no name is given; names those that
            there are.
    """
    names = shipped_names(home)
    if not names:
        raise DataError(
            "this installation comes without a trained recognizer: train a network (`fewshot-audio train`) and give "
            "its run's folder, or make one with `make recognizer`"
        )
    if name is None and (DEFAULT in names or len(names) == 1):
        return home / (DEFAULT if DEFAULT in names else names[0])
    if name not in names:
        problem = "several are shipped, name one" if name is None else f"{name!r} is not shipped"
        raise DataError(f"recognizer: {problem} (found: {', '.join(names)})")
    return home / name
