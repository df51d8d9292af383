"""``fewshot-audio configs``: ready pairs of JSON files for the five scenarios and for the recipes."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.cli.options import ContrastiveLoss, EncoderName, RecipeName


@app.command()
def configs(
    dataset: Annotated[str, typer.Option(help="Name of the dataset folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write the two files to.")],
    scenario: Annotated[
        int | None, typer.Option(min=1, max=5, help="1 plain, 2 enrichment, 3 attention, 4 contrastive, 5 all.")
    ] = None,
    recipe: Annotated[
        RecipeName | None, typer.Option(help="Instead of a scenario: stronger training settings.")
    ] = None,
    loss: Annotated[ContrastiveLoss, typer.Option(help="Contrastive loss of scenarios 4 and 5.")] = "cpl",
    encoder: Annotated[EncoderName, typer.Option(help="Encoder.")] = "Hybrid",
) -> None:
    """Write experiment_config.json and model_config.json for a scenario of the paper or a recipe."""
    from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE
    from fewshot_audio.config.presets import scenario_configs
    from fewshot_audio.config.recipes import recipe_configs
    from fewshot_audio.files import write_json

    if scenario is not None and recipe is None:
        experiment, model = scenario_configs(dataset, scenario, loss, encoder)
    elif recipe is not None and scenario is None:
        experiment, model = recipe_configs(dataset, recipe, encoder)
    else:
        raise typer.BadParameter("configs needs --scenario 1 to 5 or --recipe best or fast: give one of the two")
    write_json(output / EXPERIMENT_FILE, experiment.model_dump())
    write_json(output / MODEL_CONFIG_FILE, model.model_dump(exclude_none=True))  # without widths that follow
    print_line(f"Wrote {output / EXPERIMENT_FILE} and {output / MODEL_CONFIG_FILE}")
