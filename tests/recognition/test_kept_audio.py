"""The sound that is kept of clips: only if somebody says so, bounded, undone with the clip, and read with suspicion."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError
from fewshot_audio.recognition import audio_store, enrolling
from fewshot_audio.recognition.audio_store import AudioStore, encode_clip
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.recognition.kept_audio import LARGEST_KEPT, MOST_KEPT, KeptAudio
from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.conftest import tiny_recognizer
from tests.serve.sounds import RATE, tone

OTHER, LONG = tone(900.0, 0.7, seed=1), tone(500.0, 1.2, seed=2)


@pytest.fixture
def recognizer() -> Recognizer:
    return recognizer_with_sound()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle, to be copied."""
    folder = tmp_path_factory.mktemp("kept") / "bundle"
    recognizer_with_sound().save(folder)
    return folder


def recognizer_with_sound() -> Recognizer:
    """A class of three clips: the first without sound, since nobody had decided."""
    made = tiny_recognizer()
    made.enroll("a", [tone(300.0)], rate=RATE)
    made.keep_audio()
    made.enroll("a", [OTHER, LONG], rate=RATE)
    return made


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.flac"))


def test_what_is_kept_is_the_sound_itself(recognizer: Recognizer, tmp_path: Path) -> None:
    assert recognizer.clips_with_audio("a") == ["clip 1 (2)", "clip 2"]
    recognizer.save(tmp_path / "bundle")
    loaded = Recognizer.load(tmp_path / "bundle")
    assert loaded.keeps_audio
    assert loaded.clip_audio("a", "clip 1") is None
    content = loaded.clip_audio("a", "clip 2")
    assert content is not None
    samples, rate = soundfile.read(io.BytesIO(content))
    assert (rate, len(samples)) == (RATE, len(LONG))
    centered = LONG - LONG.mean()
    np.testing.assert_allclose(samples, centered / np.abs(centered).max() * 0.9, atol=1e-4)
    assert loaded.audio_bytes == sum((tmp_path / "bundle" / name).stat().st_size for name in files(tmp_path / "bundle"))


def test_without_a_decision_a_bundle_is_as_it_was(tmp_path: Path) -> None:
    silent = tiny_recognizer()
    silent.enroll("a", [tone(300.0)], rate=RATE)
    silent.save(tmp_path / "bundle")
    text = (tmp_path / "bundle" / "recognizer.json").read_text()
    assert "audio" not in json.loads(text)
    assert '"audio"' not in text
    assert files(tmp_path / "bundle") == []


def test_sound_goes_with_the_clip_and_comes_back(recognizer: Recognizer, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    recognizer.save(folder)
    changed = Recognizer.load(folder)
    both, content = files(folder), changed.clip_audio("a", "clip 2")
    changed.rename_clip("a", "clip 2", "long")
    changed.move_clip("a", "long", "b")
    changed.save(folder)
    assert changed.clip_audio("b", "long") == content
    changed.remove("b")
    changed.save(folder)
    assert len(files(folder)) == 1
    changed.undo()
    changed.save(folder)
    assert files(folder) == both
    assert Recognizer.load(folder).clip_audio("b", "long") == content


def test_keeping_none_removes_what_is_kept(recognizer: Recognizer, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    recognizer.save(folder)
    both = files(folder)
    answers = recognizer.predict_proba([LONG], rate=RATE)
    recognizer.keep_audio(False)
    recognizer.save(folder)
    assert (files(folder), recognizer.clips_with_audio("a"), recognizer.audio_bytes) == ([], [], 0)
    assert Recognizer.load(folder).keeps_audio is False
    assert len(recognizer.clips("a")) == 3
    np.testing.assert_allclose(recognizer.predict_proba([LONG], rate=RATE), answers)
    recognizer.undo()
    recognizer.save(folder)
    assert recognizer.keeps_audio
    assert files(folder) == both


def test_a_copy_to_give_away_has_sound_only_if_asked(recognizer: Recognizer, tmp_path: Path) -> None:
    recognizer.save(tmp_path / "bundle")
    recognizer.save_copy(tmp_path / "without")
    recognizer.save_copy(tmp_path / "with", with_audio=True)
    assert files(tmp_path / "without") == []
    assert Recognizer.load(tmp_path / "without").keeps_audio is None
    assert files(tmp_path / "with") == files(tmp_path / "bundle")
    assert Recognizer.load(tmp_path / "with").clip_audio("a", "clip 2") == recognizer.clip_audio("a", "clip 2")
    for path in (tmp_path / "bundle").glob("*.flac"):  # the copies are not where its own sound lies
        path.unlink()
    assert recognizer.clip_audio("a", "clip 2") is None


def test_bounds(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    content = recognizer.clip_audio("a", "clip 2")
    assert content is not None
    monkeypatch.setattr(audio_store, "LARGEST_KEPT", len(content) - 1)
    recognizer.enroll("b", [LONG, OTHER], rate=RATE)
    assert recognizer.clips_with_audio("b") == ["clip 2"]
    monkeypatch.setattr(audio_store, "LARGEST_KEPT", LARGEST_KEPT)
    monkeypatch.setattr(enrolling, "MOST_KEPT", recognizer.audio_bytes + len(content) + 1)
    recognizer.enroll("c", [LONG, LONG], rate=RATE)
    assert recognizer.clips_with_audio("c") == ["clip 1"]


def test_removed_sound_in_memory_is_bounded(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes; the clip comes back without it."""
    monkeypatch.setattr(audio_store, "MOST_REMOVED", len(recognizer.clip_audio("a", "clip 2") or b""))
    recognizer.enroll("b", [tone(2000.0, seed=5)], rate=RATE)
    recognizer.remove("b")
    recognizer.remove("a", "clip 2")
    recognizer.undo()
    assert recognizer.clip_audio("a", "clip 2")
    recognizer.undo()
    assert [clip.name for clip in recognizer.clips("b")] == ["clip 1"]
    assert recognizer.clips_with_audio("b") == []


def test_a_stretched_clip_is_not_its_sound() -> None:
    for compat, expected in (("", True), ("metaaudio-offline", False)):
        preprocessing = Preprocessing.of(segment_seconds=1.0, compat=compat)
        clip = LoadedClip.of(tone(300.0).astype(np.float32), preprocessing, "short")
        assert (encode_clip(clip, preprocessing) is not None) is expected


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    description = json.loads((folder / "recognizer.json").read_text())
    change(description)
    (folder / "recognizer.json").write_text(json.dumps(description))
    return folder


def clip_of(description: dict[str, Any], number: int = 1) -> dict[str, Any]:
    clip: dict[str, Any] = description["classes"][0]["clips"][number]
    return clip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: clip_of(own)["audio"].update(sha256="../../etc/passwd"), "audio.sha256"),
        (lambda own: clip_of(own)["audio"].update(size=LARGEST_KEPT + 1), "audio.size"),
        (lambda own: clip_of(own)["audio"].update(size=0), "audio.size"),
        (lambda own: clip_of(own)["audio"].update(file="x.flac"), "audio.file"),
        (lambda own: own.pop("clips_audio"), "a clip has sound, but none is kept"),
        (lambda own: own["clips_audio"].update(keep=False), "a clip has sound, but none is kept"),
        (lambda own: own["clips_audio"].update(keep=1), "clips_audio.keep"),
        (
            lambda own: own["classes"][0]["clips"].extend(
                [
                    {**clip_of(own), "name": f"{n}", "audio": {"sha256": "0" * 64, "size": LARGEST_KEPT}}
                    for n in range(17)
                ]
            ),
            f"expected at most {MOST_KEPT}",
        ),
        (
            lambda own: own.update(background={"clips": [clip_of(own)], "ignored": []}),
            "background: a clip with sound",
        ),
    ],
)
def test_what_no_bundle_has_is_refused(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    shutil.copytree(saved, tmp_path / "bundle")
    with pytest.raises(DataError, match=message):
        Recognizer.load(edited(tmp_path / "bundle", change))


def test_only_the_file_that_was_kept_is_given_out(recognizer: Recognizer, tmp_path: Path) -> None:
    """Not one that is gone, was changed, is no FLAC, or is a link to what has another content."""
    folder, secret = tmp_path / "bundle", tmp_path / "secret.txt"
    recognizer.save(folder)
    loaded = Recognizer.load(folder)
    (path,) = (path for path in folder.glob("*.flac") if path.read_bytes() == loaded.clip_audio("a", "clip 2"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert loaded.clip_audio("a", "clip 2") is None
    secret.write_bytes(b"x" * len(content))
    path.unlink()
    assert loaded.clip_audio("a", "clip 2") is None
    path.symlink_to(secret)
    assert loaded.clip_audio("a", "clip 2") is None
    digest = hashlib.sha256(secret.read_bytes()).hexdigest()  # with its right SHA-256 it is no FLAC all the same
    path.rename(folder / KeptAudio(digest, len(content)).file)
    store = AudioStore()
    store.lies_in(folder)
    assert store.read(KeptAudio(digest, len(content))) is None
    loaded.save(folder)  # and a bundle whose sound is gone is still a bundle
    assert Recognizer.load(folder).clips_with_audio("a") == ["clip 1 (2)"]
