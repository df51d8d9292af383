"""All keys of the two JSON files, found by walking their models."""

from collections.abc import Iterator

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.base import Section

FILES: dict[str, type[Section]] = {"experiment": ExperimentConfig, "model": ModelConfig}


def sections(section: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    """A section and all below it, each with the path that leads to it."""
    yield path, section
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation, (*path, name))


def leaves(section: type[Section]) -> list[str]:
    """Dotted keys that hold values rather than sections."""
    everything = list(sections(section))
    inner = {".".join(path) for path, _ in everything}
    keys = [".".join((*path, name)) for path, owner in everything for name in owner.model_fields]
    return [key for key in keys if key not in inner]
