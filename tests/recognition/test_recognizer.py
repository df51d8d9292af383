"""The recognizer: enrolling, answering, and what must not change."""

import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import fewshot_audio
from fewshot_audio import Recognizer
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.cli import main
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.store import SegmentStore
from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition.clips import LoadedClip, load_clips
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.scoring import PRIOR_CLIPS
from tests.recognition.conftest import enrolled
from tests.recognition.sounds import MODELS, PREPROCESSING, RATE, SEGMENT, sound, write_run, write_wav

RunOf = Callable[[str], Path]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_enrolls_answers_and_is_read_back(
    model: str, run_of: RunOf, data_root: Path, recordings: Path, tmp_path: Path
) -> None:
    recognizer = enrolled(Recognizer.from_run(run_of(model), data_root=data_root), recordings)
    clips = [sound(0, 1), sound(4, 2, 2.5), recordings / "class 8" / "0.wav"]
    answers = recognizer.classify(clips, rate=16_000)
    assert [answer.segments for answer in answers] == [1, 3, 1]
    if model != "relation":  # whose head knows nothing before it is trained
        assert answers[2].best == "class 8"
    probabilities = recognizer.predict_proba(clips, rate=16_000)
    assert probabilities.shape == (3, 3)
    assert probabilities.sum(1) == pytest.approx([1, 1, 1])
    assert [list(answer.probabilities.values()) for answer in answers] == probabilities.tolist()
    width = recognizer.embed(clips, rate=16_000).shape[1]
    assert [recognizer.support_embeddings(name).shape for name in recognizer.classes] == [
        (4, width),
        (2, width),
        (1, width),
    ]
    recognizer.save(tmp_path / "bundle")
    again = Recognizer.load(tmp_path / "bundle")
    assert again.classify(clips, rate=16_000) == answers
    assert np.array_equal(again.embed(clips, rate=16_000), recognizer.embed(clips, rate=16_000))
    assert again.diagnose() == recognizer.diagnose()
    another = enrolled(Recognizer.from_run(run_of(model), data_root=data_root), recordings)
    assert another.classify(clips, rate=16_000) == answers


def test_probabilities_votes_and_unknown_scores_are_those_of_plain_loops(recognizer: Recognizer) -> None:
    clip = sound(4, 7, 3)
    (loaded,) = load_clips(clip, PREPROCESSING, RATE)
    rows = recognizer.embedder.rows(recognizer.embedder.features(loaded.segments))[:, 0].astype(np.float64)
    assert recognizer.calibration is not None
    centers, expected = [], []
    for name in recognizer.classes:
        own = recognizer.support_embeddings(name).astype(float)
        center = sum(own) / len(own)
        spread = sum(float(np.sum((e - center) ** 2)) for e in own) + PRIOR_CLIPS * recognizer.calibration.scatter
        centers.append(center)
        expected.append(math.sqrt(spread / (len(own) - 1 + PRIOR_CLIPS) * (1 + 1 / len(own))))
    total, ballots = np.zeros(3), []
    for row in rows:
        scores = [-math.dist(row, center) for center in centers]
        weights = [math.exp(score / recognizer.temperature) for score in scores]
        total += np.array(weights) / sum(weights)
        ballots.append(scores.index(max(scores)))
    (answer,) = recognizer.classify(clip, rate=16_000)
    assert list(answer.probabilities.values()) == pytest.approx(total / len(rows), rel=1e-4)
    assert answer.best == recognizer.classes[max(ballots, key=ballots.count)]
    distance = min(math.dist(rows.mean(0), c) / r for c, r in zip(centers, expected, strict=True))
    assert answer.unknown_score == pytest.approx(distance, rel=1e-4)


def test_a_foreign_sound_is_unknown_and_the_score_does_not_count_classes(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).normal(size=SEGMENT)
    threshold = recognizer.unknown_threshold
    assert threshold is not None
    (before,) = recognizer.classify(sound(0, 100), rate=16_000)
    assert before.unknown_score <= threshold
    assert before.label == before.best == "class 0"
    for number in range(10):
        recognizer.enroll(f"far {number}", noise + sound(11, number), rate=16_000)
    (after,) = recognizer.classify(sound(0, 100), rate=16_000)
    assert after.unknown_score == before.unknown_score
    recognizer.calibration = recognizer.calibration.model_copy(update={"threshold": before.unknown_score * 0.999})  # type: ignore[union-attr]
    assert recognizer.predict(sound(0, 100), rate=16_000) == [UNKNOWN]
    assert recognizer.classify(sound(0, 100), rate=16_000)[0].best == "class 0"


def test_enrolling_replacing_and_removing_touch_no_other_class(recognizer: Recognizer, recordings: Path) -> None:
    def state() -> dict[str, bytes]:
        return {
            name: recognizer.support_embeddings(name).tobytes() + prototype.tobytes()
            for name, prototype in zip(recognizer.classes, recognizer.prototypes, strict=True)
        }

    before = state()
    recognizer.enroll("new", [sound(6, 0, 5), sound(6, 1)], rate=16_000)
    assert {name: state()[name] for name in before} == before
    recognizer.enroll("class 4", sound(6, 3), replace=True, rate=16_000)
    assert recognizer.clips("class 4") == [("clip 1", 1)]
    recognizer.enroll("class 4", recordings / "class 4" / "0.wav")
    assert [clip.name for clip in recognizer.clips("class 4")] == ["clip 1", "0.wav"]
    others = {name: state()[name] for name in ("class 0", "class 8")}
    assert others == {name: before[name] for name in others}
    recognizer.remove("new")
    recognizer.rename("class 0", "renamed")
    assert recognizer.classes == ["renamed", "class 4", "class 8"]
    assert state()["renamed"] == before["class 0"]
    recognizer.enroll("class 4", sorted((recordings / "class 4").iterdir()), replace=True)
    assert [state()[name] for name in recognizer.classes] == list(before.values())


def test_a_clip_of_a_class_can_be_removed(recognizer: Recognizer) -> None:
    expected = recognizer.support_embeddings("class 0")[[0, 2, 3]]
    recognizer.remove("class 0", "1.wav")
    assert np.array_equal(recognizer.support_embeddings("class 0"), expected)
    with pytest.raises(DataError, match=r"'class 0' has no clip '1\.wav'; it has 0\.wav, 2\.wav"):
        recognizer.remove("class 0", "1.wav")
    with pytest.raises(DataError, match="only clip of class 'class 8'"):
        recognizer.remove("class 8", "0.wav")


@pytest.mark.parametrize("model", ["plain", "attention"])
def test_a_clip_embeds_to_the_same_bits_in_any_company(model: str, run_of: RunOf, data_root: Path) -> None:
    recognizer = Recognizer.from_run(run_of(model), data_root=data_root)
    clips = [sound(number, 50, 1 + number % 3) for number in range(9)]
    together = recognizer.embed(clips, rate=16_000)
    assert np.array_equal(together, np.concatenate([recognizer.embed(clip, rate=16_000) for clip in clips]))
    assert np.array_equal(together[::-1], recognizer.embed(clips[::-1], rate=16_000))


def test_embeddings_are_transformed_as_in_testing(run_of: RunOf, data_root: Path) -> None:
    """Rows of length 1 about the center; a clip of one segment is its row."""
    recognizer = Recognizer.from_run(run_of("centered"), data_root=data_root)
    clips = [sound(pitch, 3) for pitch in range(4)]
    plain = Recognizer.from_run(run_of("plain"), data_root=data_root).embed(clips, rate=16_000)
    centered = plain - recognizer.network.center.numpy()
    np.testing.assert_allclose(
        recognizer.embed(clips, rate=16_000), centered / np.linalg.norm(centered, axis=1, keepdims=True), rtol=1e-5
    )


def test_files_arrays_and_pairs_are_the_same_clip(recognizer: Recognizer, tmp_path: Path) -> None:
    slow = sound(4, 9, 2.3)
    path = write_wav(tmp_path / "Slow.WAV", slow, 11_025)
    of_path = recognizer.embed(path)
    assert np.array_equal(of_path, recognizer.embed((slow, 11_025), rate=16_000))
    assert np.array_equal(of_path, recognizer.embed([str(path), (slow, 11_025)])[:1])
    array = sound(4, 9, 2.3)
    assert np.array_equal(recognizer.embed(array, rate=16_000), recognizer.embed((array.astype(np.float64), RATE)))
    assert np.array_equal(
        recognizer.embed(np.stack([array, -array]), rate=16_000), recognizer.embed([array, -array], rate=16_000)
    )


def test_a_loaded_clip_is_the_clip_and_takes_its_name_or_its_number(recognizer: Recognizer) -> None:
    clip = sound(4, 9, 2.3)
    loaded = LoadedClip.of(clip, PREPROCESSING)
    assert loaded.seconds == len(clip) / RATE
    assert recognizer.classify([clip, loaded], rate=16_000)[0] == recognizer.classify(loaded, rate=16_000)[0]
    assert np.array_equal(recognizer.embed(loaded, rate=16_000), recognizer.embed(clip, rate=16_000))
    recognizer.enroll("new", [clip, loaded, LoadedClip.of(clip, PREPROCESSING, "take")], rate=16_000)
    assert [info.name for info in recognizer.clips("new")] == ["clip 1", "clip 2", "take"]
    recognizer.enroll("new", [loaded, LoadedClip.of(clip, PREPROCESSING, "take")], rate=16_000)
    assert [info.name for info in recognizer.clips("new")][3:] == ["clip 1 (2)", "take (2)"]
    with pytest.raises(Rejected, match="silent"):
        LoadedClip.of(np.zeros(SEGMENT, np.float32), PREPROCESSING)
    foreign = LoadedClip("take", np.zeros((1, SEGMENT + 1), np.float32), 0.0, 1.0)
    with pytest.raises(DataError, match=rf"take: segments of shape \(1, {SEGMENT + 1}\), expected \(S, {SEGMENT}\)"):
        recognizer.embed(foreign, rate=16_000)


def test_answers_by_a_snapshot_do_not_see_later_changes(recognizer: Recognizer) -> None:
    before, snapshot = recognizer.classify(sound(0, 3), rate=16_000), recognizer.snapshot()
    recognizer.remove("class 0")
    assert list(recognizer.classify(sound(0, 3), rate=16_000)[0].probabilities) == ["class 4", "class 8"]
    ((clip, rows),) = recognizer.embedder.embed_clips(sound(0, 3), rate=16_000)
    assert recognizer.judge(snapshot, rows, len(clip.segments)) == before[0]


def test_features_are_those_of_preparation_bit_for_bit(
    recordings: Path, run_of: RunOf, data_root: Path, tmp_path: Path
) -> None:
    """The same recordings through ``prepare`` and its store, and through a recognizer that was read from a bundle."""
    source = tmp_path / "source"
    for number in range(15):
        for take in range(2):
            rate = 22_050 if take else RATE
            write_wav(source / f"c{number:02}" / f"{take}.wav", sound(number % 12, take, 1.7), rate)
    line = ["prepare", "folder", "--source", source, "--data-root", tmp_path / "data", "--workers", 1]
    with pytest.raises(SystemExit) as stop:
        main([*map(str, line)])
    assert not stop.value.code
    folder = DatasetFolder(tmp_path / "data" / "source")
    store = SegmentStore.open(folder)
    preprocessing = Preprocessing.from_json(folder.preprocessing.read_text())
    recognizer = Recognizer.from_run(write_run(tmp_path / "run", preprocessing=preprocessing))
    recognizer.enroll("a", sound(1, 1), rate=16_000)
    recognizer.save(tmp_path / "bundle")
    recognizer = Recognizer.load(tmp_path / "bundle")
    for class_name, clips in store.index.by_class.items():
        for clip in clips:
            path = source / class_name / f"{store.clips[clip]}.wav"
            (loaded,) = load_clips(path, recognizer.preprocessing)
            features = recognizer.embedder.features(loaded.segments)
            segments = np.array(store.index.segments(clip))
            assert features.tobytes() == store.read(segments).tobytes()
            (rows,) = recognizer.embedder.clip_rows([store.read(segments)])
            assert np.array_equal(recognizer.embed(path)[0], rows.mean(0))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "not blank"),
        (" \u3000", "not blank"),
        ("caf\udce9", "no text"),
        ("Unknown", "answer for sounds that are not enrolled"),
        ("x" * 201, "201 characters"),
    ],
)
def test_names_that_cannot_be_those_of_a_class_are_refused(recognizer: Recognizer, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        recognizer.enroll(name, sound(0, 0), rate=16_000)
    with pytest.raises(DataError, match=words):
        recognizer.rename("class 0", name)
    assert recognizer.classes == ["class 0", "class 4", "class 8"]


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        ("missing.wav", "missing.wav: missing"),
        (np.zeros(SEGMENT), "clip 1: silent"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.full(SEGMENT, np.nan), "clip 1: non finite"),
        (np.array(["a"]), "one axis of numbers"),
        (np.ones(10), "clip 1: too short"),
        ((np.ones(SEGMENT), 5), "clip 1: unreadable: sample rate 5 Hz"),
        ([3.0], "a clip of type float"),
        ([], "no clips to enroll"),
    ],
)
def test_clips_that_cannot_be_used_are_refused_with_the_reason(recognizer: Recognizer, clip: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        recognizer.enroll("new", clip, rate=16_000)
    assert recognizer.classes == ["class 0", "class 4", "class 8"]


def test_what_is_not_there_is_said(recognizer: Recognizer, run_of: RunOf, data_root: Path, tmp_path: Path) -> None:
    for call in (lambda: recognizer.remove("x"), lambda: recognizer.rename("x", "y"), lambda: recognizer.clips("x")):
        with pytest.raises(DataError, match=r"class 'x' is not enrolled .*'class 0', 'class 4', 'class 8'"):
            call()
    with pytest.raises(DataError, match="'class 4' is enrolled already"):
        recognizer.rename("class 0", "class 4")
    empty = Recognizer.from_run(run_of("plain"), data_root=data_root)
    with pytest.raises(DataError, match="no class is enrolled"):
        empty.predict(sound(0, 0), rate=16_000)
    with pytest.raises(DataError, match="not a run folder"):
        Recognizer.from_run(tmp_path)
    with pytest.raises(DataError, match="'Tiny' not found"):
        Recognizer.from_run(run_of("plain"), data_root=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(run_of: RunOf, bundle: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU is usable"):
        Recognizer.from_run(run_of("plain"), device="cuda")
    with pytest.raises(ConfigError, match="no GPU is usable"):
        Recognizer.load(bundle, device="cuda")


def test_without_its_dataset_a_run_is_not_calibrated(
    run_of: RunOf, recordings: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    recognizer = enrolled(Recognizer.from_run(run_of("plain")), recordings)
    assert "uncalibrated" in caplog.text
    assert recognizer.calibration is None
    assert recognizer.unknown_threshold is None
    assert recognizer.temperature == 1
    assert np.isfinite(recognizer.expected_distances).all()
    assert np.array_equal(recognizer.reaches, recognizer.expected_distances)  # its former name
    noise = np.random.default_rng(0).normal(size=SEGMENT)
    assert UNKNOWN not in recognizer.predict([noise, sound(2, 2)], rate=16_000)
    recognizer.save(tmp_path / "bundle")
    assert Recognizer.load(tmp_path / "bundle").classify(noise, rate=16_000) == recognizer.classify(noise, rate=16_000)


def test_diagnosis(recognizer: Recognizer) -> None:
    quiet = np.concatenate([sound(8, 3, 0.3), np.zeros(SEGMENT, np.float32)])
    recognizer.enroll("class 8", [quiet, sound(0, 100), sound(8, 5), sound(8, 6)], rate=16_000)
    recognizer.enroll("lonely", sound(10, 0), rate=16_000)
    recognizer.choose_head("prototypes")
    diagnosis = recognizer.diagnose()
    assert [(clip.class_name, clip.clip) for clip in diagnosis.silent] == [("class 8", "clip 1")]
    assert [(clip.clip, clip.duplicate_of) for clip in diagnosis.duplicates] == [("clip 2", "class 0/0.wav")]
    duplicate = next(clip for clip in diagnosis.clips if clip.duplicate_of)
    assert duplicate.answer == "class 0"
    assert diagnosis.class_accuracy["lonely"] is None
    comparable = [clip for clip in diagnosis.clips if clip.answer is not None]
    assert len(comparable) == 4 + 2 + 5
    assert diagnosis.accuracy == sum(clip.answer == clip.class_name for clip in comparable) / len(comparable)
    # one clip against the same computation by hand: class 0 without its second clip
    recognizer.remove("lonely")
    second = next(clip for clip in recognizer.diagnose().clips if (clip.class_name, clip.clip) == ("class 0", "1.wav"))
    own = recognizer.snapshot().classes["class 0"].clips[1]
    recognizer.remove("class 0", "1.wav")
    assert second.answer == recognizer.judge(recognizer.snapshot(), own.rows, own.segments).best


def test_colliding_classes_are_named(run_of: RunOf, data_root: Path) -> None:
    recognizer = Recognizer.from_run(run_of("plain"), data_root=data_root)
    recognizer.enroll("one", [sound(3, take) for take in range(5)], rate=16_000)
    recognizer.enroll("two", [sound(3, take) for take in range(5, 10)], rate=16_000)
    recognizer.enroll("other", [sound(11, take) for take in range(5)], rate=16_000)
    assert [(pair.first, pair.second) for pair in recognizer.diagnose().collisions] == [("one", "two")]


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, fewshot_audio; assert 'torch' not in sys.modules; fewshot_audio.__version__"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="nothing"):
        fewshot_audio.nothing  # noqa: B018


def test_int_samples_count_as_samples(recognizer: Recognizer, tmp_path: Path) -> None:
    pcm = np.asarray(sound(0, 3) * 20_000, np.int16)
    soundfile.write(tmp_path / "pcm.wav", pcm, RATE, subtype="PCM_16")
    assert recognizer.predict_proba(pcm, rate=16_000) == pytest.approx(
        recognizer.predict_proba(tmp_path / "pcm.wav"), abs=1e-5
    )


def test_blocks_that_are_padded_give_the_same_rows(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the same bits in any company, and the rows of single segments but for rounding."""
    clips = [sound(number, 50, 1 + number % 3) for number in range(5)]
    single = Recognizer.load(bundle).embed(clips, rate=16_000)
    monkeypatch.setattr("fewshot_audio.recognition.torch_embedder.CPU_BLOCK", 4)
    recognizer = Recognizer.load(bundle)
    together = recognizer.embed(clips, rate=16_000)
    assert np.array_equal(together, np.concatenate([recognizer.embed(clip, rate=16_000) for clip in clips]))
    np.testing.assert_allclose(together, single, rtol=1e-4, atol=1e-5)


def test_segments_side_by_side_are_those_one_after_another(bundle: Path) -> None:
    """Torch's own number of threads stays as it was, for this thread and for new ones."""
    recognizer = Recognizer.load(bundle)
    clips = [sound(number, 50, 1 + number % 3) for number in range(7)]
    alone = recognizer.embed(clips, rate=16_000)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert np.array_equal(recognizer.embed(clips, rate=16_000), alone)
        assert np.array_equal(recognizer.embed(clips[0], rate=16_000), alone[:1])
        with ThreadPoolExecutor(1) as pool:
            assert (torch.get_num_threads(), pool.submit(torch.get_num_threads).result()) == (3, 3)
    finally:
        torch.set_num_threads(before)


def test_channels_on_either_axis_are_mixed_down(recognizer: Recognizer) -> None:
    left, right = sound(0, 3), sound(4, 3)
    expected = recognizer.predict_proba([((left + right) / 2, RATE)])
    for stereo in (np.stack([left, right]), np.stack([left, right], axis=1)):
        assert recognizer.predict_proba([(stereo, RATE)]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(DataError, match="up to 32 channels"):
        recognizer.predict([(np.zeros((40, 40)), RATE)])


def test_it_says_what_it_is(recognizer: Recognizer) -> None:
    assert repr(recognizer) == "<Recognizer: 3 classes, 7 clips, head 'prototypes', 16000 Hz, segments of 0.992 s>"
