"""Small sounds, a dataset folder of them, and runs whose networks have the weights that they would start from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import write_norm
from fewshot_audio.data.splits import Splits, write_splits
from fewshot_audio.engine.history import WEIGHTS_FILE
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.runtime.tensor_file import save_tensors
from tests.tiny import FRAMES, MELS, tiny_configs

NAME = "Tiny"  # of the dataset in the tiny configs
RATE = 16_000
PREPROCESSING = Preprocessing(segment_seconds=(FRAMES - 1) * 512 / RATE, n_mels=MELS)
SEGMENT = PREPROCESSING.segment_samples
CLASSES, CLIPS = 12, 8

Audio = NDArray[np.float32]


def sound(pitch: int, take: int, segments: float = 1.0) -> Audio:
    """A class is a pitch and a rhythm under noise; ``take`` tells its clips apart."""
    random = np.random.default_rng([pitch, take])
    samples = int(segments * SEGMENT)
    time = np.arange(samples) / RATE
    beat = np.sin(2 * np.pi * (2 + pitch % 5) * time) > 0
    tone = np.sin(2 * np.pi * 150 * 1.35**pitch * time * random.uniform(0.97, 1.03)) * beat
    return np.asarray(0.3 * tone + 0.03 * random.normal(size=samples), np.float32)


def write_wav(path: Path, samples: Audio, rate: int = RATE) -> Path:
    """Write samples as they are: 32-bit floats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT", format="WAV")
    return path


def write_dataset(root: Path) -> DatasetFolder:
    """2 training, 5 validation and 5 test classes of 8 clips, of one or two segments, features and waveforms."""
    folder = DatasetFolder(root / NAME)
    names = [f"pitch-{number:02}" for number in range(CLASSES)]
    for number, name in enumerate(names):
        for take in range(CLIPS):
            samples = PREPROCESSING.normalize(sound(number, take, 1 + take % 2))
            segments = PREPROCESSING.segments(samples)
            for kind, values in ((folder.features, PREPROCESSING.features(segments)), (folder.waveforms, segments)):
                (kind / name).mkdir(parents=True, exist_ok=True)
                np.save(kind / name / f"take-{take}.npy", values)
    write_splits(folder.splits, Splits(tuple(names[:2]), tuple(names[2:7]), tuple(names[7:])))
    write_norm(folder.norm_stats, -60.0, 25.0)
    write_wave_stats(folder.wave_stats, WaveStats(centroid=2000.0, bandwidth=1500.0, flatness=0.2))
    folder.preprocessing.write_text(PREPROCESSING.to_json())
    return folder


def write_run(
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    scenario: int = 1,
    preprocessing: Preprocessing = PREPROCESSING,
) -> Path:
    """A run's folder; its network is as it starts, with the dataset's normalization numbers."""
    experiment, model = tiny_configs(changes, scenario=scenario)
    shape = preprocessing.n_mels, preprocessing.frames
    run = Run(folder, experiment, model, 0, shape, "", preprocessing, {})
    run.write()
    network = run.untrained_network()
    network.set_normalization(-60.0, 25.0)
    save_tensors(folder / WEIGHTS_FILE, network.state_dict())
    return folder


MODELS: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (1, {}),
    "squared": (1, {"distance": "squared"}),
    "centered": (1, {"embedding_transform": "center_l2"}),
    "whitened": (1, {"embedding_transform": "wccn"}),
    "views": (1, {"specaug_params.use": True, "test_query_augmentations": True}),
    "attention": (3, {}),
    "contrastive": (5, {}),
    "relation": (1, {"relation_head": True}),
    "waveforms": (1, {"input_type": "wav"}),
}
"""A scenario and changes of its configs, by name."""
