"""The sound of clips: asked for once, played after a restart, removed and undone with the clip, given away if asked."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fewshot_audio.cli import app
from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, Serve, SharedDecoder
from tests.serve.live import running
from tests.serve.sounds import RATE, tone, tone_wav
from tests.serve.test_page import expect, ready, teach

LOW, HIGH = 300.0, 3000.0


def enroll(client: TestClient, name: str, **clips: bytes) -> None:
    files = [("clips", (f"{clip}.wav", content)) for clip, content in clips.items()]
    assert client.post("/api/classes", data={"name": name}, files=files).status_code == 200


def sound(client: TestClient, name: str, clip: str) -> bytes | None:
    reply = client.get("/api/classes/clips/sound", params={"name": name, "clip": clip})
    assert reply.status_code in (200, 404), reply.text
    if reply.status_code == 404:
        return None
    assert reply.headers["Content-Type"] == "audio/flac"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    return reply.content


def members(client: TestClient, query: str = "") -> list[str]:
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/api/bundle{query}").content))
    return sorted(Path(name).name for name in archive.namelist() if name.endswith(".flac"))


def test_sound_is_kept_once_somebody_says_so(serve: Serve, bundle: Path) -> None:
    client = serve(Recognizer.load(bundle), folder=bundle)
    enroll(client, "low", a=tone_wav(LOW, 0))
    state = client.get("/api/state").json()
    assert (state["keeps_sound"], state["sound_bytes"], state["classes"][0]["with_sound"]) == (None, 0, [])
    assert client.put("/api/sound", params={"keep": True, "revision": state["revision"] - 1}).status_code == 409
    state = client.put("/api/sound", params={"keep": True, "revision": state["revision"]}).json()
    assert state["keeps_sound"]
    assert state["undoable"] == "the sound of clips kept from then on"
    enroll(client, "low", b=tone_wav(LOW, 1))
    assert sound(client, "low", "a.wav") is None
    assert sound(client, "low", "nothing") is None
    assert sound(client, "nobody", "a.wav") is None

    restarted = serve(Recognizer.load(bundle), folder=bundle)
    content = sound(restarted, "low", "b.wav")
    assert content is not None
    samples, rate = soundfile.read(io.BytesIO(content))
    assert rate == RATE
    assert np.corrcoef(samples, tone(LOW, seed=1))[0, 1] > 0.999
    state = restarted.get("/api/state").json()
    assert state["classes"][0]["with_sound"] == ["b.wav"]
    assert state["sound_bytes"] == len(content)
    assert members(restarted) == []
    assert len(members(restarted, "?with_audio=true")) == 1

    restarted.delete("/api/classes/clips", params={"name": "low", "clip": "b.wav"})
    assert list(bundle.glob("*.flac")) == []
    assert restarted.post("/api/undo").status_code == 200
    assert sound(restarted, "low", "b.wav") == content
    assert len(list(bundle.glob("*.flac"))) == 1
    state = restarted.put("/api/sound", params={"keep": False}).json()
    assert (state["keeps_sound"], state["sound_bytes"]) == (False, 0)
    assert list(bundle.glob("*.flac")) == []


def test_the_page_asks_once_and_plays_after_a_restart(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, bundle: Path
) -> None:
    options = {"limits": LIMITS, "decoder": decoder, "folder": bundle}
    with running(Recognizer.load(bundle), **options) as url, chromium.page(url, width=390, height=844) as page:
        ready(page)
        question = page.locator("#sound-question")
        expect(question).to_be_hidden()
        page.set_input_files("#teach-files", sounds / "low-0.wav")
        expect(question).to_contain_text("Shall the sound of your clips be kept")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("button", name="Keep the sound").click()
        expect(question).to_be_hidden()
        expect(page.get_by_role("alert").first).to_contain_text("that you teach from now on is kept")
        page.get_by_label("Name", exact=True).fill("low")
        page.get_by_role("button", name="Teach with 1 clip").click()
        expect(page.locator("#sound-setting")).to_contain_text("is kept (now 1 clip, 0.0")
    with running(Recognizer.load(bundle), **options) as url, chromium.page(url) as page:
        ready(page)
        page.set_input_files("#teach-files", sounds / "high-0.wav")
        expect(page.locator("#sound-question")).to_be_hidden()
        page.get_by_role("button", name="Clips of low").click()
        with page.expect_response("**/api/classes/clips/sound**") as response:
            page.get_by_role("button", name="Play clip low-0.wav").click()
        assert response.value.status == 200
        expect(page.locator("#classes .hint")).to_have_count(0)

        page.get_by_role("button", name="Download bundle").click()
        expect(page.get_by_role("dialog")).to_contain_text("The sound of 1 clip, 0.0")
        page.get_by_role("button", name="Cancel").click()
        for button, files in (("Without the sound", 0), ("With the sound", 1)):
            page.get_by_role("button", name="Download bundle").click()
            with page.expect_download() as download:
                page.get_by_role("button", name=button).click()
            names = zipfile.ZipFile(download.value.path()).namelist()
            assert sum(name.endswith(".flac") for name in names) == files

        page.get_by_role("button", name="Keep none").click()
        expect(page.get_by_role("dialog")).to_contain_text("This removes the sound of 1 clip.")
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.locator("#sound-setting")).to_contain_text("The sound of clips is not kept.")
        expect(page.get_by_role("button", name="Play clip")).to_have_count(0)
        assert list(bundle.glob("*.flac")) == []


def test_the_page_says_if_sound_is_too_much(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer.load(bundle)
    recognizer.keep_audio()
    recognizer.save(bundle)
    monkeypatch.setattr("fewshot_audio.recognition.audio_store.LARGEST_KEPT", 100)
    options = {"limits": LIMITS, "decoder": decoder, "folder": bundle}
    with running(recognizer, **options) as url, chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav")
        expect(page.get_by_role("alert").first).to_contain_text(
            "The sound of 1 clip is not kept: one clip may have 16 MB"
        )


def test_the_option_of_the_command(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides, is saved, and removes what is kept."""
    monkeypatch.setattr("fewshot_audio.serve.run.run_server", lambda *_, **__: 0)
    for option, expected in (("--keep-audio", True), ("--no-keep-audio", False)):
        outcome = CliRunner().invoke(app, ["serve", str(bundle), option])
        assert outcome.exit_code == 0, outcome.output
        assert Recognizer.load(bundle).keeps_audio is expected
    before = (bundle / "recognizer.json").read_bytes()
    assert CliRunner().invoke(app, ["serve", str(bundle)]).exit_code == 0
    assert (bundle / "recognizer.json").read_bytes() == before
