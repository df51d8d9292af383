"""Recognizers by name, and on a hub that runs on this machine."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition import hub as hub_module
from fewshot_audio.recognition.bundle import BUNDLE_FILE, OWN_FILE
from fewshot_audio.recognition.recognizer import Recognizer
from tests.recognition.hub_server import Hub, running_hub
from tests.recognition.sounds import RATE, sound
from tests.tiny_encoders import install_tiny

NAME = "me/my-sounds"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as server:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield server


def test_what_is_pushed_comes_back(bundle: Path, hub: Hub) -> None:
    recognizer = Recognizer.load(bundle)
    revision = recognizer.revision
    name = recognizer.push_to_hub(NAME)
    assert recognizer.revision == revision  # of the bundle that it was loaded from
    assert name == f"hf:{NAME}@{hub.commit(NAME)}"
    assert hub.private == {NAME: True}
    files = hub.files[NAME]
    others = {file for file in files if not OWN_FILE.fullmatch(file)}
    assert others == {BUNDLE_FILE, "README.md"}
    card = files["README.md"].decode()
    assert "class 0, class 4, class 8" in card
    assert f'from_pretrained("hf:{NAME}@main")' in card
    for asked in (name, f"hf:{NAME}@main"):
        again = Recognizer.from_pretrained(asked)
        assert again.classes == recognizer.classes
        np.testing.assert_array_equal(
            again.predict_proba(sound(4, 9), rate=RATE), recognizer.predict_proba(sound(4, 9), rate=RATE)
        )


def test_encoders_that_a_bundle_holds_go_along(
    bundle: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: str(tmp_path / "user data" / name))
    install_tiny(sample_rate=RATE)
    recognizer = Recognizer.load(bundle)
    for name in recognizer.classes:
        recognizer.remove(name)
    for embed in (False, True):
        recognizer.use_encoders(["tiny"], embed=embed)
        fetched = hub_module.find_bundle(recognizer.push_to_hub(NAME))
        assert len(list(fetched.glob("encoder-*.onnx"))) == embed
        assert Recognizer.load(fetched).encoder_names == ["tiny"]
    (file,) = fetched.glob("encoder-*.onnx")
    file.unlink()
    assert hub_module.find_bundle(f"hf:{NAME}@{hub.commit(NAME)}") == fetched
    assert file.is_file()  # fetched again: the cache was not whole


def test_kept_sound_goes_along_only_if_asked(bundle: Path, hub: Hub) -> None:
    recognizer = Recognizer.load(bundle)
    recognizer.keep_audio()
    recognizer.enroll("tone", [np.sin(np.arange(RATE) / 5.0)], rate=RATE)
    fetched = hub_module.find_bundle(recognizer.push_to_hub(NAME))
    assert list(fetched.glob("*.flac")) == []
    assert Recognizer.load(fetched).keeps_audio is None
    assert b"no sound." in hub.files[NAME]["README.md"]
    fetched = hub_module.find_bundle(recognizer.push_to_hub(NAME, with_audio=True))
    content = recognizer.clip_audio("tone", "clip 1")
    assert content is not None
    assert Recognizer.load(fetched).clip_audio("tone", "clip 1") == content


def test_a_commit_that_was_fetched_needs_no_hub(bundle: Path, hub: Hub) -> None:
    name = Recognizer.load(bundle).push_to_hub(NAME, private=False)
    assert hub.private == {NAME: False}
    Recognizer.from_pretrained(name)
    hub.requests.clear()
    hub.files.clear()
    assert Recognizer.from_pretrained(name).classes == ["class 0", "class 4", "class 8"]
    assert hub.requests == []


def test_a_card_that_a_person_wrote_stays(bundle: Path, hub: Hub) -> None:
    hub.files[NAME] = {"README.md": b"mine", "notes.txt": b"x"}
    Recognizer.load(bundle).push_to_hub(NAME)
    assert hub.files[NAME]["README.md"] == b"mine"
    fetched = hub_module.find_bundle(f"hf:{NAME}@main")
    assert not (fetched / "notes.txt").exists()  # only a bundle's own files are fetched


def test_what_is_no_bundle_is_refused(bundle: Path, hub: Hub) -> None:
    with pytest.raises(DataError, match=f"hf:{NAME}@main: the hub: "):
        Recognizer.from_pretrained(f"hf:{NAME}@main")
    hub.files[NAME] = {"model.bin": b"x"}
    with pytest.raises(DataError, match=f"the repository has no {BUNDLE_FILE}"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")
    Recognizer.load(bundle).push_to_hub(NAME)
    tensors = next(file for file in hub.files[NAME] if file.startswith("model-"))
    hub.sizes[tensors] = 5 << 30
    with pytest.raises(DataError, match=f"{tensors} has 5368709120 bytes, expected at most"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")
    hub.sizes.clear()
    hub.files[NAME][tensors] = hub.files[NAME][tensors][:-4] + b"evil"
    with pytest.raises(DataError, match="damaged, or of another recognizer"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")
    description = json.loads(hub.files[NAME][BUNDLE_FILE])
    hub.files[NAME][BUNDLE_FILE] = json.dumps({**description, "format": 99}).encode()
    with pytest.raises(DataError, match="format 99"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")
    hub.sizes[BUNDLE_FILE] = 1 << 40
    with pytest.raises(DataError, match=f"{BUNDLE_FILE} has {1 << 40} bytes"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")


@pytest.mark.parametrize(
    "name", ["hf:me/x", "hf:x@main", "hf:me/x@", "hf:me/../x@main", "hf:me/x@../../y", "hf:a/b/c@main"]
)
def test_names_of_the_hub_have_a_revision(name: str, hub: Hub) -> None:
    with pytest.raises(DataError, match="expected hf:OWNER/NAME@REVISION"):
        Recognizer.from_pretrained(name)
    assert hub.requests == []


def test_a_hub_that_is_not_there_is_said(bundle: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=f"{NAME}: the hub: "):
        Recognizer.load(bundle).push_to_hub(NAME)
    with pytest.raises(DataError, match="expected OWNER/NAME"):
        Recognizer.load(bundle).push_to_hub("../x")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'fewshot-audio\[hub\]'"):
        Recognizer.from_pretrained(f"hf:{NAME}@main")


def test_other_names_do_not_reach_the_hub(bundle: Path, hub: Hub, tmp_path: Path) -> None:
    assert Recognizer.from_pretrained(bundle).classes == ["class 0", "class 4", "class 8"]
    assert Recognizer.from_pretrained(str(bundle)).classes == ["class 0", "class 4", "class 8"]
    shipped = Recognizer.shipped()
    from_name = Recognizer.from_pretrained(hub_module.shipped_names()[0])
    assert np.array_equal(from_name.embed(sound(0, 0), rate=RATE), shipped.embed(sound(0, 0), rate=RATE))
    shutil.copytree(bundle, tmp_path / "copy")
    (tmp_path / "copy" / BUNDLE_FILE).unlink()
    for name in ("me/x", tmp_path / "copy", "any\nname"):
        with pytest.raises(DataError, match=r"neither a shipped recognizer .*hf:OWNER/NAME@REVISION"):
            Recognizer.from_pretrained(name)
    assert hub.requests == []
