"""Published accuracies with their sources. Only figures that are comparable with ours are listed."""

from typing import NamedTuple

SGOUROPOULOS = "Sgouropoulos et al. 2025, arXiv:2509.10074"
HEGGAN = "Heggan et al. 2022, arXiv:2204.02121"


class PublishedFigure(NamedTuple):
    """A published test accuracy, a fraction of 1, on the dataset's published split."""

    dataset: str
    way: int
    shot: int
    accuracy: float
    what: str
    source: str


_BEST_ANGULAR = "Hybrid, angular loss, best of 8 settings, 5 runs x 2000 tasks"

PUBLISHED_FIGURES = (
    PublishedFigure("ESC-50-master", 5, 5, 0.8561, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("nsynth", 5, 5, 0.9794, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("FSD2018", 5, 5, 0.5943, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("BirdClef", 5, 5, 0.7571, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("VoxCeleb", 5, 5, 0.7978, _BEST_ANGULAR, SGOUROPOULOS),
    PublishedFigure("ESC-50-master", 5, 1, 0.7617, "Hybrid, Meta-Curvature, the best of its table", HEGGAN),
    PublishedFigure("ESC-50-master", 5, 1, 0.6883, "Hybrid, prototypical network", HEGGAN),
    PublishedFigure("nsynth", 5, 1, 0.9647, "Hybrid, the best of its table", HEGGAN),
    PublishedFigure("FSD2018", 5, 1, 0.4345, "Hybrid, the best of its table", HEGGAN),
    PublishedFigure("VoxCeleb", 5, 1, 0.6385, "Hybrid, the best of its table", HEGGAN),
    PublishedFigure("BirdClef", 5, 1, 0.6134, "Hybrid, the best of its table", HEGGAN),
)


def published_figures(dataset: str, way: int, shot: int) -> list[PublishedFigure]:
    """The published figures of a dataset (any case) for ``way``-way ``shot``-shot tasks."""
    return [
        figure
        for figure in PUBLISHED_FIGURES
        if (figure.dataset.lower(), figure.way, figure.shot) == (dataset.lower(), way, shot)
    ]
