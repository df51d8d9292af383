"""Names of classes and experiments in a report: all of them, whatever their letters and their length."""

import base64
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fewshot_audio.data.splits import Splits, read_splits, write_splits
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.runtime.figures import plot_label
from fewshot_audio.studies.report import plots, write_report
from tests.studies.report.test_report import Page
from tests.tiny import tiny_configs, write_tiny_dataset

LONG = "Long-billed curlew, a name that goes on and on, recorded in winter by the river "
CLASSES = ("_background_noise_", "白头鹎", "coin $x_$", "طائر صغير", "🐦 bird", f"{LONG}1", f"{LONG}2")
EXPERIMENTS = ("_first $x$", "实\n验 تجربة", os.fsdecode(b"caf\xe9"))
SHOWN = ("_first $x$", r"实\n验 تجربة", r"caf\xe9")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three experiments, ``report.html`` and ``plots``."""
    folder = tmp_path_factory.mktemp("names")
    dataset = write_tiny_dataset(folder / "data")
    splits = read_splits(dataset.splits)
    for old, new in zip(splits.test, CLASSES, strict=True):
        (dataset.features / old).rename(dataset.features / new)
        for clip in (dataset.features / new).iterdir():
            clip.rename(clip.with_name(os.fsdecode(b"for\xeat-") + clip.name))
    write_splits(dataset.splits, Splits(splits.train, splits.validation, CLASSES))
    experiment, model = tiny_configs({"experiment_folder": "tiny", "num_epochs": 1, "n_testing_tasks": 30})
    for name in EXPERIMENTS:
        run_experiment(experiment, model, folder / "data", folder)
        (folder / "tiny").rename(folder / name)
    paths = [folder / name for name in EXPERIMENTS]
    write_report(paths, folder / "data", folder / "report.html", folder / "plots")
    return folder


def texts(svg: bytes) -> list[str]:
    names = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [(name.text or "").strip() for name in names]


def test_every_name_is_in_full_in_the_page(folder: Path) -> None:
    text = (folder / "report.html").read_text("utf-8")
    for name in CLASSES:
        assert text.count(f'<td class="name"><bdi>{name}</bdi></td>') == len(EXPERIMENTS)
    for name in SHOWN:
        assert f"<h1><bdi>{name}</bdi></h1>" in text
    assert "<bdi>for\\xeat-clip-0" in text


def test_every_name_is_text_in_the_plots_of_the_page(folder: Path) -> None:
    page = Page((folder / "report.html").read_text("utf-8"))
    prefix = "data:image/svg+xml;base64,"
    svgs = [texts(base64.b64decode(source.removeprefix(prefix))) for source in page.sources if prefix in source]
    labels = [plot_label(name).strip().replace(r"\$", "$") for name in CLASSES]
    assert len({*labels}) == len(CLASSES)
    by_count = [[svg.count(label) for label in labels] for svg in svgs]
    assert by_count.count([1] * len(CLASSES)) == 2 * len(EXPERIMENTS)  # bars and the legend of the map
    assert by_count.count([2] * len(CLASSES)) == len(EXPERIMENTS)  # both sides of the confusions
    assert sum(all(name in svg for name in SHOWN) for svg in svgs) == 1  # the legend of the comparison


def test_plots_have_names_that_any_disk_can_hold(folder: Path) -> None:
    names = {path.name for path in (folder / "plots").iterdir()}
    for start in ("_first $x$", "实_n验 تجربة", "caf_xe9"):
        assert {f"{start}_map.png", f"{start}_map.svg"} <= names
    assert len(names) == 2 * (6 * len(EXPERIMENTS) + 1)


def test_classes_with_one_name_have_a_bar_each() -> None:
    names = [f"{LONG}{number}{LONG}" for number in range(3)]
    figure = plots.class_accuracies(names, np.array([0.2, 0.4, 0.6]), np.zeros(3))
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([60, 40, 20])
    assert [label.get_text()[-3:] for label in axes.get_yticklabels()] == ["(3)", "(2)", "(1)"]
