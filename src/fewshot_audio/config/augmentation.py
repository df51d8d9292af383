"""The two sections of the experiment file for views: ``specaug_params`` and ``waveaug_params``."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from fewshot_audio.config.base import Count, Positive, Probability, Section
from fewshot_audio.config.waveform_transforms import ExtraTransforms


class SpecAugParams(Section):
    """SpecAugment views (Park et al. 2019) of a spectrogram; applied with ``input_type: "spec"``."""

    use: bool
    """Make SpecAugment views: original, time warp, time mask, frequency mask."""
    mask_param: Count
    """Largest width of a mask: frames for time, mel bins for frequency."""
    W: Annotated[int, Field(ge=0)]
    """Largest shift of the time warp, frames; less than half of the segment."""
    num_mask: Count
    """Number of masks in each masked view."""
    mask_value: float
    """Value inside a mask; 0 is the dataset's mean after normalization."""
    p: Probability
    """Largest share of the frames that one time mask may cover."""


Decibel = Annotated[float, Field(ge=-120, le=120)]
Semitones = Annotated[float, Field(ge=-24, le=24)]
Fraction = Annotated[float, Field(gt=0, lt=2)]


class WaveAugParams(Section):
    """Waveform views of a segment; applied with ``input_type: "wav"``. ``*_p`` is a probability per example."""

    use: bool = False
    """Make `aug_num` augmented copies of each waveform segment."""
    aug_num: Count = 3
    """Augmented copies per segment; views = aug_num + 1."""
    min_gain_in_db: Decibel = -6.0
    """Lowest gain, dB."""
    max_gain_in_db: Decibel = 6.0
    """Highest gain, dB."""
    gain_p: Probability = 0.5
    """Probability of a gain."""
    min_snr_in_db: Decibel = 10.0
    """Lower bound of the noise's signal-to-noise ratio, dB."""
    max_snr_in_db: Decibel = 25.0
    """Upper bound of the noise's signal-to-noise ratio, dB."""
    noise_min_f_decay: Annotated[float, Field(ge=-8, le=8)] = -2.0
    """Lowest spectral decay exponent of the noise."""
    noise_max_f_decay: Annotated[float, Field(ge=-8, le=8)] = 2.0
    """Highest spectral decay exponent of the noise."""
    noise_p: Probability = 0.5
    """Probability of added colored noise."""
    bandstop_min_bandwidth_fraction: Fraction = 0.5
    """Smallest bandwidth, share of the center."""
    bandstop_max_bandwidth_fraction: Fraction = 1.0
    """Largest bandwidth, share of the center."""
    bandstop_p: Probability = 0.5
    """Probability of a band-stop filter."""
    highpass_p: Probability = 0.3
    """Probability of a high-pass filter."""
    lowpass_p: Probability = 0.5
    """Probability of a low-pass filter."""
    pitchshift_min_transpose_semitones: Semitones = -4.0
    """Lowest transposition, semitones."""
    pitchshift_max_transpose_semitones: Semitones = 4.0
    """Highest transposition, semitones."""
    pitchshift_p: Probability = 0.5
    """Probability of a pitch shift."""
    shift_min_shift: Annotated[float, Field(ge=-1, le=1)] = -0.5
    """Lowest circular shift, share of the length."""
    shift_max_shift: Annotated[float, Field(ge=-1, le=1)] = 0.5
    """Highest circular shift, share of the length."""
    shift_p: Probability = 0.5
    """Probability of a circular shift in time."""
    spliceout_num_time_intervals: Count = 8
    """Number of pieces that splice-out removes."""
    spliceout_max_width: Count = 400
    """Longest removed piece, milliseconds."""
    spliceout_p: Probability = 0.5
    """Probability of a splice-out."""
    timeinversion_p: Probability = 0.0
    """Probability of playing the segment backwards."""
    min_stretch_ratio: Annotated[Positive, Field(le=4)] = 0.9
    """Lowest stretch ratio; above 1 is longer."""
    max_stretch_ratio: Annotated[Positive, Field(le=4)] = 1.1
    """Highest stretch ratio; above 1 is longer."""
    timestretch_p: Probability = 0.0
    """Probability of a time stretch."""
    timemasking_masks: Count = 5
    """Number of time masks."""
    timemasking_mask_fraction: Probability = 0.01
    """Length of a time mask, share of the length."""
    timemasking_p: Probability = 0.5
    """Probability of time masking."""
    extra: ExtraTransforms = Field(default_factory=list)
    """Transforms from outside, [{"name": "package.module:Class", "p": 0.5, "params": {}}], applied after these."""

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for low, high in (
            ("min_gain_in_db", "max_gain_in_db"),
            ("min_snr_in_db", "max_snr_in_db"),
            ("noise_min_f_decay", "noise_max_f_decay"),
            ("bandstop_min_bandwidth_fraction", "bandstop_max_bandwidth_fraction"),
            ("pitchshift_min_transpose_semitones", "pitchshift_max_transpose_semitones"),
            ("shift_min_shift", "shift_max_shift"),
            ("min_stretch_ratio", "max_stretch_ratio"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} ({getattr(self, low)}) is greater than {high} ({getattr(self, high)})")
        return self
