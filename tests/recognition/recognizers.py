"""Small recognizers of every scenario, with sounds that a person might enroll."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.models.build import build_network, complete_model
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.decision.choose import Head
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.torch_embedder import TorchEmbedder
from tests.tiny import tiny_configs

Sound = NDArray[np.float32]

PREPROCESSING = Preprocessing.of(segment_seconds=0.5, n_fft=512, hop_length=256, n_mels=32)
SAMPLES = PREPROCESSING.segment_samples
CALIBRATION = Calibration(
    temperature=0.4,
    scatter=0.5,
    threshold=1.2,
    false_alarm=0.05,
    ece_before=0.1,
    ece_after=0.05,
    auroc=0.8,
    unknown_found=0.5,
    enrolled_classes=3,
    shot=5,
)
CLASSES = ("chirp", "Käuzchen", "rain, heavy")


def sound(kind: int, seed: int, samples: int = SAMPLES) -> Sound:
    """A chirp, a hoot, or noise, each time a little different."""
    random = np.random.default_rng((kind, seed))
    time = np.arange(samples) / 16_000
    if kind == 0:
        clean = np.sin(2 * np.pi * (1500 + random.uniform(0, 200) + 2000 * time) * time)
    elif kind == 1:
        clean = np.sin(2 * np.pi * (400 + random.uniform(0, 40)) * time) * np.hanning(samples)
    else:
        clean = random.normal(size=samples) * np.linspace(0.2, 1, samples)
    return (0.3 * clean + 0.01 * random.normal(size=samples)).astype(np.float32)


def recognizer(
    changes: Mapping[str, Any] | None = None,
    *,
    scenario: int = 1,
    encoder: Literal["CNN", "Hybrid"] = "Hybrid",
    calibration: Calibration | None = CALIBRATION,
    enrolled: bool = True,
    head: Head | None = "prototypes",
) -> Recognizer:
    """A recognizer with a random network whose statistics are those of its sounds."""
    experiment, model = tiny_configs(changes, scenario=scenario, encoder=encoder)
    model = complete_model(experiment.encoder_name, model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment, model, PREPROCESSING.n_mels, PREPROCESSING.frames)
    network.set_normalization(-30.0, 20.0)
    maker, views = make_views(experiment, PREPROCESSING, None), None
    if experiment.query_views("test") > 1:
        shape = (SAMPLES,) if experiment.input_type == "wav" else (PREPROCESSING.n_mels, PREPROCESSING.frames)
        views = maker.draw(1, shape, torch.Generator().manual_seed(0))
    _warm_up(network)
    if network.relation is not None:  # a random one says nearly the same of everything that is not far apart
        network.get_parameter("encoder.linear.weight").data.mul_(50)
    embedder = TorchEmbedder(network, PREPROCESSING, experiment.input_type, maker, views, torch.device("cpu"))
    result = Recognizer(embedder, experiment, model, calibration, decision=DecisionState(head))
    if enrolled:
        for kind, name in enumerate(CLASSES):
            result.enroll(name, [sound(kind, seed) for seed in range(3 + kind)], rate=16_000)
    return result


def _warm_up(network: FewShotNetwork) -> None:
    """Give batch norms statistics that are not the initial ones, and embeddings another center."""
    generator = torch.Generator().manual_seed(1)
    if network.center is not None:
        network.center.copy_(0.1 * torch.randn(network.center.shape, generator=generator))
    for name, buffer in network.encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
        elif name.endswith("running_var"):
            buffer.copy_(0.2 + torch.rand(buffer.shape, generator=generator))
