"""The report: one page with everything inside, and the numbers that it draws."""

import base64
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.cli import main
from fewshot_audio.data.names import safe_name
from fewshot_audio.errors import DataError
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.functional.reliability import reliability
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.studies.report.evidence import Evidence, collect_evidence
from fewshot_audio.studies.report.paired import paired_difference
from tests.tiny import tiny_configs, write_tiny_dataset, write_tiny_waveforms

NAMES = ("first <b>&", "second")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data`` with waveforms, and two experiments on it, the first with two runs."""
    folder = tmp_path_factory.mktemp("report")
    write_tiny_waveforms(write_tiny_dataset(folder / "data"))
    for name, runs, lr in zip(NAMES, (2, 1), (0.005, 0.02), strict=True):
        changes = {"experiment_folder": name, "num_runs": runs, "lr": lr, "n_testing_tasks": 40}
        experiment, model = tiny_configs(changes)
        run_experiment(experiment, model, folder / "data", folder / "experiments")
    return folder


@pytest.fixture(scope="module")
def evidence(folder: Path) -> Evidence:
    return collect_evidence(folder / "experiments" / NAMES[0], folder / "data")


def test_importing_the_report_loads_neither_lightning_nor_matplotlib() -> None:
    code = "import sys; import fewshot_audio.studies.report; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    packages = set(done.stdout.split())
    assert "fewshot_audio" in packages
    assert not packages & {"lightning", "matplotlib", "jinja2", "tensorboard", "transformers", "optuna"}


class Page(HTMLParser):
    """Sources and alternative texts of a page, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.without_alternative = 0
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.sources += [str(values[key]) for key in ("src", "href") if key in values]
        self.without_alternative += tag == "img" and not values.get("alt")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    experiments = [str(folder / "experiments" / name) for name in NAMES]
    arguments = [
        "--data-root",
        str(folder / "data"),
        "-o",
        str(folder / "report.html"),
        "--plots",
        str(folder / "plots"),
    ]
    with pytest.raises(SystemExit) as stop:
        main(["report", *experiments, *arguments])
    assert not stop.value.code
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    assert all(source.startswith("data:") for source in page.sources)
    assert "script" not in page.tags
    assert not page.without_alternative


def test_names_are_text_and_not_markup(page: Page) -> None:
    assert NAMES[0] in page.text
    assert "b" not in page.tags


def test_the_page_shows_the_results_of_every_experiment(folder: Path, page: Page) -> None:
    for name in NAMES:
        one = collect_evidence(folder / "experiments" / name, folder / "data")
        assert f"{100 * one.results.accuracy:.2f} %" in page.text
    assert page.text.count("Confusion") == 0
    assert page.tags.count("details") == 6  # of each experiment its classes and two configs


def test_examples_can_be_heard(page: Page) -> None:
    sounds = [source for source in page.sources if source.startswith("data:audio/flac")]
    assert sounds
    assert all(base64.b64decode(sound.partition(",")[2])[:4] == b"fLaC" for sound in sounds)


def test_plots_are_written_as_png_and_svg(folder: Path, page: Page) -> None:
    written = sorted(path.name for path in (folder / "plots").iterdir())
    kinds = ("classes", "confusion", "curves", "map", "reliability", "shots")
    names = [safe_name(name) for name in NAMES]
    expected = [f"{name}_{kind}.{end}" for name in names for kind in kinds for end in ("png", "svg")]
    assert written == sorted([*expected, "comparison_shots.png", "comparison_shots.svg"])


def test_confusions_add_up(evidence: Evidence) -> None:
    test = evidence.results.runs[0].test
    queries = test.tasks * test.n_way * test.n_query
    assert evidence.confusion_counts.sum() == queries
    assert evidence.confusion_counts.diagonal().sum() / queries == pytest.approx(test.accuracy)
    assert (evidence.confusion_counts <= evidence.query_counts).all()
    assert (evidence.query_counts.diagonal() == evidence.confusion_counts.sum(1)).all(), (
        "a query's own class is in its task"
    )
    assert evidence.correct.mean() == pytest.approx(test.accuracy)


def test_accuracy_over_shots_passes_through_the_experiments_own(evidence: Evidence) -> None:
    shots = {shot: accuracy for shot, accuracy, _ in evidence.shots}
    assert sorted(shots) == [1, 2, 3, 5, 10]
    assert shots[2] == pytest.approx(evidence.results.runs[0].test.accuracy)


def test_examples_are_what_they_say(evidence: Evidence) -> None:
    right = [example for example in evidence.examples if example.truth == example.answer]
    wrong = [example for example in evidence.examples if example.truth != example.answer]
    assert right
    assert wrong
    assert {example.truth for example in evidence.examples} <= set(evidence.classes)
    assert all(example.waveform is not None and example.features.shape == (16, 32) for example in evidence.examples)


def test_an_experiment_whose_first_run_is_elsewhere(folder: Path, tmp_path: Path) -> None:
    changes = {"experiment_folder": "part", "num_runs": 3, "num_epochs": 3, "n_testing_tasks": 5}
    experiment, model = tiny_configs(changes)
    results = run_experiment(experiment, model, folder / "data", tmp_path, runs=[2, 3])
    for file in (tmp_path / "part").rglob("result*.json"):  # so that the best epoch is another than the kept one
        text = re.sub(r'"best_epoch": (\d)', lambda epoch: f'"best_epoch": {int(epoch[1]) % 3 + 1}', file.read_text())
        file.write_text(text)
    part = collect_evidence(tmp_path / "part", folder / "data")
    assert list(part.metrics) == ["run 2", "run 3"]
    assert part.kept_epochs == {f"run {2 + i}": run.kept_epoch for i, run in enumerate(results.runs)}
    assert len(part.accuracies) == 2


def test_principal_components_against_the_covariance() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 5)) * [3, 1, 5, 0.5, 2]
    components = PrincipalComponents.fit(rows)
    points, explained = components.project(rows), components.explained
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    expected = (rows - rows.mean(0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(explained, values[::-1][:2] / values.sum())
    np.testing.assert_allclose(PrincipalComponents.fit(rows + 7).project(rows + 7), points, atol=1e-10)


def test_the_paired_difference_by_hand() -> None:
    first = np.array([[0.5, 0.6, 0.7, 0.8], [0.7, 0.6, 0.5, 0.8]])
    second = np.array([[0.8, 0.7, 0.6, 0.9]])
    result = paired_difference(first, second)
    differences = np.array([0.2, 0.1, 0.0, 0.1])
    assert result.difference == pytest.approx(0.1)
    assert result.ci95 == pytest.approx(1.96 * differences.std(ddof=1) / 2)
    assert result.runs == (2, 1)
    assert 0 < result.p_value < 0.05
    assert paired_difference(first, first).p_value == 1
    with pytest.raises(DataError, match="found 4 and 3"):
        paired_difference(first, second[:, :3])


def test_pairing_sees_what_two_intervals_do_not() -> None:
    random = np.random.default_rng(0)
    hard = random.uniform(0.3, 0.9, size=(1, 400))
    better = hard + 0.01 + random.normal(scale=0.02, size=hard.shape)
    assert ci95(hard[0]) > 0.01
    assert paired_difference(hard, better).p_value < 0.001


def test_reliability_by_hand() -> None:
    probability = np.array([0.55, 0.65, 0.95, 1.0, 0.95])
    right = np.array([True, False, True, True, False])
    two = reliability(probability, right, bins=2)
    np.testing.assert_array_equal(two.counts, [0, 5])
    assert two.ece == pytest.approx(abs(probability.mean() - 0.6))
    ten = reliability(probability, right, bins=10)
    assert ten.counts.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 3]
    expected = 1 / 5 * abs(0.55 - 1) + 1 / 5 * abs(0.65 - 0) + 3 / 5 * abs((0.95 + 1 + 0.95) / 3 - 2 / 3)
    assert ten.ece == pytest.approx(expected)


def test_experiments_on_other_tasks_are_not_compared(folder: Path, tmp_path: Path) -> None:
    experiment, model = tiny_configs({"experiment_folder": "other tasks", "n_testing_tasks": 30})
    run_experiment(experiment, model, folder / "data", tmp_path)
    arguments = [folder / "experiments" / "second", tmp_path / "other tasks", "--data-root", folder / "data"]
    with pytest.raises(SystemExit) as stop:
        main(["report", *map(str, arguments), "-o", str(tmp_path / "report.html")])
    assert not stop.value.code
    assert "not comparable" in (tmp_path / "report.html").read_text()


def test_the_data_root_is_that_of_the_config_then_data(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = shutil.copytree(folder / "experiments" / "second", tmp_path / "second")
    with pytest.raises(DataError, match="data root 'data' is not a folder"):
        collect_evidence(experiment, None)
    monkeypatch.chdir(folder)
    expected = collect_evidence(experiment, None).probability
    monkeypatch.chdir(tmp_path)
    config = experiment / "run-1" / "experiment_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data_root": str(folder / "data")}))
    np.testing.assert_array_equal(collect_evidence(experiment, None).probability, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nothing", "no results.json there"),
        (lambda folder: folder / "experiments" / "second" / "run-1", "give the folder of a finished experiment"),
    ],
    ids=["absent", "a run"],
)
def test_what_is_no_experiment_is_refused(folder: Path, make: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        collect_evidence(make(folder), folder / "data")
