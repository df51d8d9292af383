"""A picture of call density: a curve for each site over the days, with its interval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewshot_audio.archive.density import Density
from fewshot_audio.files import write_atomic
from fewshot_audio.runtime.figures import new_figure, plot_label, plot_labels, write_figure

MOST_SITES = 10


def draw_densities(values: Sequence[Density], label: str, path: Path) -> int:
    """Draw the sites with the most windows, of days that are known.

    Returns:
        How many sites are left out: only ``MOST_SITES`` can be told apart.
    """
    sites: dict[str, list[Density]] = {}
    for own in values:
        if own.date:
            sites.setdefault(own.site, []).append(own)
    ordered = sorted(sites, key=lambda site: -sum(own.windows for own in sites[site]))
    figure = new_figure(9, 5)
    axes = figure.subplots()
    shown = sorted(ordered[:MOST_SITES])
    for site, name in zip(shown, plot_labels([site or "no site" for site in shown]), strict=True):
        curve = sorted(sites[site], key=lambda density: density.date)
        days = np.array([density.date for density in curve], dtype="datetime64[D]")
        (line,) = axes.plot(days, [density.density for density in curve], marker="o", label=name)
        bounds = [density.low for density in curve], [density.high for density in curve]
        axes.fill_between(days, *bounds, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel("day")
    axes.set_ylabel(f"share of windows with {plot_label(label)}")
    axes.set_ylim(bottom=0)
    if ordered:
        axes.legend(title="site")
    figure.autofmt_xdate()
    kind = "svg" if path.suffix.lower() == ".svg" else "png"
    write_atomic(path, lambda stream: write_figure(figure, stream, kind))
    return max(0, len(ordered) - MOST_SITES)
