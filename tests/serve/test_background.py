"""What is known and never an answer: the background and ignored classes, in the API and on the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, Serve, SharedDecoder, tiny_recognizer
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone_wav
from tests.serve.test_api import HIGH, LOW, classify, error, teach
from tests.serve.test_page import ask, expect, ready, teach_both

MIDDLE = 1000.0


def add(client: TestClient, *clips: tuple[str, bytes]) -> Response:
    return client.post("/api/background", files=[("clips", clip) for clip in clips])


def background(client: TestClient) -> list[str]:
    return [clip["name"] for clip in client.get("/api/state").json()["background"]]


def ignore(client: TestClient, name: str, ignored: bool, **more: int) -> Response:
    return client.put("/api/classes/ignored", params={"name": name, "ignored": ignored, **more})


def test_what_is_background_is_no_answer(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    assert classify(client, tone_wav(MIDDLE, seed=3)).json()["background"] is None
    reply = add(client, ("place.wav", tone_wav(MIDDLE, seed=0)), ("text.wav", b"no sound")).json()
    assert (reply["enrolled"], [clip["clip"] for clip in reply["rejected"]]) == (1, [1])
    assert [(clip["name"], clip["segments"] > 0) for clip in reply["state"]["background"]] == [("place.wav", True)]
    answer = classify(client, tone_wav(MIDDLE, seed=3)).json()
    assert answer["label"] is None
    assert answer["background"] > 0.5
    assert answer["unknown_score"] > answer["unknown_threshold"]
    answer = classify(client, tone_wav(LOW, seed=3)).json()
    assert (answer["best"], answer["background"] < 0.5) == ("low", True)
    assert client.delete("/api/background", params={"clip": "place.wav"}).json()["background"] == []
    assert classify(client, tone_wav(MIDDLE, seed=3)).json()["background"] is None


def test_an_ignored_class_is_no_answer(client: TestClient) -> None:
    teach(client, low=LOW, high=HIGH)
    state = ignore(client, "low", True).json()
    assert {entry["name"]: entry["ignored"] for entry in state["classes"]} == {"low": True, "high": False}
    answer = classify(client, tone_wav(LOW, seed=3)).json()
    assert (answer["label"], answer["best"], answer["background"] > 0.5) == (None, "high", True)
    assert {entry["name"]: entry["probability"] for entry in answer["probabilities"]} == {"high": 1.0, "low": 0.0}
    ignore(client, "high", True)
    assert "Every class is ignored" in error(classify(client, tone_wav(LOW, seed=3)), 409)
    assert client.get("/api/diagnosis").json() == {"findings": [], "next": None}
    ignore(client, "low", False)
    assert classify(client, tone_wav(LOW, seed=3)).json()["best"] == "low"
    assert "no class “cat”" in error(ignore(client, "cat", True), 404)


def test_the_background_is_bounded_and_its_names_are_short_and_printable(client: TestClient) -> None:
    clip = tone_wav(MIDDLE, seed=0)
    add(client, ("../../etc/a\u200bb\u202e.wav", clip), ("x" * 300 + ".wav", tone_wav(MIDDLE, seed=1)))
    first, second = background(client)
    assert first.isprintable()
    assert first == "ab.wav"
    assert second == "x" * 100
    message = error(add(client, ("a.wav", clip), ("b.wav", tone_wav(MIDDLE, seed=2))), 409)
    assert "more than 3 recordings" in message
    assert "at most 5" in error(add(client, *[("a.wav", clip)] * 6), 413)
    assert "None of the recordings" in error(add(client, ("a.wav", b"no sound")), 422)
    assert background(client) == [first, second]


def test_a_background_that_has_changed_is_not_changed_unseen(client: TestClient) -> None:
    add(client, ("a.wav", tone_wav(MIDDLE, seed=0)))
    seen = client.get("/api/state").json()["revision"]
    add(client, ("b.wav", tone_wav(MIDDLE, seed=1)))
    response = client.delete("/api/background", params={"clip": "a.wav", "revision": seen})
    assert "has changed since you saw it" in error(response, 409)
    assert [clip["name"] for clip in response.json()["state"]["background"]] == ["a.wav", "b.wav"]
    assert "no recording “c.wav”" in error(client.delete("/api/background", params={"clip": "c.wav"}), 404)
    teach(client, low=LOW)
    seen = client.get("/api/state").json()["revision"]
    ignore(client, "low", True)
    assert "has changed" in error(ignore(client, "low", False, revision=seen), 409)


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_another_program_takes_over_what_is_saved(kind: str, serve: Serve, bundle: Path) -> None:
    backend: FakeRecognizer | Recognizer = FakeRecognizer() if kind == "fake" else tiny_recognizer()
    if kind == "fake":
        (bundle / "recognizer.json").unlink()
    backend.save(bundle)
    client = serve(backend, folder=bundle)
    teach(client, low=LOW, high=HIGH)
    add(client, ("place.wav", tone_wav(MIDDLE, seed=0)))
    ignore(client, "high", True)
    other = FakeRecognizer.load(bundle) if kind == "fake" else Recognizer.load(bundle)
    assert ([clip.name for clip in other.background], other.ignored) == (["place.wav"], ["high"])
    other.ignore("high", False)
    other.save(bundle)
    assert not any(entry["ignored"] for entry in client.get("/api/state").json()["classes"])


@pytest.fixture
def url(decoder: SharedDecoder) -> Iterator[str]:
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as address:
        yield address


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_edits_the_background(width: int, chromium: Browser, url: str, sounds: Path, tmp_path: Path) -> None:
    place = tmp_path / "<b>place.wav"
    place.write_bytes(tone_wav(MIDDLE, seed=0))
    question = tmp_path / "question.wav"
    question.write_bytes(tone_wav(MIDDLE, seed=7))
    with chromium.page(url) as page:
        page.set_viewport_size({"width": width, "height": 900})
        teach_both(page, sounds)
        page.set_input_files("#background-files", place)
        expect(page.locator("#background .name")).to_have_text(["<b>place.wav"])
        expect(page.locator("#notice")).to_contain_text("Added 1 recording to the background")
        ask(page, question)
        expect(page.locator("#verdict-name")).to_have_text("None of your sounds")
        expect(page.locator("#distance")).to_contain_text("Like the background or ignored sounds")
        _within_the_screen(page, width)

        page.get_by_role("button", name="Remove <b>place.wav from the background").click()
        expect(page.locator("#background li")).to_have_count(0)
        expect(page.locator("#background-record")).to_be_focused()

        page.get_by_role("button", name="Ignore low").click()
        expect(page.get_by_role("button", name="Ignore low")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("button", name="Ignore low")).to_be_focused()
        ask(page, sounds / "low-3.wav")
        expect(page.locator("#verdict-name")).to_have_text("None of your sounds")
        expect(page.locator("#bars .name")).to_have_text(["high"])
        page.get_by_role("button", name="Ignore high").click()
        expect(page.locator("#listen-hint")).to_contain_text("Every sound is ignored")
        expect(page.locator("#listen-record")).to_be_disabled()
        page.reload()
        ready(page)
        page.get_by_role("button", name="Ignore low").click()
        ask(page, sounds / "low-3.wav")
        expect(page.locator("#verdict-name")).to_have_text("low")


def _within_the_screen(page: Any, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
