"""Recognizers that come with the package: trained, calibrated, without enrolled classes.

Each is a folder here: a bundle and a ``MODEL_CARD.md``, which says what it was trained on, how well it does, and what
its license allows. ``make recognizer`` trains and writes one anew.
"""

from pathlib import Path

from fewshot_audio.errors import DataError

BUNDLE_FILE, CARD_FILE = "recognizer.json", "MODEL_CARD.md"
HOME = Path(__file__).parent


def pretrained_names(home: Path = HOME) -> list[str]:
    """Names of the recognizers that this installation has."""
    return sorted(path.parent.name for path in home.glob(f"*/{BUNDLE_FILE}"))


def pretrained_folder(name: str | None = None, home: Path = HOME) -> Path:
    """Folder of a shipped recognizer; without a name the only one. Raises DataError saying which there are."""
    names = pretrained_names(home)
    if not names:
        raise DataError(
            "this installation comes without a trained recognizer: train a network (`fewshot-audio train`) and give "
            "its run's folder, or make one with `make recognizer`"
        )
    if name is None and len(names) == 1:
        return home / names[0]
    if name not in names:
        what = "several are shipped, name one" if name is None else f"{name!r} is not shipped"
        raise DataError(f"recognizer: {what} (found: {', '.join(names)})")
    return home / name


def is_bundle(folder: Path) -> bool:
    """Whether a folder is a saved recognizer."""
    return (folder / BUNDLE_FILE).is_file()
