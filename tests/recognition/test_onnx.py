"""Exported graphs in onnxruntime against the recognizer: every scenario, every kind of sound, and without torch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch

from fewshot_audio import __version__
from fewshot_audio.audio.decode import decode
from fewshot_audio.errors import ConfigError, DataError, FewShotError
from fewshot_audio.recognition.onnx import SegmentClassifier, export_onnx
from fewshot_audio.recognition.recognizer import Recognizer
from tests.models.tiny_pretrained import write_pretrained
from tests.recognition.recognizers import CLASSES, PREPROCESSING, SAMPLES, Sound, recognizer, sound
from tests.shell import Shell, _logging, shell

__all__ = ["_logging", "shell"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_classify.py"
REAL = os.environ.get("FEWSHOT_AUDIO_TEST_DATA")

WAVE = {"input_type": "wav", "specaug_params.use": False}
CASES: dict[str, Callable[[], Recognizer]] = {
    "views as rows, CNN, squared": lambda: recognizer(
        {"test_query_augmentations": True, "distance": "squared"}, scenario=2, encoder="CNN"
    ),
    "attention, contrastive, bidirectional LSTM": lambda: recognizer(
        {"Hybrid.seq_type": "LSTM", "Hybrid.bidirectional": True}, scenario=5
    ),
    "logistic regression on both": lambda: recognizer(head="both"),
    "on timbre": lambda: recognizer(head="timbre"),
    "on embeddings of views": lambda: recognizer(
        {"test_query_augmentations": True}, scenario=2, head="embedding", calibration=None
    ),
    "committee": lambda: recognizer({"members": 2}),
    "contrastive, GRU, relation": lambda: recognizer({"Hybrid.seq_type": "GRU", "relation_head": True}, scenario=4),
    "waveforms, ResNet-12, transformed, cosine, scaled": lambda: recognizer(
        {
            **WAVE,
            "encoder_name": "ResNet12",
            "ResNet12.pooling": "mean_max",
            "distance": "cosine",
            "embedding_transform": "center_l2",
            "score_scale": 10.0,
        },
        calibration=None,
    ),
}


def sounds() -> dict[str, Sound]:
    """What a microphone may hand over."""
    random = np.random.default_rng(5)
    time = np.arange(SAMPLES) / 16_000
    noise = random.normal(size=SAMPLES)
    signals = {
        **{f"{name} {seed}": sound(kind, seed) for kind, name in enumerate(CLASSES) for seed in (7, 8)},
        "noise": noise,
        "whisper": 1e-5 * noise,
        "a single click": np.where(np.arange(SAMPLES) == 4000, 0.5, 0.0),
        "silence, then noise": np.where(time > 0.3, noise, 0.0),
        "least significant bits": random.integers(0, 2, SAMPLES) / 32768,
        "clipped": np.sign(np.sin(2 * np.pi * 300 * time)),
        "16-bit scale": 20_000 * np.sin(2 * np.pi * 900 * time).round(4),
        "on a pedestal": 5 + 0.001 * noise,
        "pure tone": np.sin(2 * np.pi * 440 * time),
    }
    return {name: values.astype(np.float32) for name, values in signals.items()}


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def assert_parity(original: Recognizer, path: Path, clips: dict[str, Sound]) -> None:
    """The graph answers as the recognizer does of clips of one segment."""
    probabilities, unknown = session(path).run(None, {"waveform": np.stack(list(clips.values()))})
    answers = original.classify(list(clips.values()), rate=16_000)
    expected = np.array([list(answer.probabilities.values()) for answer in answers])
    assert expected.std(axis=0).max() > 1e-3
    for name, actual, desired in zip(clips, probabilities, expected, strict=True):
        np.testing.assert_allclose(actual, desired, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(unknown, [answer.unknown_score for answer in answers], rtol=1e-3)


def real_clips() -> dict[str, Sound]:
    """Segments of real recordings, where they are at hand."""
    if REAL is None:
        return {}
    clips = {}
    for file in sorted((Path(REAL) / "ESC-50-master" / "audio").iterdir())[::40][:30]:
        samples = decode(file, PREPROCESSING.sample_rate).samples
        start = int(np.abs(samples).argmax() // SAMPLES) * SAMPLES
        piece = samples[start : start + SAMPLES]
        if len(piece) == SAMPLES and piece.std() > 0:
            clips[file.name] = piece
    assert len(clips) > 20
    return clips


@pytest.mark.parametrize("case", CASES)
def test_answers_as_the_recognizer_does(tmp_path: Path, case: str) -> None:
    """Of sounds of every kind, and of real recordings (FEWSHOT_AUDIO_TEST_DATA); all else about the same file."""
    original, path = CASES[case](), tmp_path / "sounds.onnx"
    before, state = original.predict_proba(sound(0, 9), rate=16_000), torch.get_rng_state()
    assert export_onnx(original, path).size == path.stat().st_size
    # Exporting leaves the recognizer and torch as they were.
    np.testing.assert_array_equal(original.predict_proba(sound(0, 9), rate=16_000), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled()
    onnx.checker.check_model(onnx.load(path), full_check=True)
    clips = {**sounds(), **real_clips()}
    assert_parity(original, path, clips)
    graph = session(path)
    assert_any_number_of_segments(graph, np.stack(list(clips.values())))
    assert_silence_is_unknown(graph)
    assert_describes_itself(original, graph)


def assert_any_number_of_segments(graph: Any, clips: Sound) -> None:
    """Each is answered for itself."""
    together = graph.run(None, {"waveform": clips})
    for number, clip in enumerate(clips[:4]):
        alone = graph.run(None, {"waveform": clip[None]})
        for output, expected in zip(alone, together, strict=True):
            np.testing.assert_allclose(output[0], expected[number], atol=1e-5)
    np.testing.assert_allclose(together[0].sum(axis=1), 1, atol=1e-5)


def assert_silence_is_unknown(graph: Any) -> None:
    """A recognizer refuses it."""
    silent = np.stack([np.zeros(SAMPLES), np.full(SAMPLES, 0.3)]).astype(np.float32)
    probabilities, unknown = graph.run(None, {"waveform": silent})
    assert np.isfinite(probabilities).all()
    assert np.isposinf(unknown).all()


def assert_describes_itself(original: Recognizer, graph: Any) -> None:
    """The file tells how it is used."""
    threshold, temperature = ("1.2", "0.4") if original.calibration else ("", "1.0")
    if original.head != "prototypes":  # calibrated on the enrolled clips
        threshold, temperature = repr(original.unknown_threshold), repr(original.temperature)
    assert graph.get_modelmeta().custom_metadata_map == {
        "classes": json.dumps(list(CLASSES), ensure_ascii=False),
        "sample_rate": "16000",
        "segment_samples": "8000",
        "unknown_threshold": threshold,
        "temperature": temperature,
        "fewshot_audio_version": __version__,
    }
    assert [(i.name, i.shape, i.type) for i in graph.get_inputs()] == [
        ("waveform", ["batch", SAMPLES], "tensor(float)")
    ]
    assert [(o.name, o.shape) for o in graph.get_outputs()] == [
        ("probabilities", ["batch", 3]),
        ("unknown_score", ["batch"]),
    ]


def test_the_graph_of_a_pretrained_encoder(tmp_path: Path) -> None:
    folder = write_pretrained(tmp_path / "ast", "ast")
    original = recognizer({**WAVE, "encoder_name": f"hf:{folder}", "Pretrained.out_dim": 8})
    export_onnx(original, tmp_path / "ast.onnx")
    assert_parity(original, tmp_path / "ast.onnx", sounds())


def test_waveform_views_are_refused(tmp_path: Path) -> None:
    off = {f"waveaug_params.{name}_p": 0 for name in ("lowpass", "highpass", "bandstop", "noise")}
    original = recognizer({**WAVE, **off, "waveaug_params.use": True}, scenario=3)
    with pytest.raises(ConfigError, match="views by waveform augmentation cannot be exported"):
        export_onnx(original, tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_without_classes_there_is_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class is enrolled"):
        export_onnx(recognizer(enrolled=False), tmp_path / "a.onnx")


def test_a_graph_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def run(self, _: Any, inputs: dict[str, Any]) -> list[Any]:
            return [np.full((len(inputs["waveform"]), 3), np.nan), np.zeros(len(inputs["waveform"]))]

    model = SimpleNamespace(metadata_props={})
    program = SimpleNamespace(model=model, model_proto=SimpleNamespace(SerializeToString=lambda: b"graph"))
    monkeypatch.setattr("fewshot_audio.recognition.onnx.trace", lambda *_, **__: program)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Liar)
    with pytest.raises(FewShotError, match="nan from torch's: it was not written"):
        export_onnx(recognizer(), tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("module", ["onnxruntime", "onnxscript.optimizer"])
def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigError, match=rf"export needs {module.partition('.')[0]}: pip install 'fewshot-audio\[onnx\]'"
    ):
        export_onnx(recognizer(), tmp_path / "a.onnx")


def test_the_classifier_agrees_with_a_hand_computed_case() -> None:
    """The wiring around the network, in float64 by hand: z-norm, softmax over a temperature, expected distances."""
    original = recognizer()
    classifier = SegmentClassifier(original).eval()
    clip = sound(1, 11)
    with torch.no_grad():
        probabilities, unknown = classifier(torch.from_numpy(clip)[None])
    exact = clip.astype(np.float64)
    normalized = ((exact - exact.mean()) / exact.std()).astype(np.float32)
    features = torch.from_numpy(PREPROCESSING.features(normalized[None]))
    with torch.no_grad():
        embedding = original.network.encode(original.network.normalize(features)).double().numpy()[0]
    distances = np.linalg.norm(original.prototypes.astype(np.float64) - embedding, axis=1)
    exponentials = np.exp(-distances / 0.4)
    np.testing.assert_allclose(probabilities[0], exponentials / exponentials.sum(), atol=1e-4)
    np.testing.assert_allclose(unknown[0], (distances / original.expected_distances).min(), rtol=1e-4)


def test_the_command_and_the_example_without_torch(tmp_path: Path, shell: Shell) -> None:
    original = recognizer()
    original.save(tmp_path / "bundle")
    done = shell("export", tmp_path / "bundle", "--onnx", tmp_path / "sounds.onnx")
    assert done.code == 0, done.err
    assert "3 classes, segments of 0.5 s at 16000 Hz" in done.out
    assert "Checked in onnxruntime" in done.out
    assert_parity(original, tmp_path / "sounds.onnx", sounds())
    recording = np.concatenate([sound(0, 20), sound(2, 20), sound(1, 20)[: SAMPLES // 2]])
    soundfile.write(tmp_path / "recording.wav", recording, 16_000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sound(1, 21)] * 2, axis=1), 16_000)
    soundfile.write(tmp_path / "quiet.wav", np.zeros(SAMPLES), 16_000)
    check = (
        "import runpy, sys\n"
        "for name in ('torch', 'fewshot_audio', 'librosa'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    files = [tmp_path / f"{name}.wav" for name in ("recording", "stereo", "quiet")]
    command = [sys.executable, "-c", check, EXAMPLE, tmp_path / "sounds.onnx", *files]
    output = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    lines = [line.split("\t") for line in output.splitlines()]
    assert [(Path(file).name, start) for file, start, *_ in lines] == [
        *(("recording.wav", start) for start in ("0 s", "0.5 s", "1 s")),
        ("stereo.wav", "0 s"),
        ("quiet.wav", "0 s"),
    ]
    answers = original.classify([sound(0, 20), sound(2, 20)], rate=16_000)
    for line, answer in zip(lines, answers, strict=False):
        assert line[2] == answer.label
        assert float(line[3]) == pytest.approx(max(answer.probabilities.values()), abs=2e-3)
    assert lines[-1][2] == "unknown"
    soundfile.write(tmp_path / "fast.wav", recording, 44_100)
    failed = subprocess.run([sys.executable, EXAMPLE, tmp_path / "sounds.onnx", tmp_path / "fast.wav"],
                            capture_output=True, text=True, check=False)  # fmt: skip
    assert (failed.returncode, failed.stderr.strip()) == (
        1,
        f"{tmp_path / 'fast.wav'}: 44100 Hz; resample it to 16000 Hz first",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "usage: python onnx_classify.py sounds.onnx recording.wav"),
        (["sounds.onnx"], "usage: "),
        (["absent.onnx", "x.wav"], "absent.onnx: cannot be read as an ONNX file"),
        (["text.onnx", "x.wav"], "text.onnx: cannot be read as an ONNX file"),
        (["other.onnx", "x.wav"], "other.onnx: its metadata lack 'unknown_threshold'"),
    ],
)
def test_the_example_says_what_is_wrong(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "other.onnx")
    run = subprocess.run(
        [sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path, shell: Shell) -> None:
    failed = shell("export", tmp_path / "nothing", "--onnx", tmp_path / "a.onnx")
    assert failed.code == 1
    assert "nothing" in failed.err
