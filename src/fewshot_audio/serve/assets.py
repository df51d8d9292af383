"""The page's files, read once: a request picks one of them by its name in a list, never by a path."""

from dataclasses import dataclass
from importlib.resources import files

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    media_type: str
    content: bytes


def read_assets() -> dict[str, Asset]:
    """All files of the page by name."""
    return {
        entry.name: Asset(MEDIA_TYPES[entry.name.rpartition(".")[2]], entry.read_bytes())
        for entry in files("fewshot_audio.serve").joinpath("page").iterdir()
    }
