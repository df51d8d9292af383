"""The ``input_augmentation`` section of the experiment file."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from fewshot_audio.config.base import Count, Section

Natural = Annotated[int, Field(ge=0)]
Widths = Annotated[list[Count], Field(min_length=2, max_length=2)]
Scale = Annotated[float, Field(gt=0, le=4)]


class InputAugmentation(Section):
    """Random changes of each training segment's normalized log-mel spectrogram, before views of it are made.

    They replace the segments of support and query instead of adding views, so an episode costs no more. Everything is
    off by default; what is on is applied in the order of the keys.
    """

    retired: ClassVar = {"mix": 0}

    time_scale: Annotated[list[Scale], Field(min_length=2, max_length=2)] = Field(default_factory=lambda: [1.0, 1.0])
    """Range of the share of the frames that is resampled to the segment's length: below 1 a random crop is stretched,
    above 1 the segment is sped up and repeated. [1, 1]: off."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest circular shift in time, as a share of the frames. 0: off."""
    gain_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Largest gain up or down, dB. 0: off."""
    filter_db: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Largest height of a random filter curve over the mel bins, dB. 0: off."""
    filter_points: Annotated[int, Field(ge=2)] = 4
    """Points of the filter curve, which is straight between them."""
    time_masks: Natural = 0
    """Time masks per segment. 0: off."""
    time_mask_width: Widths = Field(default_factory=lambda: [1, 32])
    """Smallest and largest width of a time mask, frames."""
    frequency_masks: Natural = 0
    """Frequency masks per segment. 0: off."""
    frequency_mask_width: Widths = Field(default_factory=lambda: [1, 24])
    """Smallest and largest width of a frequency mask, mel bins."""

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for key in ("time_scale", "time_mask_width", "frequency_mask_width"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: {low} is greater than {high}")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        levels = self.shift, self.gain_db, self.filter_db, self.time_masks, self.frequency_masks
        return any(levels) or self.time_scale != [1, 1]
