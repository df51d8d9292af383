"""What a stranger's bundle may cost: bounded before anything is built; and frozen views that drawing can give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fewshot_audio import Preprocessing, Recognizer
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle.cost import check_network_cost
from tests.models.tiny_pretrained import KINDS, MORE_KINDS, write_pretrained
from tests.recognition import recognizers
from tests.recognition.test_bundle import MODEL, edit, edit_tensors
from tests.tiny import MELS, tiny_configs
from tests.transforms import Clipping

BATCH = ["views.pitch_semitones", "views.stretch_ratio", "views.gain_db", "views.lowpass_hz", "views.noise_f_decay"]


@pytest.fixture
def waveforms(tmp_path: Path) -> Path:
    """A bundle whose network sees augmented waveforms."""
    folder = tmp_path / "waveforms"
    changes = {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": True}
    changes |= {f"waveaug_params.{name}_p": 0.0 for name in ("lowpass", "noise", "highpass", "bandstop")}
    recognizers.recognizer(changes, scenario=5).save(folder)
    return folder


def overlapping(tensors: dict[str, torch.Tensor]) -> None:
    tensors["views.spliceout_width"].fill_(2 * (recognizers.SAMPLES // 4))
    tensors["views.spliceout_start"].fill_(recognizers.SAMPLES // 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *[(lambda t, name=name: t[name].fill_(1e9), f"{name} is outside of") for name in BATCH],
        (lambda t: t["views.shift_samples"].fill_(2**62), "views.shift_samples is outside of"),
        (lambda t: t["views.noise_seed"].fill_(-1), "views.noise_seed is outside of"),
        (lambda t: t["views.mask_start"].fill_(recognizers.SAMPLES), "a mask ends after the segment"),
        (lambda t: t["views.spliceout_width"].fill_(3), "no disjoint intervals of even width"),
        (overlapping, "no disjoint intervals of even width"),
        (lambda t: t.update({"views.gain_on": t["views.gain_db"].clone()}), "views.gain_on is float32"),
        (lambda t: t.update({"views.gain_db": t["views.gain_db"][:-1].clone()}), "views.gain_db is float32"),
        (lambda t: t.pop("views.gain_db"), "gain_db"),
    ],
)
def test_waveform_views_that_no_draw_gives_are_refused(waveforms: Path, change: Any, words: str) -> None:
    assert Recognizer.load(waveforms).classes
    edit_tensors(waveforms, MODEL, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(waveforms)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v["views"]["numbers"].update(n_samples=10**12), "views.n_samples is 1000000000000, expected 8000"),
        (lambda v: v["views"]["numbers"].update(sample_rate=1), "views.sample_rate is 1, expected 16000"),
        (lambda v: v["views"]["numbers"].update(mask_length=-1), "views.mask_length is -1"),
        (lambda v: v["views"]["numbers"].update(gain_db=1), "multiple values"),
        (lambda v: v["experiment"]["waveaug_params"].update(aug_num=2**21), "views of a segment|activations|aug_num"),
        (lambda v: v["experiment"]["waveaug_params"].update(timemasking_masks=2**30), "timemasking_masks: 3221225472"),
        (
            lambda v: v["experiment"]["waveaug_params"].update(spliceout_num_time_intervals=2**40),
            "spliceout_num_time_intervals: 3298534883328",
        ),
    ],
)
def test_numbers_of_waveform_views_are_bounded(waveforms: Path, change: Any, words: str) -> None:
    edit(waveforms, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(waveforms)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("views.extra.0.on"), "views.extra.0.on is absent, expected bool"),
        (
            lambda t: t["views.extra.0.parameters.share"].fill_(torch.nan),
            "share holds values that are not finite",
        ),
        (
            lambda t: t.update({"views.extra.1.on": t["views.extra.0.on"].clone()}),
            "views.extra.1.on is of no transform",
        ),
        (
            lambda t: t.update({"views.extra.0.parameters.share": torch.zeros(2)}),
            r"views.extra.0.parameters.share is float32 \(2,\), expected float32 \(3,\)",
        ),
    ],
)
def test_views_by_a_transform_from_outside_are_frozen_too(tmp_path: Path, change: Any, words: str) -> None:
    changes = {"input_type": "wav", "specaug_params.use": False, "waveaug_params.use": True}
    changes |= {f"waveaug_params.{name}_p": 0.0 for name in ("lowpass", "noise", "highpass", "bandstop")}
    changes["waveaug_params.extra"] = [{"name": Clipping.__name__, "p": 0.7}]
    original = recognizers.recognizer(changes, scenario=5)
    original.save(tmp_path)
    sound = recognizers.sound(0, 1)
    assert Recognizer.load(tmp_path).classify(sound, rate=16_000) == original.classify(sound, rate=16_000)
    edit_tensors(tmp_path, MODEL, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_widths_are_bounded_whether_given_or_derived(given: bool, tmp_path: Path) -> None:
    recognizers.recognizer({"relation_head": True}, scenario=3).save(tmp_path)

    def widen(values: dict[str, Any]) -> None:
        values["model"]["Hybrid"]["out_dim"] = 2**20
        values["model"]["Attention"]["embed_dim"] = 2**20 if given else None
        values["model"]["Relation"]["input_dim"] = 2**23 if given else None

    edit(tmp_path, widen)
    with pytest.raises(DataError, match=r"model.Projection.input_dim: 4194304, expected at most 1048576"):
        Recognizer.load(tmp_path)


@pytest.fixture
def pretrained(tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        name = f"hf:{write_pretrained(tmp_path / kind, kind)}"
        changes = {"encoder_name": name, "input_type": "wav", "precision": "fp32"}
        recognizers.recognizer(changes).save(tmp_path / "bundle")
        return tmp_path / "bundle"

    return make


@pytest.mark.parametrize("kind", [*KINDS, *MORE_KINDS])
def test_the_cost_of_every_kind_of_pretrained_encoder_can_be_followed(
    pretrained: Callable[[str], Path], kind: str
) -> None:
    loaded = Recognizer.load(pretrained(kind))
    (answer,) = loaded.predict(recognizers.sound(0, 1), rate=16_000)
    assert answer in (*loaded.classes, "unknown")


def stepping_by_one(values: Any) -> None:
    values["model"]["Pretrained"]["definition"]["config"].update(conv_stride=[1, 1], conv_kernel=[10, 8])


def long_segments(values: Any) -> None:
    values["preprocessing"]["segment_seconds"] = 3.0


def audio_config(values: Any) -> Any:
    return values["model"]["Pretrained"]["definition"]["config"]["audio_config"]


def many_layers(values: Any) -> None:
    values["model"]["Pretrained"]["definition"]["config"]["num_hidden_layers"] = 10**9


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("wav2vec2", [stepping_by_one, long_segments], "activations of a segment"),
        ("clap", [lambda v: audio_config(v).update(spec_size=2**14, patch_stride=[1, 1])], "activations of a segment"),
        ("wav2vec2", [many_layers], "num_hidden_layers is 1000000000, expected at most 200"),
        (
            "ast",
            [lambda v: v["model"]["Pretrained"]["definition"]["config"].update(max_length=10**8)],
            "a segment cannot be embedded by it",
        ),
    ],
)
def test_a_pretrained_encoder_that_takes_too_much_is_refused(
    pretrained: Callable[[str], Path], kind: str, changes: list[Any], words: str
) -> None:
    folder = pretrained(kind)
    for change in changes:
        edit(folder, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(folder)


def test_a_wide_residual_network_is_refused() -> None:
    experiment, model = tiny_configs({"encoder_name": "ResNet8"})
    wide = model.model_copy(update={"ResNet8": model.ResNet8.model_copy(update={"widths": [1 << 19, 1, 1, 1]})})
    preprocessing = Preprocessing(n_mels=MELS, n_fft=512, hop_length=256)
    check_network_cost(experiment, model, preprocessing)
    with pytest.raises(DataError, match="activations of a segment"):
        check_network_cost(experiment, wide, preprocessing)
