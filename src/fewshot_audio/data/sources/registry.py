"""The sources of recordings by name: the built-in ones, and those of packages from outside."""

from collections.abc import Callable
from typing import TypeVar

from fewshot_audio.config.registry import Part, Registry
from fewshot_audio.data.sources.base import Source

S = TypeVar("S", bound=type[Source])

_MODULES = "fewshot_audio.data.sources"
SOURCES = Registry(
    "source",
    [
        Part("esc50", None, f"{_MODULES}.esc50:Esc50"),
        Part("nsynth", None, f"{_MODULES}.nsynth:NSynth"),
        Part("fsdkaggle2018", None, f"{_MODULES}.fsdkaggle2018:FsdKaggle2018"),
        Part("birdclef2020", None, f"{_MODULES}.birdclef2020:BirdClef2020"),
        Part("voxceleb1", None, f"{_MODULES}.voxceleb1:VoxCeleb1"),
        Part("speechcommands", None, f"{_MODULES}.speechcommands:SpeechCommands"),
        Part("watkins", None, f"{_MODULES}.watkins:Watkins"),
        Part("folder", None, f"{_MODULES}.folder:ClassFolders"),
        Part("annotated", None, "fewshot_audio.events.source:AnnotatedEvents"),  # of a layer above: a name, no import
        Part("synthetic", None, f"{_MODULES}.synthetic:Synthetic"),
    ],
    members=("name", "segment_seconds", "limits", "recordings"),
)


def register_source() -> Callable[[S], S]:
    """A decorator that registers a class from outside as a source, under its ``name``.

    The class is called with the folder of the recordings and has what ``data.sources.base.Source`` has.

    Raises:
        ConfigError: it lacks some of it, or another source has the name.
    """
    return lambda kind: SOURCES.register(name=getattr(kind, "name", None))(kind)
