"""``fewshot-audio configs``: ready pairs of JSON files for the scenarios, the recipes and MetaAudio's algorithms."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line
from fewshot_audio.cli.options import DATA_ROOT, AlgorithmName, ContrastiveLoss, EncoderName, RecipeName


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
    algorithm: Annotated[
        AlgorithmName | None,
        typer.Option(help="Instead of a scenario: an algorithm of MetaAudio with its hyper-parameters, 5-way 1-shot."),
    ] = None,
    loss: Annotated[ContrastiveLoss, typer.Option(help="Contrastive loss of scenarios 4 and 5.")] = "cpl",
    encoder: Annotated[EncoderName, typer.Option(help="Encoder.")] = "Hybrid",
    data_root: Annotated[
        Path, typer.Option(help="Folder that holds the dataset folders; the dataset's segments decide sizes.")
    ] = DATA_ROOT,
) -> None:
    """Write experiment_config.json and model_config.json for a scenario of the paper, a recipe or an algorithm.

    If the dataset has been prepared, poolings, masks and warps fit its segments, and episodes have no more classes than
    its splits; else they are for segments of 5 s.
    """
    from fewshot_audio.config import EXPERIMENT_FILE, MODEL_CONFIG_FILE, PHASES
    from fewshot_audio.config.algorithm_presets import algorithm_configs
    from fewshot_audio.config.presets import scenario_configs
    from fewshot_audio.config.recipes import recipe_configs
    from fewshot_audio.config.segment_fit import fit_to_classes, fit_to_segments
    from fewshot_audio.data.joint import DatasetFolders
    from fewshot_audio.data.published import published_preprocessing
    from fewshot_audio.errors import DataError
    from fewshot_audio.files import write_json

    if sum(choice is not None for choice in (scenario, recipe, algorithm)) != 1:
        raise typer.BadParameter(
            "configs needs --scenario 1 to 5, --recipe best or fast, or --algorithm: give one of the three"
        )
    if algorithm is not None:
        experiment, model = algorithm_configs(dataset, algorithm, encoder)
    elif recipe is not None:
        experiment, model = recipe_configs(dataset, recipe, encoder)
    elif scenario is not None:
        experiment, model = scenario_configs(dataset, scenario, loss, encoder)
    try:
        folders = DatasetFolders.find(data_root, dataset)
        preprocessing, splits = folders.read_preprocessing(), folders.read_splits()
    except DataError as error:  # it may be prepared later, or lie elsewhere
        print_line(f"Sizes are for segments of 5 s: {error}")
    else:
        used = preprocessing or published_preprocessing(dataset)
        experiment, model = fit_to_segments(experiment, model, used.n_mels, used.frames, used.frontend)
        experiment, model = fit_to_classes(experiment, model, {phase: len(splits[phase]) for phase in PHASES})
        print_line(f"Sizes are for {folders}: segments of {used.n_mels} mel bins x {used.frames} frames")
    write_json(output / EXPERIMENT_FILE, experiment.model_dump())
    write_json(output / MODEL_CONFIG_FILE, model.model_dump(exclude_none=True))  # without widths that follow
    print_line(f"Wrote {output / EXPERIMENT_FILE} and {output / MODEL_CONFIG_FILE}")
