"""Recognizers of short, slowed, band-limited sounds by PCEN: one preprocessing from recording to answer."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from fewshot_audio.audio.decode import Decoding, decode
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError
from fewshot_audio.models.build import build_network
from fewshot_audio.models.views import make_views
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.graph_building import build
from fewshot_audio.recognition.onnx import export_onnx, metadata
from fewshot_audio.recognition.onnx_embedder import OnnxEmbedder
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.torch_embedder import TorchEmbedder
from fewshot_audio.recognition.windows import scan_recording
from tests.recognition.sounds import write_wav
from tests.tiny import tiny_configs

SLOWDOWN, RATE = 10, 160_000
PREPROCESSING = Preprocessing(
    segment_seconds=0.5,
    n_fft=512,
    hop_length=128,
    n_mels=32,
    fmin=200.0,
    fmax=7000.0,
    frontend="pcen",
    slowdown=SLOWDOWN,
    fill="silence",
)
SAMPLES = PREPROCESSING.segment_samples


def call(kind: int, seed: int, samples: int = SAMPLES) -> np.ndarray:
    """A sweep, a tone or clicks above hearing, recorded at 160 kHz."""
    random = np.random.default_rng((kind, seed))
    time = np.arange(samples) / RATE
    sweep = np.sin(2 * np.pi * (30_000 + 4e5 * time) * time)
    tone = np.sin(2 * np.pi * (20_000 + random.uniform(0, 2000)) * time)
    clicks = random.normal(size=samples) * (np.arange(samples) % 1600 < 200)
    return (0.3 * (sweep, tone, clicks)[kind] + 0.01 * random.normal(size=samples)).astype(np.float32)


def recognizer(preprocessing: Preprocessing, rate: int) -> Recognizer:
    """A random network that has enrolled three clips of each kind, which were recorded at that rate."""
    experiment, model = tiny_configs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(experiment, model, preprocessing.n_mels, preprocessing.frames)
    network.set_normalization(0.5, 0.5)
    maker = make_views(experiment, preprocessing, None)
    embedder = TorchEmbedder(network, preprocessing, "spec", maker, None, torch.device("cpu"))
    result = Recognizer(embedder, experiment, model)
    for kind, name in enumerate(("sweep", "tone", "clicks")):
        result.enroll(name, [(call(kind, seed), rate) for seed in range(3)])
    return result


@pytest.fixture(scope="module")
def bats() -> Recognizer:
    return recognizer(PREPROCESSING, RATE)


def test_it_answers_as_one_of_slowed_recordings(bats: Recognizer) -> None:
    """To the bit: the recordings of a recorder with a clock ten times slower, which need no slowdown."""
    slowed = recognizer(PREPROCESSING.model_copy(update={"slowdown": 1}), RATE // SLOWDOWN)
    asked = [call(kind, 9, samples) for kind in range(3) for samples in (SAMPLES, 3 * SAMPLES // 2)]
    answers = bats.classify(asked, rate=RATE)
    assert answers == slowed.classify(asked, rate=RATE // SLOWDOWN)
    assert [answer.best for answer in answers[::2]] == ["sweep", "tone", "clicks"]
    assert (bats.sample_rate, bats.segment_seconds) == (RATE, 0.05)
    assert "160000 Hz, segments of 0.05 s" in repr(bats)


def test_events_are_in_the_recordings_own_time(bats: Recognizer, tmp_path: Path) -> None:
    silence = np.zeros(2 * SAMPLES, np.float32)
    path = write_wav(tmp_path / "night.wav", np.concatenate([silence, call(2, 5), silence]), RATE)
    result = bats.scan(path)
    (event,) = result.events
    assert (event.label, event.start, event.end) == ("clicks", pytest.approx(0.1), pytest.approx(0.15))
    assert (result.seconds, result.windows, result.silent) == (pytest.approx(0.25), 5, 4)
    assert bats.scan(path, hop=0.025).windows == 9
    windows = list(scan_recording(bats, Decoding(path, bats.sample_rate), 0.05))
    assert windows[2].answer == bats.classify((call(2, 5), RATE))[0]


def test_files_are_read_at_the_recorders_rate(bats: Recognizer, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "bat.wav", call(0, 7), RATE)
    from_file, from_array = bats.classify(path)[0], bats.classify((decode(path, RATE).samples, RATE))[0]
    assert from_file == from_array
    clip = LoadedClip.of(call(0, 7), PREPROCESSING)
    assert clip.seconds == pytest.approx(0.05)
    assert bats.classify(clip)[0].probabilities == from_file.probabilities


def test_short_clips_are_answered_and_too_short_ones_refused(bats: Recognizer) -> None:
    assert bats.classify((call(1, 3, 320), RATE))[0].segments == 1  # 2 ms, played as 20
    with pytest.raises(DataError, match=r"319 samples at 160000 Hz, expected at least 320 \(20 ms\)"):
        bats.classify((call(1, 3, 319), RATE))


def test_bundles_graphs_and_exports_carry_it(bats: Recognizer, tmp_path: Path, graphs: Path) -> None:
    asked = [call(kind, 9) for kind in range(3)]
    expected = bats.predict_proba(asked, rate=RATE)
    bats.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.preprocessing == PREPROCESSING
    np.testing.assert_array_equal(loaded.predict_proba(asked, rate=RATE), expected)
    build(tmp_path / "bundle")
    light = Recognizer.load(tmp_path / "bundle", backend="auto")
    assert isinstance(light.embedder, OnnxEmbedder)
    np.testing.assert_allclose(light.predict_proba(asked, rate=RATE), expected, atol=1e-4)

    export_onnx(bats, tmp_path / "bats.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "bats.onnx", providers=["CPUExecutionProvider"])
    probabilities, _ = session.run(None, {"waveform": np.stack(asked)})
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    facts = metadata(bats)
    assert (facts["sample_rate"], facts["segment_samples"]) == ("160000", str(SAMPLES))
