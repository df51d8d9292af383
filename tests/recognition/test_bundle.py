"""Bundles: whole or not at all, and refused with the reason where they are anything else."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from fewshot_audio import Recognizer
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle import write
from fewshot_audio.recognition.bundle.schema import config_hash
from fewshot_audio.runtime import exchange as exchange_module
from tests.recognition.conftest import enrolled
from tests.recognition.sounds import sound

JSON, MODEL, SUPPORT = "recognizer.json", "model.safetensors", "support.safetensors"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    values = json.loads((folder / JSON).read_text())
    change(values)
    (folder / JSON).write_text(json.dumps(values))


def edit_tensors(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change tensors as somebody would who also corrects the hash."""
    tensors = safetensors.torch.load_file(folder / name)
    change(tensors)
    safetensors.torch.save_file(tensors, folder / name)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    edit(folder, lambda values: values["sha256"].update({name: digest}))


def test_a_bundle_holds_three_files_and_no_pickle(bundle: Path, run_of: Callable[[str], Path]) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == [MODEL, JSON, SUPPORT]
    described = json.loads((bundle / JSON).read_text())
    assert [entry["name"] for entry in described["classes"]] == ["class 0", "class 4", "class 8"]
    assert described["calibration"]["false_alarm"] == 0.05
    assert described["training_config_sha256"] == config_hash(*configs(run_of("plain")))
    assert set(described["versions"]) >= {"fewshot_audio", "torch", "numpy"}
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in bundle.iterdir())


def configs(run: Path) -> Any:
    from fewshot_audio.experiments.run_folder import Run

    read = Run.read(run)
    return read.experiment, read.model


def no_class(values: Any) -> None:
    values["classes"][0]["clips"] = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(format=2), "format 2, but this version of fewshot-audio reads up to 1: upgrade"),
        (lambda v: v.update(kind="something"), "not a recognizer"),
        (lambda v: v.update(more=1), "more: Extra inputs are not permitted"),
        (lambda v: v.pop("views"), "views: Field required"),
        (no_class, r"classes\.0\.clips: List should have at least 1 item"),
        (lambda v: v["classes"][1].update(name="class 0"), "class 'class 0' is there twice"),
        (lambda v: v["classes"][1].update(name="a\nb"), "printable text"),
        (lambda v: v["classes"][1]["clips"][0].update(name="a\x1bb"), "unprintable name"),
        (lambda v: v["classes"].pop(), "holds 6 tensors, expected 4"),
        (lambda v: v["classes"][0]["clips"][0].update(segments=7), "expected float32"),
        (lambda v: v["classes"][0]["clips"][0].update(segments=10**15), "expected float32"),
        (lambda v: v["calibration"].update(temperature=0.0), "calibration.temperature: Input should be greater than 0"),
        (lambda v: v["calibration"].update(threshold=float("nan")), "calibration.threshold: Input should be a finite"),
        (lambda v: v["preprocessing"].update(sample_rate=10**9), "preprocessing.sample_rate"),
        (lambda v: v["preprocessing"].update(segment_seconds=600.0, sample_rate=700_000), "too long|pool_dim"),
        (lambda v: v["model"]["Hybrid"].update(hidden_channels=10**7), "expected"),
        (lambda v: v["model"]["Hybrid"].update(seq_layers=10**9), "1000000000 recurrent layers"),
        (lambda v: v["model"]["Hybrid"].update(out_dim=16), "expected float32"),
        (lambda v: v["experiment"].update(encoder_name="pickle"), "experiment.encoder_name"),
        (lambda v: v["experiment"].update(use_attention=True), "use_attention is true"),
        (lambda v: v["sha256"].update({MODEL: "0" * 64}), "SHA-256"),
        (lambda v: v["sha256"].clear(), "SHA-256"),
    ],
)  # fmt: skip
def test_a_description_that_was_tampered_with_is_refused(copy: Path, change: Any, words: str) -> None:
    edit(copy, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(copy)


def not_finite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["network.encoder.linear.weight"][0, 0] = float("nan")


def infinite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["0.rows"][0, 0] = float("inf")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (MODEL, not_finite, "network.encoder.linear.weight holds values that are not finite"),
        (MODEL, lambda t: t.pop("network.encoder.linear.weight"), "encoder.linear.weight is absent, expected float32"),
        (MODEL, lambda t: t.update({"network.x": torch.ones(1)}), r"network.x is float32 \(1,\), expected absent"),
        (MODEL, lambda t: t.update({"network.norm_std": torch.tensor(0.0)}), "norm_std is 0.0"),
        (MODEL, lambda t: t.update({"network.norm_std": torch.tensor(1)}), "int64"),
        (MODEL, lambda t: t.update({"views.warp_source": torch.ones(1)}), "do not agree"),
        (SUPPORT, infinite, "0.rows holds values that are not finite"),
        (SUPPORT, lambda t: t.update({"0.prototype": t["1.prototype"].clone()}), "is not the mean of its clips"),
        (SUPPORT, lambda t: t.update({"0.rows": t["0.rows"][:-1].clone()}), "expected float32"),
        (SUPPORT, lambda t: t.update({"0.rows": t["0.rows"].double()}), "float64"),
        (SUPPORT, lambda t: t.update({"../x": torch.ones(1)}), "holds 7 tensors, expected 6"),
    ],
)
def test_tensors_that_were_tampered_with_are_refused(copy: Path, name: str, change: Any, words: str) -> None:
    edit_tensors(copy, name, change)
    with pytest.raises(DataError, match=words):
        Recognizer.load(copy)


def test_frozen_views_that_were_tampered_with_are_refused(
    run_of: Callable[[str], Path], recordings: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    enrolled(Recognizer.from_run(run_of("attention")), recordings).save(folder)
    for change, words in (
        (lambda t: t.pop("views.warp_source"), "warp_source"),
        (lambda t: t.update({"views.warp_source": torch.ones(3, dtype=torch.int64)}), "expected 1 rows"),
        (lambda t: t.update({"views.other": torch.ones(1)}), "other"),
    ):
        copy = Path(shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True))
        edit_tensors(copy, MODEL, change)
        with pytest.raises(DataError, match=words):
            Recognizer.load(copy)


@pytest.mark.parametrize("name", [JSON, MODEL, SUPPORT])
def test_files_that_are_missing_cut_off_or_damaged_are_refused(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    damaged = bytes([whole[0] ^ 1]) + whole[1:]
    for bytes_left in (whole[: len(whole) // 2], b"", damaged, b"\x80\x04K\x01."):
        (copy / name).write_bytes(bytes_left)
        with pytest.raises(DataError, match=name):
            Recognizer.load(copy)
    (copy / name).unlink()
    with pytest.raises(DataError, match=name):
        Recognizer.load(copy)


def test_deep_json_is_refused(copy: Path) -> None:
    (copy / JSON).write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read"):
        Recognizer.load(copy)


def test_saving_replaces_a_bundle_and_nothing_else(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "deep" / "bundle"
    recognizer.save(place)
    recognizer.enroll("new", sound(1, 1))
    recognizer.save(place)
    assert Recognizer.load(place).classes == recognizer.classes
    assert [path.name for path in place.parent.iterdir()] == ["bundle"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(DataError, match="is no recognizer: it will not be replaced"):
        recognizer.save(tmp_path / "mine")
    with pytest.raises(DataError, match="is no recognizer"):
        recognizer.save(tmp_path / "mine" / "diary.txt")
    (tmp_path / "empty").mkdir()
    recognizer.save(tmp_path / "empty")
    assert Recognizer.load(tmp_path / "empty").classes == recognizer.classes


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("step", ["_write_tensors", "write_json", "replace_folder"])
def test_a_save_that_fails_leaves_the_old_bundle(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, exchange: bool
) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    recognizer.enroll("new", sound(1, 1))
    if not exchange:
        monkeypatch.setattr(exchange_module, "exchange", lambda *_: False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(write, step, full)
        with pytest.raises(OSError, match="No space"):
            recognizer.save(place)
    assert "new" not in Recognizer.load(place).classes
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    recognizer.save(place)
    assert "new" in Recognizer.load(place).classes
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
