"""Options that several commands have, and what they default to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from fewshot_audio.errors import ConfigError, DataError

DATA_ROOT, EXPERIMENTS = Path("data"), Path("experiments")

# The names are those of `config`, which is not imported before a command runs; mypy and a test compare them.
EncoderName: TypeAlias = Literal["CNN", "Hybrid", "ResNet12"]
ContrastiveLoss: TypeAlias = Literal["cpl", "angular"]
RecipeName: TypeAlias = Literal["best", "fast"]
LoggerName: TypeAlias = Literal["tensorboard", "csv", "mlflow", "wandb"]
AlgorithmName: TypeAlias = Literal["fo-maml", "fo-meta-curvature", "meta-baseline", "simpleshot"]


@contextmanager
def usage_errors(option: str = "") -> Iterator[None]:
    """Turn an error about the value of ``option``, or about several options, into one of usage: exit code 2."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'" if option else None) from error


def check_overrides(overrides: list[str] | None) -> list[str] | None:
    """Refuse a ``--set`` without key or value; whether there is such a key, and what it may be, the config says."""
    if overrides:
        from fewshot_audio.config.load import parse_override

        with usage_errors():
            for override in overrides:
                parse_override(override)
    return overrides


def parse_number(option: str, text: str, least: int = 0, *, or_else: str = "") -> int:
    """Read one of the numbers that an option lists, separated by commas; ``or_else`` says what may stand instead."""
    if not text.strip().isdecimal() or int(text) < least:
        raise typer.BadParameter(
            f"{option} {text!r}: expected whole numbers from {least} on, separated by commas{or_else}"
        )
    return int(text)


ExperimentFile = Annotated[Path, typer.Option("-e", "--experiment", help="Experiment file (JSON).")]
ModelFile = Annotated[Path, typer.Option("-m", "--model", help="Model file (JSON).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", callback=check_overrides, help="key.sub=value: changes a key of the files; repeatable."),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder that holds the dataset folders; default: the config's data_root, then data.")
]
Bundle = Annotated[Path, typer.Argument(help="A bundle: the folder that `enroll` writes.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse recordings that are partly damaged; without it the rest is used.")
]
TableFormatOption = Annotated[
    Literal["raven", "audacity", "csv", "dcase"] | None,
    typer.Option("--table-format", help="Which program wrote the tables; default: what their content says."),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(help="Column of the labels; default: a usual one, such as Annotation, Species, label or class."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")]
Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers do the work instead.")
]
Device = Annotated[
    Literal["cpu", "cuda", "auto"], typer.Option(help="Where to compute; auto: on a GPU if there is one.")
]


def find_data_root(option: Path | None, config: str | None, default: str | Path = DATA_ROOT) -> Path:
    """The folder of the dataset folders: the option, else the config's ``data_root``, else the default."""
    return option or Path(config or default)


def check_workers(workers: int | None, cluster: str | None) -> None:
    """Refuse a number of processes for a cluster, which would have no effect. Raises a usage error."""
    if workers and cluster:
        raise typer.BadParameter("--workers concerns this machine: --cluster takes all workers of the scheduler")
