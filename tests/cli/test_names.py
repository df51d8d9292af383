"""Names that the command line spells out, because it imports nothing heavy, are those of the package."""

import re
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from fewshot_audio.audio.degrade import DEGRADATIONS
from fewshot_audio.audio.preprocessing import FrontEnd
from fewshot_audio.audio.segments import Fill
from fewshot_audio.cli import download, evaluate, options, prepare, reproduce, stress
from fewshot_audio.config.algorithm_presets import PresetName
from fewshot_audio.config.losses import Contrastive
from fewshot_audio.config.model import EncoderName
from fewshot_audio.config.recipes import Recipe
from fewshot_audio.data.download.catalog import DATASETS
from fewshot_audio.data.sources.registry import SOURCES
from fewshot_audio.engine.baselines import BASELINES
from fewshot_audio.engine.loggers import LOGGER_NAMES
from fewshot_audio.experiments.stress_conditions import BACKGROUND_TESTS
from fewshot_audio.studies.reproduce.matrix import BUDGETS


@pytest.mark.parametrize(
    ("literal", "names"),
    [
        (options.EncoderName, get_args(EncoderName)),
        (Literal[*reproduce.Encoder], get_args(EncoderName)),
        (options.ContrastiveLoss, get_args(Contrastive)),
        (options.RecipeName, get_args(Recipe)),
        (stress.Degradation, DEGRADATIONS),
        (stress.Background, BACKGROUND_TESTS),
        (options.LoggerName, LOGGER_NAMES),
        (options.AlgorithmName, get_args(PresetName)),
        (download.DatasetName, tuple(DATASETS)),
        (evaluate.Baseline, tuple(BASELINES)),
        (reproduce.Budget, tuple(BUDGETS)),
        (prepare.FrontEnd, get_args(FrontEnd)),
        (prepare.Fill, get_args(Fill)),
    ],
)
def test_the_names_are_complete(literal: Any, names: tuple[str, ...]) -> None:
    assert sorted(get_args(literal)) == sorted(names)


def test_every_source_is_opened_by_its_name(tmp_path: Path) -> None:
    for name in SOURCES.built_in:
        folder = None if name == "synthetic" else tmp_path
        assert prepare.open_source(name, folder, seed=0).name == name
        assert name in re.split(r"[ ,:()]+", prepare.SOURCE_HELP)
