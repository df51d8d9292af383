"""Recognizers that decide with frozen encoders beside their network."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import soundfile
import torch

from fewshot_audio import Recognizer
from fewshot_audio.audio.timbre import TIMBRE_WIDTH
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.experiments.run_folder import Run
from fewshot_audio.models.frozen.check import CheckedEncoder
from fewshot_audio.models.frozen.installed import encoders_folder, install, installed_encoder
from fewshot_audio.recognition.decision.encoder_choice import choose_encoders
from fewshot_audio.recognition.decision.examples import Examples
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.onnx import export_onnx
from fewshot_audio.runtime.tensor_file import save_tensors
from tests.recognition import recognizers
from tests.recognition.recognizers import CLASSES, PREPROCESSING, SAMPLES, Sound, sound
from tests.shell import Shell, shell
from tests.tiny import tiny_configs
from tests.tiny_encoders import WIDTH, describe, expected_steps, install_tiny, write_encoder

__all__ = ["shell"]
RATE = PREPROCESSING.sample_rate


@pytest.fixture(autouse=True)
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with two encoders, "tiny" and "other"."""
    folder = tmp_path / "user data"
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(folder / name))
    install_tiny(sample_rate=16_000)
    install_tiny("other", seed=5, sample_rate=16_000)
    return folder


def recognizer(*names: str, head: str | None = "both", embed: bool = False) -> Recognizer:
    own = recognizers.recognizer(head=head, enrolled=False)  # type: ignore[arg-type]
    own.use_encoders(names, embed=embed)
    for kind, name in enumerate(CLASSES):
        own.enroll(name, [sound(kind, seed) for seed in range(4)], rate=RATE)
    return own


CLIPS = [sound(kind, 100 + seed) for kind in range(3) for seed in range(3)]


def beep(seed: int) -> Sound:
    """A sound of no class: a high tone that stops and begins again."""
    time = np.arange(SAMPLES) / RATE
    noise = np.random.default_rng((7, seed)).normal(size=SAMPLES)
    return np.asarray(np.sin(2 * np.pi * (3000 + 10 * seed) * time) * (time % 0.2 < 0.1) + 0.01 * noise, np.float32)


NEIGHBORS = [beep(seed) for seed in range(3)]


def test_clips_keep_the_encoders_rows_of_their_own_sound() -> None:
    own = recognizer("tiny")
    own.enroll("short", [sound(0, 7, SAMPLES // 2)], rate=RATE)
    clips = own.snapshot().classes["short"].clips
    samples = sound(0, 7, SAMPLES // 2)
    normalized = (samples - samples.mean()) / samples.std()
    assert clips[0].encoded["tiny"] == pytest.approx(expected_steps(normalized).mean(axis=0)[None], abs=1e-4)


@pytest.mark.parametrize("head", ["both", "embedding", "timbre", "prototypes"])
def test_encoders_count_in_the_heads_that_embeddings_count_in(head: str) -> None:
    own, plain = recognizer("tiny", "other", head=head), recognizer(head=head)
    counts = head in ("both", "embedding")
    assert own.snapshot().encoders == (["other", "tiny"] if counts else [])
    assert np.array_equal(own.predict_proba(CLIPS, rate=RATE), plain.predict_proba(CLIPS, rate=RATE)) == (not counts)


def test_a_bundle_answers_as_before_saving(tmp_path: Path) -> None:
    own = recognizer("tiny", "other")
    own.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.encoder_names == ["other", "tiny"]
    assert loaded.classify(CLIPS, rate=RATE) == own.classify(CLIPS, rate=RATE)
    loaded.enroll("new", [sound(1, 50), sound(1, 51)], rate=RATE)
    loaded.save(tmp_path / "bundle")
    assert Recognizer.load(tmp_path / "bundle").classify(CLIPS, rate=RATE) == loaded.classify(CLIPS, rate=RATE)
    assert not list((tmp_path / "bundle").glob("*.onnx"))


def test_the_order_in_which_encoders_are_named_changes_nothing(tmp_path: Path) -> None:
    own = recognizer("tiny", "other")
    answers = own.classify(CLIPS, rate=RATE)
    own.use_encoders(["other", "tiny"])
    own.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.classify(CLIPS, rate=RATE) == answers
    loaded.use_encoders(["tiny", "other"])
    loaded.save(tmp_path / "bundle")
    assert Recognizer.load(tmp_path / "bundle").classify(CLIPS, rate=RATE) == answers


def test_a_bundle_without_encoders_has_no_section_of_them(tmp_path: Path) -> None:
    recognizer().save(tmp_path / "bundle")
    assert "encoders" not in json.loads((tmp_path / "bundle" / "recognizer.json").read_text())


def test_a_missing_encoder_is_named_with_the_ways_to_get_it(tmp_path: Path, user_data: Path) -> None:
    recognizer("tiny").save(tmp_path / "plain")
    recognizer("tiny", embed=True).save(tmp_path / "with file")
    digest = installed_encoder("tiny").digest
    (encoders_folder() / "tiny").rename(user_data / "away")
    with pytest.raises(DataError, match=rf"needs the encoder 'tiny' \(digest {digest}\).*--from-file FILE"):
        Recognizer.load(tmp_path / "plain")
    with pytest.raises(DataError, match=rf"add tiny --from-bundle .*with file --allow-encoder {digest}"):
        Recognizer.load(tmp_path / "with file")


def test_an_encoder_is_found_by_its_digest_whatever_it_is_called_here(tmp_path: Path) -> None:
    own = recognizer("tiny")
    own.save(tmp_path / "bundle")
    folder = encoders_folder()
    description = json.loads((folder / "tiny" / "encoder.json").read_text())
    (folder / "tiny").rename(folder / "mine")
    (folder / "mine" / "encoder.json").write_text(json.dumps(description | {"name": "mine"}))
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.classify(CLIPS, rate=RATE) == own.classify(CLIPS, rate=RATE)
    loaded.save(tmp_path / "again")
    assert Recognizer.load(tmp_path / "again").classify(CLIPS, rate=RATE) == own.classify(CLIPS, rate=RATE)


def test_an_encoder_that_is_called_otherwise_here_is_put_into_a_bundle(tmp_path: Path, shell: Shell) -> None:
    recognizer("tiny").save(tmp_path / "bundle")
    folder = encoders_folder()
    description = json.loads((folder / "tiny" / "encoder.json").read_text())
    (folder / "tiny").rename(folder / "mine")
    (folder / "mine" / "encoder.json").write_text(json.dumps(description | {"name": "mine"}))
    outcome = shell("enroll", tmp_path / "bundle", "--embed-encoder")
    assert outcome.code == 0, outcome.err
    loaded = Recognizer.load(tmp_path / "bundle")
    assert (loaded.encoder_names, loaded.encoders.embed) == (["tiny"], True)


def test_another_encoder_of_that_name_is_not_taken(tmp_path: Path) -> None:
    recognizer("tiny").save(tmp_path / "bundle")
    (encoders_folder() / "tiny" / "encoder.json").unlink()
    install_tiny(seed=3, sample_rate=16_000)
    with pytest.raises(DataError, match="needs the encoder 'tiny'"):
        Recognizer.load(tmp_path / "bundle")


def test_an_embedded_encoder_is_used_once_it_is_allowed(tmp_path: Path, user_data: Path, shell: Shell) -> None:
    own, bundle = recognizer("tiny", embed=True), tmp_path / "bundle"
    own.save(bundle)
    Recognizer.load(bundle).save(bundle)
    assert len(list(bundle.glob("encoder-*.onnx"))) == 1
    digest = installed_encoder("tiny").digest
    (encoders_folder() / "tiny").rename(user_data / "away")
    add = ("encoders", "add", "tiny", "--from-bundle", bundle, "--allow-encoder")
    refused = shell(*add, "0" * 64)
    assert refused.code == 1
    assert f"the digest of 'tiny' is {digest}" in refused.err
    assert shell(*add, digest).code == 0
    assert Recognizer.load(bundle).classify(CLIPS, rate=RATE) == own.classify(CLIPS, rate=RATE)


def test_an_embedded_file_that_was_exchanged_is_not_added(tmp_path: Path, shell: Shell) -> None:
    bundle = tmp_path / "bundle"
    recognizer("tiny", embed=True).save(bundle)
    (file,) = bundle.glob("encoder-*.onnx")
    file.write_bytes((encoders_folder() / "other" / "model.onnx").read_bytes())
    digest = installed_encoder("tiny").digest
    outcome = shell("encoders", "add", "tiny", "--from-bundle", bundle, "--allow-encoder", digest)
    assert outcome.code == 1
    assert "its SHA-256 is not the one that the bundle says" in outcome.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("1.encoder:tiny"), "holds .* tensors, expected"),
        (lambda t: t.update({"1.encoder:tiny": t["1.encoder:tiny"][1:]}), "expected float32"),
        (lambda t: t.pop("background.encoder:tiny"), "holds .* tensors, expected"),
        (lambda t: t.update({"background.encoder:tiny": t["background.encoder:tiny"][:, 1:]}), "expected float32"),
        (lambda t: t.update({"1.encoder:tiny": t["1.encoder:tiny"] * 1e30}), "numbers above"),
        (lambda t: t.update({"decision.encoder:tiny_mean": np.zeros(WIDTH + 1)}), "expected float64"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, change: object, message: str) -> None:
    bundle, own = tmp_path / "bundle", recognizer("tiny")
    own.enroll_background(NEIGHBORS, rate=RATE)
    own.save(bundle)
    description = json.loads((bundle / "recognizer.json").read_text())
    tensors = safetensors.numpy.load_file(bundle / f"support-{description['sha256']['support'][:16]}.safetensors")
    change(tensors)  # type: ignore[operator]
    content = safetensors.numpy.save(tensors)
    from fewshot_audio.models.frozen.conversion import sha256

    description["sha256"]["support"] = sha256(content)
    (bundle / f"support-{sha256(content)[:16]}.safetensors").write_bytes(content)
    (bundle / "recognizer.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match=message):
        Recognizer.load(bundle)


@pytest.mark.parametrize("head", ["both", "prototypes"])
def test_a_background_is_compared_where_encoders_count_and_a_bundle_keeps_that(tmp_path: Path, head: str) -> None:
    own, bundle = recognizer("tiny", "other", head=head), tmp_path / "bundle"
    before = own.classify(CLIPS, rate=RATE)
    own.enroll_background(NEIGHBORS, rate=RATE)
    asked = CLIPS + NEIGHBORS
    answers = own.classify(asked, rate=RATE)
    assert [answer.probabilities for answer in answers[: len(CLIPS)]] == [answer.probabilities for answer in before]
    for answer in answers[len(CLIPS) :]:  # they are in the background themselves: at no distance from it
        assert answer.label == UNKNOWN
        assert answer.background == pytest.approx(1.0, abs=1e-3)
    own.save(bundle)
    loaded = Recognizer.load(bundle)
    assert loaded.classify(asked, rate=RATE) == answers
    loaded.enroll_background(sound(2, 70), rate=RATE)
    loaded.save(bundle)
    assert Recognizer.load(bundle).classify(asked, rate=RATE) == loaded.classify(asked, rate=RATE) != answers


def test_distances_to_a_background_are_those_of_all_blocks() -> None:
    own = recognizer("tiny")
    own.enroll_background(NEIGHBORS, rate=RATE)
    enrolled = own.snapshot()
    assert enrolled.decision is not None
    model = enrolled.decision.model
    embedding, tiny = (len(model.standardizers[block].mean) for block in ("embedding", "encoder:tiny"))
    assert list(model.standardizers) == ["embedding", "timbre", "encoder:tiny"]
    assert enrolled.background.shape == (3, embedding + TIMBRE_WIDTH + tiny)
    rows = np.stack([np.abs(beep_steps(beep(seed))).mean(axis=0) for seed in range(3)])
    block = model.standardizers["encoder:tiny"]
    standard = np.clip((rows - block.mean) * block.scale, -5, 5) / np.sqrt(WIDTH) * 8.0
    assert enrolled.background[:, -WIDTH:] == pytest.approx(standard * model.distances.scale[-WIDTH:], abs=1e-3)


def beep_steps(samples: Sound) -> Sound:
    return expected_steps((samples - samples.mean()) / samples.std())


def test_the_background_keeps_rows_of_the_chosen_encoders_only(tmp_path: Path) -> None:
    own = recognizer("tiny", "other")
    own.enroll_background(NEIGHBORS, rate=RATE)
    assert own.choose_encoders()
    own.choose_head("both")
    answers = own.classify(CLIPS + NEIGHBORS, rate=RATE)
    assert [answer.label for answer in answers[len(CLIPS) :]] == [UNKNOWN] * 3
    assert {tuple(clip.encoded) for clip in own.snapshot().sounds.clips} == {tuple(own.encoder_names)}
    own.save(tmp_path / "bundle")
    assert Recognizer.load(tmp_path / "bundle").classify(CLIPS + NEIGHBORS, rate=RATE) == answers


def test_encoders_are_named_before_a_background_is_enrolled() -> None:
    own = recognizers.recognizer(enrolled=False)
    own.enroll_background(NEIGHBORS, rate=RATE)
    with pytest.raises(DataError, match=r"recordings of the background were embedded by no encoder, not by .* tiny"):
        own.use_encoders(["tiny"])
    own.remove_background()
    own.use_encoders(["tiny"])
    assert own.encoder_names == ["tiny"]


def test_a_background_does_not_move_to_a_bundle_with_other_encoders(tmp_path: Path) -> None:
    bundle, other = tmp_path / "bundle", recognizer("other")
    recognizer("tiny").save(bundle)
    own = Recognizer.load(bundle)
    own.enroll_background(NEIGHBORS, rate=RATE)
    other.save(bundle)
    with pytest.raises(DataError, match="has other encoders now"):
        own.refresh(bundle)
    assert own.encoder_names == ["tiny"]
    own.remove_background()
    own.refresh(bundle, undo=2)
    assert own.encoder_names == ["other"]
    assert own.classify(CLIPS, rate=RATE) == other.classify(CLIPS, rate=RATE)


def test_clips_of_other_encoders_do_not_mix() -> None:
    own = recognizer("tiny")
    with pytest.raises(DataError, match="embedded by the encoders tiny, not by no encoder"):
        own.use_encoders([])
    own.use_encoders(["tiny"], embed=True)
    with pytest.raises(ConfigError, match="'missing' is not installed"):
        own.use_encoders(["missing"])


def test_a_recognizer_with_encoders_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="decides with the encoders tiny"):
        export_onnx(recognizer("tiny"), tmp_path / "out.onnx")


def examples(good: float, seed: int = 0) -> Examples:
    """Clips of 5 classes x 6: a network that tells little, "good" that tells ``good``, and two of noise."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(5), 6)
    centers = {"embedding": 0.6, "timbre": 0.6, "encoder:good": good, "encoder:a": 0.0, "encoder:b": 0.0}
    features = {
        block: scale * random.normal(size=(5, 16))[labels] + random.normal(size=(30, 16))
        for block, scale in centers.items()
    }
    return Examples(features, np.arange(30), labels)


def test_the_encoder_that_tells_more_is_chosen_alone() -> None:
    candidates = choose_encoders(examples(3.0), ["encoder:a", "encoder:good", "encoder:b"])
    assert len(candidates) == 1 + 3 + 3
    assert [candidate.blocks for candidate in candidates if candidate.is_chosen] == [("encoder:good",)]


def test_no_encoder_is_chosen_if_none_tells_more() -> None:
    chosen = [next(c.blocks for c in choose_encoders(examples(0.0, seed), ["encoder:a", "encoder:b"]) if c.is_chosen)
              for seed in range(8)]  # fmt: skip
    assert chosen.count(()) >= 6


@pytest.fixture
def support(tmp_path: Path) -> Path:
    folder = tmp_path / "support"
    for kind in range(2):
        (folder / f"class {kind}").mkdir(parents=True)
        for seed in range(5):
            soundfile.write(folder / f"class {kind}" / f"{seed}.wav", sound(kind, seed, 16_000), 16_000)
    return folder


def test_enroll_names_encoders_and_its_bundle_is_used_by_classify(tmp_path: Path, support: Path, shell: Shell) -> None:
    bundle = tmp_path / "bundle"
    words = ("--encoder", '["tiny", "other"]', "--head", "both", "-o", bundle)
    assert shell("enroll", "--support", support, *words).code == 0
    assert Recognizer.load(bundle).encoder_names == ["other", "tiny"]
    outcome = shell("classify", bundle, support, "--format", "csv")
    assert outcome.code == 0
    in_windows = shell("classify", bundle, support, "--hop", 1)
    assert in_windows.code == 0
    file = support / "class 0" / "0.wav"
    assert shell("enroll", bundle, "--add", "class 0", file).code == 0
    assert shell("enroll", bundle, "--add", "class 0", file, "--encoder", "tiny").code == 1
    assert shell("enroll", bundle, "--background", file, "--ignore", "class 1").code == 0
    (recording,) = Recognizer.load(bundle).snapshot().sounds.background
    assert list(recording.encoded) == ["other", "tiny"]
    assert shell("classify", bundle, file, "--hop", 1).out.count("unknown") == 1


def test_enroll_auto_prints_how_each_set_did_and_keeps_the_choice(tmp_path: Path, support: Path, shell: Shell) -> None:
    bundle = tmp_path / "bundle"
    outcome = shell("enroll", "--support", support, "--encoder", "auto", "-o", bundle)
    assert outcome.code == 0, outcome.err
    for line in ("none", "tiny", "other", "other + tiny", "chosen", "ms"):
        assert line in outcome.out
    section = json.loads((bundle / "recognizer.json").read_text()).get("encoders")
    chosen = Recognizer.load(bundle).encoder_names
    assert [value["name"] for value in section["descriptions"]] == chosen if section else chosen == []


def test_enroll_auto_keeps_the_networks_own_features_if_there_is_nothing_to_judge_by(
    tmp_path: Path, support: Path, shell: Shell
) -> None:
    for clip in (support / "class 1").glob("[1-9].wav"):
        clip.unlink()
    bundle = tmp_path / "bundle"
    outcome = shell("enroll", "--support", support, "--encoder", "auto", "-o", bundle)
    assert outcome.code == 0, outcome.err
    assert "--encoder auto: too few clips to choose by" in outcome.err
    loaded = Recognizer.load(bundle)
    assert loaded.encoder_names == []
    assert {tuple(clip.encoded) for clip in loaded.snapshot().sounds.clips} == {()}


def test_a_run_and_a_file_are_encoders_beside_the_network(tmp_path: Path) -> None:
    experiment, model = tiny_configs()
    run = Run(
        tmp_path / "run-1", experiment, model, 0, (PREPROCESSING.n_mels, PREPROCESSING.frames), "", PREPROCESSING, {}
    )
    run.write()
    network = run.untrained_network().eval()
    network.set_normalization(-30.0, 20.0)
    save_tensors(run.folder / "model.pt", network.state_dict())
    path = write_encoder(tmp_path / "files", name="mine", file="mine.onnx", sample_rate=16_000)
    own = recognizer(f"run:{run.folder}", f"onnx:{path}")
    (name,) = set(own.encoder_names) - {"mine"}
    clip, samples = own.snapshot().classes[CLASSES[1]].clips[0], sound(1, 0)
    normalized = (samples - samples.mean()) / samples.std()
    features = network.normalize(torch.from_numpy(PREPROCESSING.features(normalized[None])))
    with torch.no_grad():
        expected = network.embed(features[:, None])[:, 0]
    assert clip.encoded[name] == pytest.approx(expected.numpy(), abs=1e-3)
    assert clip.encoded["mine"] == pytest.approx(expected_steps(normalized).mean(axis=0)[None], abs=1e-4)
    assert recognizer(f"run:{run.folder}").encoder_names == [name]  # which is there already


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--encoder", "auto", "--encoder", "tiny"), "name no others"),
        (("--encoder", "[tiny"), "not a JSON list"),
        (("--encoder", "[1]"), "expected names of encoders"),
        (("--encoder", "missing"), "is not installed"),
        (("--encoder", "run:missing"), "not a run folder"),
        (("--encoder", "onnx:missing.onnx"), "missing.json: cannot be read"),
        (("--embed-encoder",), "needs --encoder"),
    ],
)
def test_wrong_encoders_are_refused_before_any_work(
    tmp_path: Path, support: Path, shell: Shell, words: tuple[str, ...], message: str
) -> None:
    outcome = shell("enroll", "--support", support, "-o", tmp_path / "bundle", *words)
    assert outcome.code in (1, 2)
    assert message in outcome.err.replace("\n", " ")
    assert not (tmp_path / "bundle").exists()


def test_no_bundle_holds_a_tflite_file(tmp_path: Path, shell: Shell) -> None:
    install(CheckedEncoder(describe(name="lite", file="lite.tflite"), b"", "", 0.0))
    with pytest.raises(ConfigError, match="'lite' is a TFLite file, which a bundle cannot hold"):
        recognizer("lite", embed=True)
    recognizer("tiny", embed=True).save(tmp_path / "bundle")
    values = json.loads((tmp_path / "bundle" / "recognizer.json").read_text())
    values["encoders"]["descriptions"][0]["file"] = "tiny.tflite"
    (tmp_path / "bundle" / "recognizer.json").write_text(json.dumps(values))
    digest = installed_encoder("tiny").digest
    outcome = shell("encoders", "add", "tiny", "--from-bundle", tmp_path / "bundle", "--allow-encoder", digest)
    assert outcome.code == 1
    assert "expected no TFLite file, which a bundle cannot hold" in outcome.err
