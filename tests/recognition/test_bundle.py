"""Bundles: whole or not at all, and refused with the reason if they are anything else."""

import hashlib
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from filelock import FileLock

from fewshot_audio import Recognizer
from fewshot_audio.errors import DataError, WriteError
from fewshot_audio.recognition.bundle import BundleChanged, write
from fewshot_audio.recognition.bundle import read as bundle_read
from fewshot_audio.recognition.bundle.schema import config_hash
from fewshot_audio.recognition.clips import LoadedClip
from tests.disks import file_size_limit
from tests.recognition.conftest import enrolled
from tests.recognition.sounds import sound, write_wav

JSON, LOCK, MODEL, SUPPORT = "recognizer.json", ".recognizer.lock", "model", "support"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    values = json.loads((folder / JSON).read_text())
    change(values)
    (folder / JSON).write_text(json.dumps(values))


def tensors_of(folder: Path, role: str) -> Path:
    (path,) = folder.glob(f"{role}-*.safetensors")
    return path


def edit_tensors(folder: Path, role: str, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change tensors as somebody would who also corrects the hash."""
    path = tensors_of(folder, role)
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    content = safetensors.torch.save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    path.unlink()
    (folder / f"{role}-{digest[:16]}.safetensors").write_bytes(content)
    edit(folder, lambda values: values["sha256"].update({role: digest}))


def test_a_bundle_holds_three_files_and_no_pickle(bundle: Path, run_of: Callable[[str], Path]) -> None:
    described = json.loads((bundle / JSON).read_text())
    digests = described["sha256"]
    names = [f"{role}-{digests[role][:16]}.safetensors" for role in (MODEL, SUPPORT)]
    assert sorted(path.name for path in bundle.iterdir()) == sorted([LOCK, JSON, *names])
    for role, name in zip((MODEL, SUPPORT), names, strict=True):
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digests[role]
    assert (described["format"], described["revision"]) == (2, 1)
    assert [entry["name"] for entry in described["classes"]] == ["class 0", "class 4", "class 8"]
    assert described["calibration"]["false_alarm"] == 0.05
    assert described["training_config_sha256"] == config_hash(*configs(run_of("plain")))
    assert set(described["versions"]) >= {"fewshot_audio", "torch", "numpy"}
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in bundle.iterdir() if path.name != LOCK)


def configs(run: Path) -> Any:
    from fewshot_audio.experiments.run_folder import Run

    read = Run.read(run)
    return read.experiment, read.model


def no_class(values: Any) -> None:
    values["classes"][0]["clips"] = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(format=3), "format 3, but this version of fewshot-audio reads up to 2: upgrade"),
        (lambda v: v.update(format=1), "sha256 has"),
        (lambda v: v.update(format=True), "format is True, expected a number"),
        (lambda v: v.update(revision=-1), "revision: Input should be greater than or equal to 0"),
        (lambda v: v.update(kind="something"), "not a recognizer"),
        (lambda v: v.update(more=1), "more: Extra inputs are not permitted"),
        (lambda v: v.pop("views"), "views: Field required"),
        (no_class, r"classes\.0\.clips: List should have at least 1 item"),
        (lambda v: v["classes"][1].update(name="class 0"), "class 'class 0' is there twice"),
        (lambda v: v["classes"][1].update(name=" "), "not blank"),
        (lambda v: v["classes"][1].update(name="\ud800"), "no text"),
        (lambda v: v["classes"][1]["clips"][0].update(name="\udfff"), "without a usable name"),
        (lambda v: v["classes"][1]["clips"][0].update(name="a" * 1101), "without a usable name"),
        (lambda v: v["classes"].pop(), "holds 9 tensors, expected 4 to 6"),
        (lambda v: v["classes"][0]["clips"][0].update(segments=7), "expected float32"),
        (lambda v: v["classes"][0]["clips"][0].update(segments=10**15), "expected float32"),
        (lambda v: v["calibration"].update(temperature=0.0), "calibration.temperature: Input should be greater than 0"),
        (lambda v: v["calibration"].update(threshold=float("nan")), "NaN is not a finite number"),
        (lambda v: v["preprocessing"].update(sample_rate=10**9), "preprocessing.sample_rate"),
        (lambda v: v["preprocessing"].update(segment_seconds=600.0, sample_rate=700_000), "samples of a segment: 420"),
        (lambda v: v["preprocessing"].update(segment_seconds=500.0, hop_length=1), "frames x mel bins of a segment"),
        (lambda v: v["model"].update(members=10**9), "model.members: 1000000000, expected at most 64"),
        (lambda v: v["model"]["Hybrid"].update(hidden_channels=10**7), "model.Hybrid.hidden_channels: 10000000"),
        (lambda v: v["model"]["Hybrid"].update(hidden_channels=10**6), "activations of a segment"),
        (lambda v: v["model"]["Hybrid"].update(hidden_channels=10**5), "weights of the network: 2"),
        (lambda v: v["model"]["Hybrid"].update(hidden_channels=16), "network.encoder.blocks.0"),
        (lambda v: v["model"]["Hybrid"].update(seq_layers=10**9), "model.Hybrid.seq_layers: 1000000000, expected"),
        (lambda v: v["model"]["Hybrid"].update(out_dim=16), "expected float32"),
        (lambda v: v["model"]["Hybrid"].update(out_dim=10**400), "model.Hybrid.out_dim: a number of 1329 bits"),
        (lambda v: v["model"]["Hybrid"].update(out_dim=8.0), "model.Hybrid.out_dim: Input should be a valid integer"),
        (lambda v: v["model"]["Attention"].update(ffn_dim=2**30), "model.Attention.ffn_dim: 1073741824"),
        (lambda v: v["classes"][0].update(extra=1), r"classes\.0\.extra: Extra inputs"),
        (lambda v: v["experiment"].update(encoder_name="pickle"), "experiment.encoder_name"),
        (lambda v: v["experiment"].update(use_attention=True), "use_attention is true"),
        (lambda v: v["sha256"].update({MODEL: "0" * 64}), "model-0000000000000000.safetensors: missing"),
        (lambda v: v["sha256"].update({MODEL: v["sha256"][MODEL][:-1] + "g"}), "sha256.model: String should match"),
        (lambda v: v["sha256"].update({MODEL: v["sha256"][MODEL][:16] + "0" * 48}), "SHA-256 is not the one"),
        (lambda v: v["sha256"].update(other="0" * 64), "sha256 has"),
        (lambda v: v["sha256"].clear(), "sha256 has"),
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
        (MODEL, lambda t: t.update({"other.x": torch.ones(1)}), "has the tensor 'other.x'"),
        (MODEL, lambda t: t.update({"network.x": torch.ones(1 << 23)}), "bytes, expected at most"),
        (SUPPORT, lambda t: t.update({"0.rows": t["0.rows"] * 1e18}), "numbers above 1e"),
        (SUPPORT, infinite, "0.rows holds values that are not finite"),
        (SUPPORT, lambda t: t.update({"0.prototype": t["1.prototype"].clone()}), "is not the mean of its clips"),
        (SUPPORT, lambda t: t.update({"0.rows": t["0.rows"][:-1].clone()}), "expected float32"),
        (SUPPORT, lambda t: t.update({"0.rows": t["0.rows"].double()}), "float64"),
        (SUPPORT, lambda t: t.update({"../x": torch.ones(1)}), "holds 10 tensors, expected 6 to 9"),
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
        (lambda t: t.update({"views.warp_source": torch.ones(3, dtype=torch.int64)}), r"\(3,\), expected int64 \(1,\)"),
        (lambda t: t.update({"views.warp_source": torch.ones(1)}), "float32"),
        (lambda t: t.update({"views.warp_shift": torch.full((1,), 2**40)}), "views.warp_shift is outside of"),
        (lambda t: t["views.time_width"].fill_(-(2**60)), "views.time_width is outside of"),
        (lambda t: t.update({"views.other": torch.ones(1)}), "other"),
        (lambda t: t.update({"views.extra.0.on": torch.ones(1)}), "views.extra.0.on is of no transform"),
    ):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        copy = Path(shutil.copytree(folder, tmp_path / "copy"))
        edit_tensors(copy, MODEL, change)
        with pytest.raises(DataError, match=words):
            Recognizer.load(copy)


@pytest.mark.parametrize("which", [JSON, MODEL, SUPPORT])
def test_files_that_are_missing_cut_off_or_damaged_are_refused(copy: Path, which: str) -> None:
    path = copy / JSON if which == JSON else tensors_of(copy, which)
    whole = path.read_bytes()
    damaged = bytes([whole[0] ^ 1]) + whole[1:]
    for bytes_left in (whole[: len(whole) // 2], b"", damaged, b"\x80\x04K\x01."):
        path.write_bytes(bytes_left)
        with pytest.raises(DataError, match=path.name):
            Recognizer.load(copy)
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        Recognizer.load(copy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "not readable JSON"),
        ('{"kind": 1, "kind": 1}', "'kind' appears twice"),
        ("[]", "expected a JSON"),
    ],
)
def test_json_that_is_no_description_is_refused(copy: Path, text: str, words: str) -> None:
    (copy / JSON).write_text(text)
    with pytest.raises(DataError, match=words):
        Recognizer.load(copy)


def test_a_key_that_is_there_twice_is_refused(copy: Path) -> None:
    text = (copy / JSON).read_text()
    (copy / JSON).write_text(text.replace('"temperature"', '"temperature": 1.0, "temperature"', 1))
    with pytest.raises(DataError, match="'temperature' appears twice"):
        Recognizer.load(copy)


def huge(tensors: dict[str, torch.Tensor]) -> None:
    tensors["network.encoder.linear.weight"].fill_(3e38)


def overflowing(tensors: dict[str, torch.Tensor]) -> None:
    tensors["network.norm_std"].fill_(1e-38)


@pytest.mark.parametrize("change", [huge, overflowing])
def test_an_answer_is_never_nan(copy: Path, change: Any) -> None:
    edit_tensors(copy, MODEL, change)
    recognizer = Recognizer.load(copy)
    enroll = partial(recognizer.enroll, "new")
    for work in (recognizer.classify, recognizer.embed, enroll):
        with pytest.raises(DataError, match="not finite"):
            work(sound(1, 1), rate=16_000)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_saving_replaces_a_bundle_and_nothing_else(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "deep" / "bundle"
    recognizer.save(place)
    own = {"notes.txt": "dear", "model.safetensors": "mine", "door.wav": "RIFF", ".mine.tmp": "draft"}
    for name, text in own.items():
        (place / name).write_text(text)
    (place / "recordings").mkdir()
    recognizer.enroll("new", sound(1, 1), rate=16_000)
    recognizer.save(place)
    assert Recognizer.load(place).classes == recognizer.classes
    assert names(place.parent) == ["bundle"]
    assert {name: (place / name).read_text() for name in own} == own
    description = json.loads((place / JSON).read_text())
    tensors = [f"{role}-{digest[:16]}.safetensors" for role, digest in description["sha256"].items()]
    assert names(place) == sorted([*own, *tensors, JSON, LOCK, "recordings"])  # former tensors are gone
    assert description["revision"] == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(DataError, match="is no recognizer: it will not be replaced"):
        recognizer.save(tmp_path / "mine")
    with pytest.raises(DataError, match="is no recognizer"):
        recognizer.save(tmp_path / "mine" / "diary.txt")
    assert names(tmp_path / "mine") == ["diary.txt"]
    (tmp_path / "empty").mkdir()
    recognizer.save(tmp_path / "empty")
    assert Recognizer.load(tmp_path / "empty").classes == recognizer.classes


def test_what_killed_saves_left_is_removed_by_the_next_one(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    place.mkdir()
    leftovers = [place / ".fewshot-audio-abcdefgh.tmp", place / f"support-{'0' * 16}.safetensors"]
    former = tmp_path / ".bundle.ab_12345.tmp"  # as version 0.1 wrote bundles
    former.mkdir()
    leftovers += [former / "model.safetensors", former / JSON]
    own = tmp_path / ".bundle.diary123.tmp"
    own.mkdir()
    for path in (*leftovers, own / "diary.txt"):
        path.write_text("x")
    (tmp_path / ".bundle.filename.tmp").write_text("mine")
    recognizer.save(place)
    assert Recognizer.load(place).classes == recognizer.classes
    assert names(tmp_path) == [".bundle.diary123.tmp", ".bundle.filename.tmp", "bundle"]
    assert len(names(place)) == 4


def test_a_damaged_file_of_tensors_is_written_again(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    path = tensors_of(place, MODEL)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    recognizer.save(place)
    assert Recognizer.load(place).classes == recognizer.classes


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("step", ["write_bytes", "write_json"])
def test_a_save_that_fails_leaves_what_there_was(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, is_new: bool
) -> None:
    place = tmp_path / "bundle"
    if not is_new:
        recognizer.save(place)
    before = {path.name: path.read_bytes() for path in place.iterdir()} if not is_new else {}
    recognizer.enroll("new", sound(1, 1), rate=16_000)

    def full(*_: object, **__: object) -> None:
        raise WriteError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(write, step, full)
        with pytest.raises(WriteError, match="No space"):
            recognizer.save(place)
    if is_new:
        assert names(tmp_path) == []
    else:
        assert {path.name: path.read_bytes() for path in place.iterdir()} == before
        assert "new" not in Recognizer.load(place).classes
    recognizer.save(place)
    assert "new" in Recognizer.load(place).classes
    assert names(tmp_path) == ["bundle"]


def test_a_limit_on_file_sizes_is_told(recognizer: Recognizer, tmp_path: Path) -> None:
    """The system's own error, through safetensors and the file object."""
    problem = r"bundle/model-\w{16}\.safetensors: cannot be written: File too large"
    with file_size_limit(1000), pytest.raises(WriteError, match=problem):
        recognizer.save(tmp_path / "bundle")
    assert names(tmp_path) == []


# -- two writers -------------------------------------------------------------------------------------------------------


def test_what_another_program_saved_is_not_overwritten(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    first, second = Recognizer.load(place), Recognizer.load(place)
    first.enroll("of the first", sound(1, 1), rate=16_000)
    second.enroll("of the second", sound(2, 1), rate=16_000)
    second.remove("class 4")
    first.save(place)
    assert first.is_current(place)
    assert not second.is_current(place)
    with pytest.raises(BundleChanged, match="another program has changed this recognizer"):
        second.save(place)
    second.refresh(place)
    assert second.classes == ["class 0", "class 8", "of the first", "of the second"]
    second.save(place)
    assert Recognizer.load(place).classes == second.classes
    first.refresh(place)
    assert first.classes == second.classes


def test_changes_can_be_dropped_when_reading_again(recognizer: Recognizer, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    other = Recognizer.load(place)
    other.rename("class 0", "zero")
    other.save(place)
    recognizer.enroll("kept", sound(1, 1), rate=16_000)
    recognizer.rename("class 0", "nought")
    with pytest.raises(DataError, match="'class 0' is not enrolled"):
        recognizer.refresh(place)
    assert "nought" in recognizer.classes
    recognizer.refresh(place, undo=1)
    assert recognizer.classes == ["zero", "class 4", "class 8", "kept"]
    recognizer.save(place)


def test_clips_are_not_joined_with_another_network(
    recognizer: Recognizer, run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    stranger = Recognizer.from_run(run_of("attention"))
    stranger.save(place)  # not loaded from there: it replaces what there is
    recognizer.refresh(place)  # nothing of its own to keep
    assert recognizer.classes == []
    recognizer.save(place)
    Recognizer.from_run(run_of("plain")).save(place)
    recognizer.enroll("new", sound(1, 1), rate=16_000)
    with pytest.raises(DataError, match="holds another network now"):
        recognizer.refresh(place)


def test_a_writer_waits_for_the_lock_and_then_says_so(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "bundle"
    recognizer.save(place)
    monkeypatch.setattr("fewshot_audio.recognition.bundle.folder.LOCK_SECONDS", 0.1)
    with FileLock(place / LOCK), pytest.raises(DataError, match="another program is writing this recognizer"):
        recognizer.save(place)
    recognizer.save(place)


def test_a_reader_meets_a_writer(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensors that a description names are gone when they are read: the new description is read instead."""
    place = Path(shutil.copytree(bundle, tmp_path / "copy"))
    writer = Recognizer.load(place)
    read, calls = bundle_read.read_description, iter(range(10))

    def slow(folder: Path) -> Any:
        description = read(folder)
        if next(calls) == 0:
            writer.remove("class 0")
            writer.save(folder)
        return description

    monkeypatch.setattr(bundle_read, "read_description", slow)
    assert Recognizer.load(place).classes == ["class 4", "class 8"]


NAMES = [
    "Recording 3.45\u202fPM.wav",
    "a\tb\nc",
    "می\u200cخواهم",  # noqa: RUF001 - Persian
    "👨\u200d👩\u200d👧",
    " blanks around ",
    "a\x1b[31mred",
    "Gru\u0308nspecht",
    "=1+1",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_saved_can_be_loaded(recognizer: Recognizer, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.wav"
    write_wav(path, sound(1, 1))
    recognizer.enroll(name, path)
    recognizer.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.classes[-1] == unicodedata.normalize("NFC", name)
    assert [clip.name for clip in loaded.clips(name)] == [path.name]
    loaded.rename(unicodedata.normalize("NFD", name), "plain")
    assert loaded.classes[-1] == "plain"


def test_a_clip_whose_name_is_no_text_is_enrolled(recognizer: Recognizer, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    write_wav(tmp_path / "a.wav", sound(1, 1)).rename(path)
    recognizer.enroll("new", path)
    recognizer.save(tmp_path / "bundle")
    assert [clip.name for clip in Recognizer.load(tmp_path / "bundle").clips("new")] == ["caf\\xe9.wav"]


def test_the_longest_name_of_a_file_can_be_saved_twice(recognizer: Recognizer, tmp_path: Path) -> None:
    name = b"\xe9" * 251 + b".wav"
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    write_wav(tmp_path / "a.wav", sound(1, 1)).rename(path)
    recognizer.enroll("new", [path, path])
    recognizer.save(tmp_path / "bundle")
    text = "\\xe9" * 251 + ".wav"
    assert [clip.name for clip in Recognizer.load(tmp_path / "bundle").clips("new")] == [text, f"{text} (2)"]


@pytest.mark.parametrize("name", ["a" * 1051, "\udce9"])
def test_a_clip_name_that_could_not_be_loaded_is_refused(recognizer: Recognizer, name: str) -> None:
    clip = LoadedClip.of(sound(1, 1), recognizer.preprocessing, name)
    with pytest.raises(DataError, match="clip 1: its name is not text of at most 1050 characters"):
        recognizer.enroll("new", clip, rate=16_000)


def test_a_class_of_another_system_is_the_same_class(recognizer: Recognizer) -> None:
    recognizer.enroll("Gr\u00fcnspecht", sound(1, 1), rate=16_000)
    recognizer.enroll("Gru\u0308nspecht", sound(2, 1), rate=16_000)
    assert len(recognizer.classes) == 4
    assert len(recognizer.clips("Gru\u0308nspecht")) == 2


def test_a_copy_that_is_gone_keeps_no_changes(bundle: Path, tmp_path: Path) -> None:
    """A downloaded bundle is saved into a folder that is removed."""
    place = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    recognizer = Recognizer.load(place)
    recognizer.save(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy")
    recognizer.enroll("new", sound(1, 1), rate=16_000)
    recognizer.save(place)
    assert recognizer._log._changes == []
