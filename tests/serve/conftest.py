"""Servers to test: over a fake recognizer and over a real one with a tiny network."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.models.build import build_network
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.calibration import Calibration
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.torch_embedder import TorchEmbedder
from fewshot_audio.serve.app import create_app
from fewshot_audio.serve.decoder import Decoder
from fewshot_audio.serve.limits import ServerLimits
from tests.serve.chromium import Browser, browser
from tests.serve.fake import FakeRecognizer
from tests.serve.sounds import tone, tone_wav, wav
from tests.tiny import tiny_configs

LIMITS = ServerLimits(
    upload_bytes=1 << 20,
    clip_seconds=5.0,
    clips_per_request=5,
    classes=4,
    total_clips=12,
    background_clips=3,
    decode_seconds=10.0,
    recording_bytes=4 << 20,
    recording_seconds=40.0,
    recordings=2,
    marks=20,
)

Serve = Callable[..., TestClient]


def tiny_recognizer(slowdown: int = 1) -> Recognizer:
    """A recognizer with an untrained network, on segments of half a second: it tells tones apart all the same."""
    experiment, model = tiny_configs()
    preprocessing = Preprocessing.of(segment_seconds=0.5, n_mels=16, slowdown=slowdown)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(experiment, model, preprocessing.n_mels, preprocessing.frames)
    network.set_normalization(-40.0, 20.0)
    calibration = Calibration(
        temperature=1.0,
        scatter=0.01,
        threshold=3.0,
        false_alarm=0.05,
        ece_before=0.1,
        ece_after=0.05,
        auroc=0.9,
        unknown_found=0.5,
        enrolled_classes=4,
        shot=5,
    )
    view_maker = make_views(experiment, preprocessing, None)
    embedder = TorchEmbedder(network, preprocessing, experiment.input_type, view_maker, None, torch.device("cpu"))
    return Recognizer(embedder, experiment, model, calibration)


class SharedDecoder(Decoder):
    """Outlives the servers that use it, so that not every test starts processes."""

    def close(self) -> None:
        """Stay."""

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def decoder() -> Iterator[SharedDecoder]:
    """Decoding processes for recordings at 16 kHz."""
    shared = SharedDecoder(16_000, LIMITS)
    yield shared
    shared.end()


@pytest.fixture
def serve(decoder: SharedDecoder) -> Iterator[Serve]:
    """Start servers in this process, with tight limits; ``serve(backend, **options)`` returns a client."""
    clients = []

    def start(backend: Any = None, limits: ServerLimits = LIMITS, **options: Any) -> TestClient:
        app = create_app(backend or FakeRecognizer(), limits=limits, **{"decoder": decoder, **options})
        client = TestClient(app, base_url="http://localhost:8000")
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(params=["fake", "real"])
def client(request: pytest.FixtureRequest, serve: Serve) -> TestClient:
    """A server over each kind of recognizer; no class is enrolled."""
    return serve(FakeRecognizer() if request.param == "fake" else tiny_recognizer())


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle without classes."""
    folder = tmp_path / "bundle"
    tiny_recognizer().save(folder)
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings: low and high tones, one that is no sound, and what the microphone hears (high)."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, pitch in (("low", 300.0), ("high", 3000.0)):
        for number in range(4):
            (folder / f"{name}-{number}.wav").write_bytes(tone_wav(pitch, number))
    (folder / "broken.wav").write_bytes(b"this is no sound")
    (folder / "microphone.wav").write_bytes(wav(tone(3000.0, 2.0), 16_000))
    return folder


@pytest.fixture(scope="module")
def chromium(sounds: Path) -> Iterator[Browser]:
    """One browser for all tests of a module."""
    with browser(sounds / "microphone.wav") as chromium_browser:
        yield chromium_browser
