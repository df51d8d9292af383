"""Options that several commands have, and what they default to."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

DATA_ROOT, EXPERIMENTS = Path("data"), Path("experiments")

# The names are those of `config`, which is not imported before a command runs; mypy and a test compare them.
EncoderName: TypeAlias = Literal["CNN", "Hybrid", "ResNet12"]
ContrastiveLoss: TypeAlias = Literal["cpl", "angular"]
RecipeName: TypeAlias = Literal["best", "fast"]

ExperimentFile = Annotated[Path, typer.Option("-e", "--experiment", help="Experiment file (JSON).")]
ModelFile = Annotated[Path, typer.Option("-m", "--model", help="Model file (JSON).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key.sub=value: changes a key of the files; repeatable.")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder that holds the dataset folders; default: the config's data_root, then data.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]


def find_data_root(option: Path | None, config: str | None, default: str | Path = DATA_ROOT) -> Path:
    """The folder of the dataset folders: the option, else the config's ``data_root``, else the default."""
    return option or Path(config or default)
