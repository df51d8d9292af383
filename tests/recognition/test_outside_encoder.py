"""A recognizer of an encoder from outside: its bundle holds the options, and its export the network."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.onnx import SegmentClassifier, export_onnx
from fewshot_audio.recognition.recognizer import Recognizer
from tests.parts import Means, MeansConfig
from tests.recognition.recognizers import PREPROCESSING, Sound, recognizer, sound

NAME = "tests.parts:Means"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    recognizer({"encoder_name": NAME}).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def sounds() -> list[Sound]:
    return [sound(kind, 7) for kind in range(3)]


def test_a_saved_recognizer_answers_as_the_one_that_was_saved(bundle: Path) -> None:
    original, loaded = recognizer({"encoder_name": NAME}), Recognizer.load(bundle)
    assert isinstance(loaded.embedder.network.encoder, Means)
    assert loaded.model.encoder(NAME) == MeansConfig()
    assert json.loads((bundle / "recognizer.json").read_text())["model"]["Means"] == MeansConfig().model_dump()
    for samples in sounds():
        actual, expected = loaded.classify(samples, rate=16_000), original.classify(samples, rate=16_000)
        assert actual == expected
    assert len({loaded.classify(samples, rate=16_000)[0].label for samples in sounds()}) > 1


def test_waveforms_become_spectrograms_for_an_encoder_that_says_no_sample_rate() -> None:
    spectrograms = recognizer({"encoder_name": NAME})
    waveforms = recognizer({"encoder_name": NAME, "input_type": "wav", "specaug_params.use": False})
    for samples in sounds():
        (actual,), (expected,) = waveforms.classify(samples, rate=16_000), spectrograms.classify(samples, rate=16_000)
        assert actual.label == expected.label
        np.testing.assert_allclose([*actual.probabilities.values()], [*expected.probabilities.values()], atol=1e-4)


def test_a_section_of_a_stranger_is_checked(bundle: Path) -> None:
    path = bundle / "recognizer.json"
    values = json.loads(path.read_text())
    for change, message in (({"hidden": "wide"}, "model.Means.hidden"), ({"hidden": 2**60}, "number of 61 bits")):
        path.write_text(
            json.dumps(values | {"model": values["model"] | {"Means": MeansConfig().model_dump() | change}})
        )
        with pytest.raises(DataError, match=message):
            Recognizer.load(bundle)


def test_in_a_process_that_has_not_imported_it_the_bundle_is_refused(bundle: Path) -> None:
    work = (
        "import sys\nfrom fewshot_audio import Recognizer\nfrom fewshot_audio.errors import DataError\n"
        "try:\n    Recognizer.load(sys.argv[1])\n"
        "except DataError as error:\n    print(error)\n"
        "assert 'tests' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", work, str(bundle)], capture_output=True, text=True, check=True
    )
    assert f"encoder '{NAME}' is code from outside of fewshot-audio" in done.stdout
    assert "--plugin tests" in done.stdout


def test_its_export_needs_no_code_of_it(bundle: Path, tmp_path: Path) -> None:
    loaded = Recognizer.load(bundle)
    export_onnx(loaded, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    segments = np.stack(sounds())
    classifier = SegmentClassifier(loaded)
    with torch.inference_mode():
        expected = [value.numpy() for value in classifier(torch.from_numpy(segments))]
    actual = session.run(None, {session.get_inputs()[0].name: segments})
    assert PREPROCESSING.segment_samples == segments.shape[1]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
