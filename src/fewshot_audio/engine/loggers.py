"""Where the curves of a training are logged, beside ``metrics.csv``: Lightning's loggers, by name."""

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from fewshot_audio.errors import FewShotError

LoggerName: TypeAlias = Literal["tensorboard", "csv", "mlflow", "wandb"]
LOGGER_NAMES: tuple[LoggerName, ...] = get_args(LoggerName)
PROJECT = "fewshot-audio"  # the experiment of mlflow, and the project of wandb


def check_logger(name: LoggerName) -> None:
    """Raise FewShotError if the package that a logger needs is not installed."""
    if name in ("mlflow", "wandb") and importlib.util.find_spec(name) is None:
        raise FewShotError(f"--logger {name} needs {name}: pip install 'fewshot-audio[track]'")


def build_logger(name: LoggerName, folder: Path) -> Any:
    """Build the logger of a run.

    Args:
        name: "tensorboard" and "csv" write into ``<folder>/<name>``; "mlflow" to the server that MLFLOW_TRACKING_URI
            names, else into ``mlflow`` beside the experiment folders; "wandb" as its own variables, such as WANDB_MODE,
            say, with its files in ``<folder>/wandb``.
        folder: of the run.

    Raises:
        FewShotError: its package is not installed.
    """
    check_logger(name)
    from lightning.pytorch import loggers

    title = f"{folder.parent.name}/{folder.name}"
    if name == "csv":
        return loggers.CSVLogger(folder, name="", version="csv")
    if name == "mlflow":
        store = (folder.parent.parent / "mlflow").absolute().as_uri()
        address = os.environ.get("MLFLOW_TRACKING_URI", store)
        return loggers.MLFlowLogger(PROJECT, run_name=title, tracking_uri=address)
    if name == "wandb":
        return loggers.WandbLogger(name=title, save_dir=folder, project=PROJECT)
    return loggers.TensorBoardLogger(folder, name="", version="tensorboard")
