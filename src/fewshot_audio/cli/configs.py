"""``fewshot-audio configs``: ready pairs of JSON files for the five scenarios."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app, say


class Loss(StrEnum):
    """Contrastive losses of scenarios 4 and 5."""

    cpl = "cpl"
    angular = "angular"


class Encoder(StrEnum):
    """Encoders."""

    CNN = "CNN"
    Hybrid = "Hybrid"


@app.command()
def configs(
    dataset: Annotated[str, typer.Option(help="Name of the dataset folder.")],
    scenario: Annotated[
        int, typer.Option(min=1, max=5, help="1 plain, 2 enrichment, 3 attention, 4 contrastive, 5 all.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the two files to.")],
    loss: Annotated[Loss, typer.Option(help="Contrastive loss of scenarios 4 and 5.")] = Loss.cpl,
    encoder: Annotated[Encoder, typer.Option(help="Encoder.")] = Encoder.Hybrid,
) -> None:
    """Write experiment_config.json and model_config.json for a scenario of the paper."""
    from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE
    from fewshot_audio.config.presets import scenario_configs
    from fewshot_audio.files import write_json

    experiment, model = scenario_configs(dataset, scenario, loss.value, encoder.value)
    write_json(output / EXPERIMENT_FILE, experiment.model_dump())
    write_json(output / MODEL_CONFIG_FILE, model.model_dump())
    say(f"Wrote {output / EXPERIMENT_FILE} and {output / MODEL_CONFIG_FILE}")
