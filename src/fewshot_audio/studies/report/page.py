"""The report's page: one HTML file that needs no other file and no network."""

import base64
import importlib.util
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from fewshot_audio.data.names import unique_names
from fewshot_audio.errors import FewShotError, on_one_line
from fewshot_audio.files import write_text
from fewshot_audio.functional.reliability import reliability
from fewshot_audio.functional.statistics import Z95
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.runtime.figures import write_figure
from fewshot_audio.studies.report import plots
from fewshot_audio.studies.report.evidence import Evidence, Floats, collect_evidence
from fewshot_audio.studies.report.examples import Example
from fewshot_audio.studies.report.paired import paired_difference
from fewshot_audio.studies.report.stress_plot import plot_stress

PEAK = 0.9


def write_report(
    folders: Sequence[Path],
    data_root: Path | None,
    path: Path,
    plot_folder: Path | None = None,
    progress: Progress = silent,
) -> None:
    """Write the report of one experiment, or of several with their comparison.

    Args:
        folders: the folders of finished experiments.
        data_root: the folder of the dataset folders; None: that of each experiment's config, then ``data``.
        path: the HTML file to write.
        plot_folder: if given, each plot is written there as PNG and SVG too.
        progress: called during the tests that the report repeats.

    Raises:
        FewShotError: matplotlib or jinja2 is not installed.
        DataError: an experiment's folder or its dataset lacks a file or has a damaged one.
        ConfigError: a config of a run is wrong.
    """
    for package in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(package) is None:
            raise FewShotError(f"a report needs {package}: pip install 'fewshot-audio[report]'")
    from jinja2 import Environment, StrictUndefined

    names = [on_one_line(folder.absolute().name) for folder in folders]
    evidence = [
        replace(collect_evidence(folder, data_root, prefixed(progress, f"{name}: ")), name=name)
        for folder, name in zip(folders, names, strict=True)
    ]
    file_names = unique_names([(name, str(folder)) for name, folder in zip(names, folders, strict=True)])
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = _percent
    template = environment.from_string(resources.files(__package__).joinpath("template.html").read_text("utf-8"))
    text = template.render(
        experiments=[_section(one, name, plot_folder) for one, name in zip(evidence, file_names, strict=True)],
        comparisons=[_comparison(*pair) for pair in itertools.combinations(evidence, 2)],
        shots=_shots_of_all(evidence, plot_folder) if len(evidence) > 1 else None,
    )
    write_text(path, text.encode(errors="backslashreplace").decode())  # a clip's name may be no Unicode


def _section(evidence: Evidence, file_name: str, plot_folder: Path | None) -> dict[str, Any]:
    """The values that the template shows of one experiment, whose plots' file names begin with ``file_name``."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = evidence.confusion_counts / np.where(evidence.query_counts > 0, evidence.query_counts, np.nan)
    accuracy = share.diagonal()
    interval = Z95 * np.sqrt(accuracy * (1 - accuracy) / evidence.query_counts.diagonal())
    calibration = reliability(evidence.probability, evidence.correct)
    way = evidence.results.runs[0].test.n_way
    figures = {
        "curves": plots.curves(evidence.metrics, evidence.kept_epochs),
        "classes": plots.class_accuracies(evidence.classes, accuracy, interval),
        "confusion": plots.confusion(evidence.classes, share),
        "shots": plots.shots([shot for shot, _, _ in evidence.shots], [_shots_line(evidence)], way),
        "map": plots.embedding_map(evidence.classes, evidence.points, evidence.labels, evidence.explained_variance),
        "reliability": plots.reliability_diagram(calibration),
    }
    if evidence.stress:
        figures["stress"] = plot_stress(evidence.stress)
    if plot_folder:
        plots.save({f"{file_name}_{name}": figure for name, figure in figures.items()}, plot_folder)
    return {
        "name": evidence.name,
        "results": evidence.results,
        "runs": [name.removeprefix("run ") for name in evidence.kept_epochs],
        "way": way,
        "plots": {name: _svg(figure) for name, figure in figures.items()},
        "ece": calibration.ece,
        "epochs": {name: len(rows) for name, rows in evidence.metrics.items()},
        "epoch_seconds": {
            name: float(np.median([row["seconds"] for row in rows])) for name, rows in evidence.metrics.items()
        },
        "stress": evidence.stress,
        "examples": [_example(example, evidence.sample_rate) for example in evidence.examples],
        "classes": [(evidence.classes[i], accuracy[i], interval[i]) for i in np.argsort(accuracy, kind="stable")],
        "hardest": evidence.classes[int(np.nanargmin(accuracy))],
        "easiest": evidence.classes[int(np.nanargmax(accuracy))],
        "configs": {
            kind: json.dumps(config.model_dump(), indent=2)
            for kind, config in (("experiment", evidence.results.experiment), ("model", evidence.results.model))
        },
    }


def _comparison(first: Evidence, second: Evidence) -> dict[str, Any]:
    """The names of two experiments, and their difference if they were tested on the same tasks."""
    same_tasks = first.test_tasks == second.test_tasks
    return {
        "first": first.name,
        "second": second.name,
        "paired": paired_difference(first.accuracies, second.accuracies) if same_tasks else None,
    }


def _shots_of_all(evidence: Sequence[Evidence], plot_folder: Path | None) -> str | None:
    """Accuracy over shots of all experiments in one plot, if their numbers of shots and classes are the same."""
    numbers = [shot for shot, _, _ in evidence[0].shots]
    ways = {one.results.runs[0].test.n_way for one in evidence}
    if len(ways) > 1 or any([shot for shot, _, _ in one.shots] != numbers for one in evidence):
        return None
    figure = plots.shots(numbers, [_shots_line(one) for one in evidence], ways.pop())
    if plot_folder:
        plots.save({"comparison_shots": figure}, plot_folder)
    return _svg(figure)


def _shots_line(evidence: Evidence) -> tuple[str, Floats, Floats]:
    """An experiment's name, accuracies over shots, and half widths of their intervals."""
    accuracies, intervals = np.array([row[1:] for row in evidence.shots]).T
    return evidence.name, accuracies, intervals


def _example(example: Example, rate: int) -> dict[str, Any]:
    image = io.BytesIO()
    write_figure(plots.spectrogram(example.features), image, "png", dpi=110)
    audio = None
    if example.waveform is not None:
        sound = io.BytesIO()
        scaled = example.waveform * (PEAK / max(float(np.abs(example.waveform).max()), 1e-9))
        soundfile.write(sound, scaled, rate, format="FLAC", subtype="PCM_16")
        audio = _data_uri("audio/flac", sound.getvalue())
    return {
        "clip": on_one_line(example.clip),
        "truth": on_one_line(example.truth),
        "answer": on_one_line(example.answer),
        "probability": example.probability,
        "image": _data_uri("image/png", image.getvalue()),
        "audio": audio,
    }


def _svg(figure: Any) -> str:
    buffer = io.BytesIO()
    write_figure(figure, buffer, "svg")
    return _data_uri("image/svg+xml", buffer.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None or np.isnan(value) else f"{100 * value:.{digits}f} %"
