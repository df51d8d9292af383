"""Waveform views by eleven transforms; drawing their parameters is separate from applying them."""

from fewshot_audio.audio.augment.waveform.chain import waveform_views
from fewshot_audio.audio.augment.waveform.draw import draw_waveform_views
from fewshot_audio.audio.augment.waveform.parameters import WaveformDraw

__all__ = ["WaveformDraw", "draw_waveform_views", "waveform_views"]
