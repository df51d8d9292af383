"""Reviewing an index, in the API and on the page."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from typer.testing import CliRunner

from fewshot_audio.archive.build import update_index
from fewshot_audio.archive.embed import EmbeddingJob
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.review.journal import ChoiceJournal, journal_beside
from fewshot_audio.archive.review.review import Review
from fewshot_audio.cli import app
from fewshot_audio.errors import FewShotError
from fewshot_audio.recognition.recognizer import Recognizer
from tests.archive.conftest import run_here
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, Serve, SharedDecoder, tiny_recognizer
from tests.serve.live import running
from tests.serve.sounds import tone
from tests.serve.test_api import error
from tests.serve.test_page import expect, ready

RATE = 16_000
WINDOWS = 24  # half a second each; every sixth one is high


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for number in range(2):
        places = range(12 * number, 12 * number + 12)
        parts = [tone(3000.0 if place % 6 == 0 else 300.0 + 40 * place, 0.5, seed=place) for place in places]
        soundfile.write(folder / f"night-{number}.wav", np.concatenate(parts), RATE, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "bundle"
    recognizer = tiny_recognizer()
    recognizer.enroll("high", [tone(3000.0, 0.5, seed=seed) for seed in (90, 91)], rate=RATE)
    recognizer.enroll("low", [tone(300.0, 0.5, seed=seed) for seed in (90, 91)], rate=RATE)
    recognizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, archive: Path, taught: Path) -> Path:
    folder = tmp_path_factory.mktemp("index") / "index"
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch)
        update_index([archive], EmbeddingJob(folder, archive, taught, (), "cpu", 0.5))
    return folder


@pytest.fixture
def bundle(tmp_path: Path, taught: Path) -> Path:
    Recognizer.load(taught).save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def review(index: Path, bundle: Path) -> Iterator[Review]:
    with ChoiceJournal(journal_beside(bundle)) as journal:
        yield Review(Index(index), Recognizer.load(bundle), journal)


@pytest.fixture
def client(serve: Serve, review: Review, archive: Path, bundle: Path) -> TestClient:
    return serve(review.recognizer, folder=bundle, review=review, archive=archive)


def choose(client: TestClient, window: int, answer: str, **more: str) -> dict[str, object]:
    reply = client.post("/api/review/choices", json={"window": window, "name": "high", "answer": answer, **more})
    assert reply.status_code == 200, reply.text
    progress: dict[str, object] = reply.json()
    return progress


def test_a_round_is_answered_saved_and_learned(client: TestClient, bundle: Path) -> None:
    windows = client.get("/api/review/round", params={"name": "high", "count": 6}).json()["windows"]
    assert len({own["window"] for own in windows}) == 6
    assert windows[0]["window"] % 6 == 0
    for own in windows:
        progress = choose(client, own["window"], "yes" if own["window"] % 6 == 0 else "no")
    yes = sum(own["window"] % 6 == 0 for own in windows)
    assert (progress["yes"], progress["no"], progress["saved"]) == (yes, 6 - yes, True)
    assert progress["looks"] == [1, 2, 3, 4, 5, 6]
    assert progress["found"][-1] == yes  # type: ignore[index]
    assert len(journal_beside(bundle).read_text().splitlines()) == 6  # before anything is taught
    state = client.post("/api/review/teach").json()
    assert {own["name"]: own["clips"] for own in state["classes"]} == {"high": 2 + yes, "low": 2}
    assert len(state["background"]) == 6 - yes
    saved = Recognizer.load(bundle)
    assert len(saved.clips("high")) == 2 + yes
    again = client.get("/api/review/round", params={"name": "high", "order": "search"}).json()["windows"]
    assert not {own["window"] for own in again} & {own["window"] for own in windows}
    undone = client.post("/api/undo").json()
    assert len(undone["background"]) == 0


def test_undo_and_other_classes(client: TestClient) -> None:
    choose(client, 1, "other", other="low", reviewer="Ana")
    progress = choose(client, 2, "yes")
    assert progress["undoable"] == 2
    progress = choose(client, 2, "undo")
    assert (progress["yes"], progress["other"], progress["undoable"]) == (0, 1, None)
    state = client.post("/api/review/teach").json()
    assert {own["name"]: own["clips"] for own in state["classes"]} == {"high": 2, "low": 3}


def test_sound_and_picture_are_of_the_window(client: TestClient, archive: Path) -> None:
    reply = client.get("/api/review/sound", params={"window": 12})
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    whole, _ = soundfile.read(archive / "night-1.wav")
    assert (rate, len(samples)) == (RATE, RATE // 2)
    first = whole[: RATE // 2]
    np.testing.assert_allclose(samples, first * 0.9 / np.abs(first).max(), atol=1e-3)
    view = client.get("/api/review/spectrogram", params={"window": 12}).json()
    assert (view["high_hz"], view["start"], view["end"]) == (RATE / 2, 0, 0.5)
    levels = np.frombuffer(base64.b64decode(view["levels"]), np.uint8).reshape(view["rows"], view["columns"])
    loudest = 1 - levels.mean(axis=1).argmax() / view["rows"]  # the highest frequency is first
    assert abs(loudest * view["high_hz"] - 3000) < 150


def test_tables(client: TestClient) -> None:
    choose(client, 0, "yes", reviewer="Ana")
    table = client.get("/api/review/table")
    assert table.text.splitlines()[0] == "file,start,end,asked,answer,other,reviewer,time"
    assert "night-0.wav,0.0,0.5,high,yes,,Ana," in table.text
    params = {"name": "high", "reviewer": "Ben"}
    assert client.post("/api/review/table", params=params, content=table.content).json() == {"added": 0, "known": 1}
    more = b"file,start,end,answer\nnight-1.wav,0,0.5,yes\nnight-1.wav,0.5,1,no\n"
    assert client.post("/api/review/table", params=params, content=more).json() == {"added": 2, "known": 0}
    progress = client.get("/api/review", params=params).json()
    assert (progress["yes"], progress["no"], progress["undoable"]) == (2, 1, 13)
    bad = client.post("/api/review/table", params=params, content=b"file,start,end,answer\n../x.wav,0,1,yes\n")
    assert "The table, line 2: file is" in error(bad, 422)
    large = client.post("/api/review/table", params=params, content=b"x" * (LIMITS.marks_bytes + 1))
    assert "larger than 1 MB" in error(large, 413)


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/api/review/round", {"name": "owl"}, 404),
        ("/api/review/round", {"name": "high", "order": "best"}, 422),
        ("/api/review/round", {"name": "high", "count": 1000}, 422),
        ("/api/review/sound", {"window": 24}, 422),
        ("/api/review/spectrogram", {"window": -1}, 422),
    ],
)
def test_refusals(client: TestClient, path: str, params: dict[str, str | int], status: int) -> None:
    assert client.get(path, params=params).status_code == status


def test_what_cannot_be_chosen(client: TestClient, archive: Path) -> None:
    for window, answer, other in ((100, "yes", ""), (0, "other", ""), (0, "other", "unknown"), (0, "maybe", "")):
        body = {"window": window, "name": "high", "answer": answer, "other": other}
        assert client.post("/api/review/choices", json=body).status_code == 422
    assert client.get("/api/review", params={"name": "high"}).json()["looks"] == []


def test_without_an_index(serve: Serve) -> None:
    client = serve(tiny_recognizer())
    assert client.get("/api/review/status").json() == {"available": False, "windows": 0}
    assert "--index" in error(client.get("/api/review", params={"name": "x"}), 404)


def test_reviewing_by_keyboard(
    chromium: Browser, decoder: SharedDecoder, review: Review, archive: Path, bundle: Path
) -> None:
    options = {"limits": LIMITS, "decoder": decoder, "folder": bundle, "review": review, "archive": archive}
    with running(review.recognizer, **options) as url, chromium.page(url) as page:
        ready(page)
        page.get_by_role("link", name="Review").click()
        page.get_by_label("Your name").fill("Ana")
        page.get_by_role("button", name="Show windows").click()
        cards = page.locator("#archive-grid li")
        expect(cards).to_have_count(12)
        expect(cards.first.locator(".hertz").first).to_have_text("8000 Hz")
        expect(cards.first).to_be_focused()
        page.keyboard.press("y")
        expect(cards.nth(1)).to_be_focused()
        page.keyboard.press("n")
        expect(page.locator("#archive-count")).to_contain_text("2 windows looked at: 1 yes, 1 no")
        page.keyboard.press("u")
        expect(page.locator("#archive-count")).to_contain_text("1 window looked at: 1 yes, 0 no")
        expect(cards.nth(1)).to_be_focused()
        with page.expect_response(lambda reply: "/api/review/sound" in reply.url) as sound:
            page.keyboard.press(" ")
        assert sound.value.status == 200
        page.get_by_role("button", name="Learn and show the next ones").click()
        expect(page.locator("#count")).to_have_text("2")
        expect(page.locator("#archive-gain")).to_contain_text("1 of 1")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        cards.nth(3).get_by_role("button", name="Other class in").click()
        expect(page.locator("#archive-other")).to_be_focused()
        expect(page.locator("#archive-other")).to_be_in_viewport()
        page.locator("#sounds-tab").click()
        expect(page.locator("#classes .clips").first).to_have_text("3 clips")
    lines = journal_beside(bundle).read_text().splitlines()
    assert ['"answer": "yes"' in line and "Ana" in line for line in lines] == [True, False, False]


def test_the_command(bundle: Path, index: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}

    def start(recognizer: Recognizer, **options: Any) -> int:
        started.update(options, recognizer=recognizer)
        options["on_start"]("http://localhost:8000")
        return 0

    monkeypatch.setattr("fewshot_audio.serve.run.run_server", start)
    monkeypatch.chdir(tmp_path)

    def serve_command(*words: str | Path) -> str:
        result = CliRunner().invoke(app, ["serve", str(bundle), *map(str, words)])
        if isinstance(result.exception, FewShotError):
            return str(result.exception)
        return result.output

    output = serve_command("--index", index, "--archive", archive)
    assert output.startswith("Open http://localhost:8000 ")
    assert f"saved to {journal_beside(bundle)}" in output
    review = started["review"]
    assert (review.recognizer, started["archive"]) == (started["recognizer"], archive)
    assert "another process has this review open" in serve_command("--index", index, "--archive", archive)
    review.journal.close()
    assert "kept in memory" in serve_command("--index", index, "--archive", archive, "--no-save")
    assert "such as 'night-0.wav', is below .: name their folder by --archive" in serve_command("--index", index)
    assert "needs --index" in serve_command("--archive", archive)
