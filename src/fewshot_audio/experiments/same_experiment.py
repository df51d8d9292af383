"""Whether runs belong to the same experiment: the same settings and the same data."""

from pathlib import Path
from typing import Any

from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, ExperimentConfig, ModelConfig, Role, keys_with
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.run_folder import Run

RESUMABLE_KEYS = keys_with(Role.RESUMABLE)


def changed_settings(run: Run, experiment: ExperimentConfig, model: ModelConfig) -> tuple[Path, list[str]]:
    """Compare other configs with a run's: the run's file that differs first, and its changed keys as text."""
    for name, before, now in ((EXPERIMENT_FILE, run.experiment, experiment), (MODEL_CONFIG_FILE, run.model, model)):
        old, new = _leaves(before.model_dump()), _leaves(now.model_dump())
        keys = [key for key in new if old.get(key) != new[key] and key not in RESUMABLE_KEYS]
        if keys:
            return run.folder / name, [f"{key} ({old.get(key)!r} -> {new[key]!r})" for key in keys]
    return run.folder, []


def check_same_experiment(run: Run, first: Run) -> None:
    """Raise ConfigError if a run differs from another in its settings or its data; seeds may differ."""
    file, changes = changed_settings(first, run.experiment, run.model)
    if changes:
        raise ConfigError(f"{run.folder} is of another experiment than {file}: {', '.join(changes[:3])}")
    if run.dataset != first.dataset:
        raise ConfigError(f"{run.folder} was trained on other data than {first.folder}: the dataset folders differ")


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return leaves
