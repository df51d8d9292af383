"""A dataset and configs so small that an experiment takes a second."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.config.presets import scenario_configs
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.splits import Splits, write_splits

NAME = "Tiny"
MELS, FRAMES = 16, 32
CLASSES, CLIPS, MOST_SEGMENTS = 24, 12, 3
MEAN, STD = -40.0, 12.0


def write_tiny_dataset(root: Path, name: str = NAME, seed: int = 0) -> DatasetFolder:
    """Write ``root/name``: 10 training, 7 validation and 7 test classes of 12 clips, of 1 to 3 segments each.

    A class is a pattern under noise, so that training pays and no accuracy is 0 or 1.
    """
    random = np.random.default_rng(seed)
    folder = DatasetFolder(root / name)
    names = [f"class-{number:02}" for number in range(CLASSES)]
    for class_name in names:
        directory = folder.features / class_name
        directory.mkdir(parents=True)
        pattern = random.normal(size=(4, 4)).repeat(MELS // 4, axis=0).repeat(FRAMES // 4, axis=1)
        for clip in range(CLIPS):
            noise = random.normal(scale=2, size=(1 + clip % MOST_SEGMENTS, MELS, FRAMES))
            np.save(directory / f"clip-{clip:02}.npy", (MEAN + 5 * (pattern + noise)).astype(np.float32))
    write_splits(folder.splits, Splits(tuple(names[:10]), tuple(names[10:17]), tuple(names[17:])))
    write_norm(folder.norm_stats, MEAN, STD)
    return folder


def write_tiny_waveforms(folder: DatasetFolder, samples: int = 8000) -> None:
    """Add waveforms, one segment a clip, and their statistics to a dataset folder. A class is a pitch under noise."""
    random = np.random.default_rng(0)
    for number, source in enumerate(sorted(folder.features.iterdir())):
        directory = folder.waveforms / source.name
        directory.mkdir(parents=True)
        for clip in sorted(source.glob("*.npy")):
            tone = np.sin(2 * np.pi * (200 + 100 * number) / 16_000 * np.arange(samples))
            np.save(directory / clip.name, (tone + random.normal(size=samples)).astype(np.float32)[None])
    write_wave_stats(folder.wave_stats, WaveStats(centroid=2000.0, bandwidth=1500.0, flatness=0.2))


def write_tiny_groups(folder: DatasetFolder, per_group: int) -> None:
    """Add a clips.csv that has every ``per_group`` clips of a class come from one source recording."""
    with folder.clips.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["class", "clip", "source", "group", "segments", "seconds"])
        for directory in sorted(folder.features.iterdir()):
            for number, path in enumerate(sorted(directory.glob("*.npy"))):
                rows.writerow([directory.name, path.stem, "", f"{directory.name}-{number // per_group}", 1, 1])


def tiny_configs(
    changes: Mapping[str, Any] | None = None,
    *,
    scenario: int = 1,
    loss: Literal["cpl", "angular"] = "cpl",
    encoder: Literal["CNN", "Hybrid"] = "Hybrid",
) -> tuple[ExperimentConfig, ModelConfig]:
    """Configs of a scenario for the tiny dataset, fp32 on the CPU; ``changes`` maps dotted keys of either file."""
    experiment, model = (config.model_dump() for config in scenario_configs(NAME, scenario, loss, encoder))
    experiment |= {f"n_way_{phase}": 3 for phase in ("train", "validation", "test")}
    experiment |= {f"n_{what}_{phase}": 2 for what in ("shot", "query") for phase in ("train", "validation", "test")}
    experiment |= {"n_training_tasks": 2, "n_validation_tasks": 3, "n_testing_tasks": 10, "num_epochs": 2}
    experiment |= {"lr": 0.005, "num_runs": 1, "device": "cpu", "precision": "fp32", "experiment_folder": "tiny"}
    experiment["specaug_params"] |= {"mask_param": 4, "W": 4, "num_mask": 1, "p": 0.5}
    experiment["loss"]["cpl"]["m_param"] = 2
    width = 8 * (4 if experiment["use_attention"] else 1)
    for name in ("CNN", "Hybrid"):
        model[name] |= {"hidden_channels": 4, "pool_dim": [2, 2], "out_dim": 8}
    model["ResNet12"] |= {"widths": [4, 4, 6, 8], "stem_stride": 1, "out_dim": 8}
    model["ResNet8"] |= {"widths": [4, 4, 6, 8], "out_dim": 8}
    model["Attention"] |= {"num_heads": 2, "ffn_dim": 16}
    model["Projection"] |= {"hidden_dim": 8, "output_dim": width}
    model["Relation"] |= {"hidden_dim1": 8, "hidden_dim2": 8, "hidden_dim3": 8}
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        section = model if (parents or [last])[0] in model else experiment
        for parent in parents:
            section = section[parent]
        assert last in section or last in ExperimentConfig.model_fields, f"no key {key}"
        section[last] = value
    return ExperimentConfig.model_validate(experiment), ModelConfig.model_validate(model)
