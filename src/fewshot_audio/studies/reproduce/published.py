"""Published accuracies with their sources. Only figures that are comparable with ours are listed."""

from typing import NamedTuple

SGOUROPOULOS = "Sgouropoulos et al. 2025, arXiv:2509.10074"
HEGGAN = "Heggan et al. 2022, arXiv:2204.02121"


class PublishedFigure(NamedTuple):
    """A published test accuracy, a fraction of 1, on the dataset's published split.

    ``algorithm`` is its name in the experiment file.
    """

    dataset: str
    way: int
    shot: int
    accuracy: float
    what: str
    source: str
    algorithm: str = "prototypes"


_BEST_ANGULAR = "Hybrid, angular loss, best of 8 settings, 5 runs x 2000 tasks"
_ALGORITHMS = {
    "fo-maml": "FO-MAML",
    "fo-meta-curvature": "FO-Meta-Curvature",
    "prototypes": "prototypical network",
    "simpleshot": "SimpleShot (CL2N)",
    "meta-baseline": "Meta-Baseline",
}
# In the order of the algorithms above, each within a dataset, %.
_METAAUDIO = {
    "ESC-50-master": (74.66, 76.17, 68.83, 68.82, 71.72),
    "nsynth": (93.85, 96.47, 95.23, 90.04, 90.74),
    "FSD2018": (43.45, 43.18, 39.44, 42.03, 40.27),
    "VoxCeleb": (60.89, 63.85, 59.64, 48.50, 55.54),
    "BirdClef": (56.26, 61.34, 56.11, 57.66, 57.28),
}

PUBLISHED_FIGURES = (
    PublishedFigure("ESC-50-master", 5, 5, 0.8561, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("nsynth", 5, 5, 0.9794, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("FSD2018", 5, 5, 0.5943, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("BirdClef", 5, 5, 0.7571, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("VoxCeleb", 5, 5, 0.7978, _BEST_ANGULAR, SGOUROPOULOS),
    *(
        PublishedFigure(dataset, 5, 1, round(value / 100, 4), f"Hybrid, {_ALGORITHMS[name]}", HEGGAN, name)
        for dataset, values in _METAAUDIO.items()
        for name, value in zip(_ALGORITHMS, values, strict=True)
    ),
)


def published_figures(dataset: str, way: int, shot: int, algorithm: str = "prototypes") -> list[PublishedFigure]:
    """The published figures of a dataset (any case) for ``way``-way ``shot``-shot tasks.

    Of a table of algorithms, that of ``algorithm`` comes first, then the best of all, if that is another.
    """
    figures = [
        figure
        for figure in PUBLISHED_FIGURES
        if (figure.dataset.lower(), figure.way, figure.shot) == (dataset.lower(), way, shot)
    ]
    own = [figure for figure in figures if figure.algorithm == algorithm]
    best = max(figures, key=lambda figure: figure.accuracy, default=None)
    return [*own, *([best] if best is not None and best not in own else [])]
