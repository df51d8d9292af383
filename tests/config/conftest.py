"""The documented example files, as values that a test may change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).parents[2] / "config"

Write = Callable[..., tuple[Path, Path]]


@pytest.fixture
def documented() -> dict[str, dict[str, Any]]:
    """The values of the documented example files, with the views on: without them the two contradict each other."""
    values = {name: json.loads((SHIPPED / f"{name}_config.json").read_text()) for name in ("experiment", "model")}
    values["experiment"]["specaug_params"]["use"] = True
    return values


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write values (or text) as an experiment and a model file."""

    def write_files(experiment: Any, model: Any) -> tuple[Path, Path]:
        paths = tmp_path / "experiment.json", tmp_path / "model.json"
        for path, value in zip(paths, (experiment, model), strict=True):
            path.write_text(value if isinstance(value, str) else json.dumps(value))
        return paths

    return write_files
