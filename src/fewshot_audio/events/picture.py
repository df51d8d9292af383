"""Pictures of a recording: its spectrogram, and on it the true events and the detections."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.decode import Decoding
from fewshot_audio.audio.samples import Samples
from fewshot_audio.events.evaluate import Mark
from fewshot_audio.runtime.figures import new_figure, plot_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATE = 32_000  # Hz; what is higher is not drawn
PANEL = 30.0  # seconds
PANELS = 6  # of a figure
RANGE = 80.0  # dB
FRAME, COLUMNS = 1024, 1500
COLORS = {"right": "#2a9d3a", "wrong": "#d62728", "missed": "#ff9f1c", "left out": "#8a8a8a", "unsure": "#8a8a8a"}
MEANINGS = {"right": "found", "wrong": "wrong", "missed": "missed", "left out": "left out or unsure"}

Panel: TypeAlias = tuple[float, Samples]
"""Seconds at which a part of a recording begins, and its samples."""


def draw_recording(path: Path, marks: Sequence[Mark]) -> Iterator["Figure"]:
    """Draw the parts of a recording that have events: above the spectrogram the truth, below it the detections.

    The recording is decoded once, and memory is bounded by the panels of a figure.

    Args:
        path: the recording.
        marks: its events.

    Yields:
        Figures of up to ``PANELS`` panels, each of ``PANEL`` seconds.

    Raises:
        Rejected: the recording cannot be decoded.
        FewShotError: matplotlib is not installed.
    """
    decoding = Decoding(path, RATE)
    panels: list[Panel] = []
    for start, samples in _panels(decoding):
        if any(mark.start < start + PANEL and mark.end > start for mark in marks):
            panels.append((start, samples))
        if len(panels) == PANELS:
            yield _figure(path, panels, marks, min(RATE, decoding.rate) / 2)
            panels = []
    if panels:
        yield _figure(path, panels, marks, min(RATE, decoding.rate) / 2)


def _panels(decoding: Decoding) -> Iterator[Panel]:
    size, start, rest = round(PANEL * RATE), 0.0, np.empty(0, np.float32)
    for block in decoding:
        rest = np.concatenate([rest, block])
        while len(rest) >= size:
            yield start, rest[:size]
            start, rest = start + PANEL, rest[size:]
    if len(rest):
        yield start, rest


def _figure(path: Path, panels: Sequence[Panel], marks: Sequence[Mark], highest: float) -> "Figure":
    figure = new_figure(14, 0.7 + 2.1 * len(panels))
    all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (start, samples) in zip(all_axes, panels, strict=True):
        draw_panel(axes, start, samples, marks, highest / 1000)
    from matplotlib.patches import Patch

    handles = [Patch(color=COLORS[status], label=meaning) for status, meaning in MEANINGS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False)
    figure.suptitle(f"{plot_label(path.name)}: above the truth, below the detections", x=0.01, ha="left", fontsize=11)
    all_axes[-1].set_xlabel("seconds")
    return figure


def draw_panel(axes: "Axes", start: float, samples: Samples, marks: Sequence[Mark], highest: float) -> None:
    """Draw a panel; the events' bars take a strip above and below the spectrogram, of a tenth of its height each."""
    levels = _levels(samples)
    end = start + len(samples) / RATE
    axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(start, end, 0, RATE / 2000),
        vmin=levels.max() - RANGE,
        vmax=levels.max(),
    )
    strip = 0.1 * highest
    axes.set_xlim(start, start + PANEL)
    axes.set_ylim(-1.3 * strip, highest + 1.3 * strip)
    axes.set_ylabel("kHz")
    axes.set_facecolor("#f4f4f4")
    for low in (-1.3 * strip, highest):
        axes.axhspan(low, low + 1.3 * strip, color="#f4f4f4", zorder=2)
    ticks = [tick for tick in axes.get_yticks() if 0 <= tick <= highest]
    axes.set_yticks(ticks)
    for mark in marks:
        if mark.start >= start + PANEL or mark.end <= start:
            continue
        low = -1.15 * strip if mark.is_detection else highest + 0.15 * strip
        left = max(mark.start, start)
        width, color = min(mark.end, start + PANEL) - left, COLORS[mark.status]
        axes.broken_barh([(left, width)], (low, strip), color=color, zorder=3)
        axes.vlines([left, left + width], 0, highest, color=color, linewidth=0.7, alpha=0.8)
        axes.text(left, low + strip / 2, plot_label(mark.label), fontsize=6, va="center", clip_on=True, zorder=4)


def _levels(samples: Samples) -> NDArray[np.float32]:
    """A spectrogram in dB of a panel, (frequencies, times)."""
    padded = np.pad(samples, (FRAME // 2, FRAME))
    hop = max(1, round(PANEL * RATE / COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[: len(samples) : hop]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)))
    return (10 * np.log10(power + 1e-10)).astype(np.float32).T
