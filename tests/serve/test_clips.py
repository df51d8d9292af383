"""The clips of a class: renamed, moved, removed, given twice; and changes that are taken back."""

from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from fewshot_audio.errors import DataError
from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, Serve, SharedDecoder, tiny_recognizer
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone, tone_wav, wav
from tests.serve.test_api import error
from tests.serve.test_page import ask, expect, ready, teach, width

LOW, HIGH = 300.0, 3000.0


def enroll(client: TestClient, name: str, **clips: bytes) -> dict[str, Any]:
    files = [("clips", (f"{clip}.wav", data)) for clip, data in clips.items()]
    response = client.post("/api/classes", data={"name": name}, files=files)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def clips(client: TestClient) -> dict[str, list[str]]:
    return {own["name"]: own["clip_names"] for own in client.get("/api/state").json()["classes"]}


def change(client: TestClient, name: str, clip: str, body: dict[str, str], **query: Any) -> Response:
    return client.patch("/api/classes/clips", params={"name": name, "clip": clip, **query}, json=body)


@pytest.fixture
def taught(client: TestClient) -> TestClient:
    """A server over each kind of recognizer, with three clips of two classes."""
    enroll(client, "low", a=tone_wav(LOW, 0), b=tone_wav(LOW, 1))
    enroll(client, "high", c=tone_wav(HIGH, 2))
    return client


def test_clips_have_the_names_of_their_files(taught: TestClient) -> None:
    assert clips(taught) == {"low": ["a.wav", "b.wav"], "high": ["c.wav"]}


def test_a_clip_is_renamed_moved_and_removed(taught: TestClient) -> None:
    assert change(taught, "low", "a.wav", {"name": "first"}).status_code == 200
    assert clips(taught)["low"] == ["first", "b.wav"]
    assert change(taught, "low", "first", {"new_class": "high"}).status_code == 200
    assert clips(taught) == {"low": ["b.wav"], "high": ["c.wav", "first"]}
    assert change(taught, "low", "b.wav", {"new_class": "new"}).status_code == 200
    assert clips(taught) == {"high": ["c.wav", "first"], "new": ["b.wav"]}
    assert taught.delete("/api/classes/clips", params={"name": "high", "clip": "c.wav"}).status_code == 200
    assert clips(taught) == {"high": ["first"], "new": ["b.wav"]}
    assert taught.delete("/api/classes/clips", params={"name": "new", "clip": "b.wav"}).status_code == 200
    assert clips(taught) == {"high": ["first"]}


def test_a_moved_clip_teaches_its_new_class(taught: TestClient) -> None:
    change(taught, "low", "a.wav", {"new_class": "deep"})
    change(taught, "low", "b.wav", {"new_class": "deep"})
    answer = taught.post("/api/classify", files={"clip": ("x.wav", tone_wav(LOW, 7))}).json()
    assert answer["best"] == "deep"


@pytest.mark.parametrize(
    ("name", "clip", "body", "status", "message"),
    [
        ("low", "z.wav", {"name": "x"}, 404, "“low” has no clip “z.wav”."),
        ("owl", "a.wav", {"name": "x"}, 404, "There is no class “owl”."),
        ("low", "a.wav", {"name": "b.wav"}, 409, "“low” has a clip “b.wav” already."),
        ("low", "a.wav", {"name": "x\x1b"}, 422, "printable"),
        ("low", "a.wav", {}, 422, "either a name or a new_class"),
        ("low", "a.wav", {"name": "x", "new_class": "y"}, 422, "either a name or a new_class"),
    ],
)
def test_a_change_that_cannot_be_made_is_explained(
    name: str, clip: str, body: dict[str, str], status: int, message: str, taught: TestClient
) -> None:
    before = clips(taught)
    assert message in error(change(taught, name, clip, body), status)
    assert clips(taught) == before


def test_a_clip_of_a_class_that_has_changed_is_left_alone(taught: TestClient) -> None:
    seen = taught.get("/api/state").json()["revision"]
    enroll(taught, "low", d=tone_wav(LOW, 5))
    assert "has changed since you saw it" in error(change(taught, "low", "a.wav", {"name": "x"}, revision=seen), 409)


def test_every_change_can_be_taken_back_one_after_the_other(taught: TestClient) -> None:
    changes = [
        (lambda: change(taught, "low", "a.wav", {"name": "first"}), "“a.wav” renamed to “first”"),
        (lambda: change(taught, "high", "c.wav", {"new_class": "low"}), "“c.wav” moved from “high” to “low”"),
        (lambda: taught.patch("/api/classes", params={"name": "low"}, json={"name": "all"}), "“low” renamed to “all”"),
        (lambda: taught.put("/api/classes/ignored", params={"name": "all", "ignored": True}), "“all” ignored"),
        (
            lambda: taught.post("/api/background", files={"clips": ("n.wav", tone_wav(900.0))}),
            "1 recording added to the background",
        ),
        (lambda: taught.delete("/api/classes", params={"name": "all"}), "“all” removed"),
    ]
    states = [taught.get("/api/state").json()]
    assert states[0]["undoable"] == "1 clip added to “high”"
    for make, words in changes:
        response = make()
        assert response.status_code == 200, response.text
        states.append(taught.get("/api/state").json())
        assert states[-1]["undoable"] == words
    for before in reversed(states[:-1]):
        now = taught.get("/api/state").json()
        after = taught.post("/api/undo", params={"revision": now["revision"]}).json()
        for part in ("classes", "background", "undoable"):
            assert after[part] == before[part]
        assert after["revision"] > now["revision"]


def test_undo_ends_at_the_start_and_takes_back_only_what_was_seen(client: TestClient) -> None:
    assert error(client.post("/api/undo"), 409) == "There is nothing to undo."
    seen = enroll(client, "low", a=tone_wav(LOW, 0))["state"]["revision"]
    enroll(client, "low", b=tone_wav(LOW, 1))
    assert "changed since you saw it" in error(client.post("/api/undo", params={"revision": seen}), 409)
    assert clips(client) == {"low": ["a.wav", "b.wav"]}


def test_what_is_undone_is_saved_and_other_programs_changes_stay(serve: Serve, bundle: Path) -> None:
    client = serve(Recognizer.load(bundle), folder=bundle)
    enroll(client, "low", a=tone_wav(LOW, 0))
    enroll(client, "high", c=tone_wav(HIGH, 2))
    assert client.post("/api/undo").status_code == 200
    assert Recognizer.load(bundle).classes == ["low"]
    other = Recognizer.load(bundle)
    other.rename("low", "deep")
    other.save(bundle)
    assert error(client.post("/api/undo"), 409).startswith("Another program has changed the bundle")
    assert client.get("/api/state").json()["undoable"] is None
    assert clips(client) == {"deep": ["a.wav"]}


def test_a_recording_that_is_given_twice_is_named_at_once(taught: TestClient) -> None:
    reply = enroll(taught, "high", d=tone_wav(HIGH, 5), e=tone_wav(LOW, 1), f=tone_wav(HIGH, 5))
    assert reply["enrolled"] == 3
    assert reply["duplicates"] == [
        {"clip": 1, "name": "low", "enrolled_as": "b.wav"},
        {"clip": 2, "name": "high", "enrolled_as": "d.wav"},
    ]
    assert enroll(taught, "high", g=tone_wav(HIGH, 8))["duplicates"] == []


def test_the_page_changes_clips_and_takes_it_back(chromium: Browser, decoder: SharedDecoder, sounds: Path) -> None:
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav", sounds / "low-1.wav", sounds / "high-0.wav")
        teach(page, "high", sounds / "high-1.wav")
        page.get_by_role("button", name="Clips of low").click()
        names = page.locator(".clip-list .clip-name")
        expect(names).to_have_text(["low-0.wav", "low-1.wav", "high-0.wav"])
        page.get_by_role("button", name="Play clip high-0.wav").click()
        page.get_by_role("button", name="Move clip high-0.wav", exact=True).click()
        page.get_by_label("To the sound").fill("high")
        page.get_by_role("button", name="Move", exact=True).click()
        expect(names).to_have_text(["low-0.wav", "low-1.wav"])
        expect(page.locator("#classes .clips")).to_have_text(["2 clips", "2 clips"])
        page.get_by_role("button", name="Rename clip low-1.wav").click()
        page.get_by_label("New name").fill("hum")
        page.keyboard.press("Enter")
        expect(names).to_have_text(["low-0.wav", "hum"])
        page.get_by_role("button", name="Remove clip low-0.wav").click()
        expect(names).to_have_text(["hum"])
        for expected in (["low-0.wav", "hum"], ["low-0.wav", "low-1.wav"], ["low-0.wav", "low-1.wav", "high-0.wav"]):
            page.get_by_role("button", name="Undo: ").click()
            expect(names).to_have_text(expected)
        teach(page, "low", sounds / "low-1.wav")
        expect(page.get_by_role("alert").first).to_contain_text(
            "“low-1.wav” is the same recording as “low-1.wav” of “low”"
        )
        not_kept = page.locator("#classes .hint")
        expect(not_kept).to_have_count(0)
        page.reload()
        page.get_by_role("button", name="Clips of low").click()
        expect(not_kept).to_contain_text("one can be played only until")
        expect(page.get_by_role("button", name="Play clip")).to_have_count(0)


def test_several_files_are_answered_as_a_table(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    """And more clips than a request takes are taught one request after the other."""
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        ready(page)
        page.get_by_label("Name", exact=True).fill("low")
        page.set_input_files("#teach-files", [sounds / f"low-{number % 4}.wav" for number in range(7)])
        page.get_by_role("button", name="Teach with 7 clips").click()
        expect(page.get_by_role("alert").first).to_contain_text("Added 7 clips to “low”")
        teach(page, "high", sounds / "high-0.wav")
        page.set_input_files("#listen-files", [sounds / name for name in ("low-3.wav", "broken.wav", "high-3.wav")])
        expect(page.locator("#answers-count")).to_have_text("3 files: 1 “low”, 1 not used, 1 “high”.")
        answers = page.locator("#answer-rows .answer-name")
        for number, answer in enumerate(["low", "not used", "high"]):
            expect(answers.nth(number)).to_contain_text(answer)
        expect(answers.nth(1)).to_contain_text("cannot be used: unreadable")  # the reason is beside it
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the answers").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0] == "file,label,score,unknown_score,best,status,remark"
        assert [line.split(",")[:2] for line in lines[1:]] == [
            ["low-3.wav", "low"],
            ["broken.wav", ""],
            ["high-3.wav", "high"],
        ]
        page.get_by_role("button", name="high-3.wav").click()
        expect(page.locator("#verdict-name")).to_have_text("high")
        expect(page.locator("#answer-file")).to_have_text("high-3.wav")
        expect(page.locator("#answer-rows [aria-current=true]")).to_contain_text("high-3.wav")
        ask(page, sounds / "low-3.wav")
        expect(page.locator("#answers")).to_be_hidden()
        page.watch.console.clear()  # the browser's own report of the answer 422


def test_files_that_cannot_be_asked_about_are_named_in_the_table(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    """Too large, empty, no sound, too long: the others are answered. A folder is asked about as its recordings."""
    folder = tmp_path / "field"
    (folder / "day 2").mkdir(parents=True)
    (folder / "notes.txt").write_text("no recording")
    for number in range(12):
        (folder / "day 2" / f"{number:02d}.wav").write_bytes(tone_wav(LOW, number))
    bad = {
        "huge.wav": bytes(LIMITS.recording_bytes + 1),
        "large.wav": bytes(LIMITS.upload_bytes + 1),
        "empty.wav": b"",
        "notes.wav": b"no sound at all",
        "letter.txt": b"no recording",
        "long.wav": wav(tone(LOW, LIMITS.clip_seconds + 1), 16_000),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav")
        page.set_input_files("#listen-files", [sounds / "low-1.wav", *(tmp_path / name for name in bad)])
        expect(page.locator("#answers-count")).to_have_text("7 files: 1 “low”, 6 not used.")
        answers = page.locator("#answer-rows .answer-name")
        remarks = ("", "larger than 1 MB", "larger than 1 MB", "empty", "unreadable", "not audio", "too long")
        for number, remark in enumerate(remarks):
            expect(answers.nth(number)).to_contain_text(remark)
        page.watch.console.clear()  # the browser's own reports of answers 422
        opens = page.get_by_role("button", name="Open it as a long recording")
        expect(opens).to_have_count(2)  # of the large one and the long one; more than 4 MB are no recording either
        opens.last.click()
        expect(page.locator("#recording-name")).to_have_text("long.wav")

        page.get_by_role("link", name="Single sounds").click()
        page.set_input_files("#listen-folder-files", folder)
        expect(page.locator("#answers-count")).to_have_text("12 files: 12 “low”.")
        page.get_by_role("button", name="field/day 2/07.wav").click()
        expect(page.locator("#verdict-name")).to_have_text("low")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the answers").click()
        assert Path(download.value.path()).read_text().splitlines()[1].startswith("field/day 2/00.wav,low,")
        page.set_input_files("#teach-files", [tmp_path / "large.wav", sounds / "low-2.wav"])
        expect(page.get_by_role("alert").first).to_contain_text("“large.wav” is larger than 1 MB")
        expect(page.locator("#new-clips li")).to_have_count(1)


def test_long_names_of_files_fit_on_a_phone(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    """Those of a class's clips, and those in the table of answers, of which no word but a name is broken."""
    files = [tmp_path / f"a_recorder's_name_that_has_no_end_in_sight_{number}.wav" for number in range(2)]
    for file in files:
        file.write_bytes((sounds / "low-0.wav").read_bytes())
    with (
        running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url,
        chromium.page(url, width=360, height=740) as page,
    ):
        teach(page, "low", *files)
        page.get_by_role("button", name="Clips of low").click()
        page.set_input_files("#listen-files", [*files, sounds / "high-0.wav"])
        expect(page.locator("#answer-rows .answer-name")).to_have_text(["low", "low", "none (closest: low)"])
        assert width(page) == 360
        for name in ("clip-list", "answer-table"):
            assert page.locator(f".{name}").evaluate("e => e.scrollWidth <= e.clientWidth"), name
        heights = page.locator("#answers thead th").evaluate_all("all => all.map(e => e.clientHeight)")
        assert max(heights) < 40  # one line
        right = "e => e.getBoundingClientRect().right"
        ends = [page.locator(f"#answers {part}").first.evaluate(right) for part in ("table", "tbody .value")]
        assert ends[0] - ends[1] < 2  # no empty column


def test_undo_in_python() -> None:
    """Also over what needs no server: the order of the classes is what it was."""
    recognizer = tiny_recognizer()
    for name, pitch in (("a", 300.0), ("b", 900.0), ("c", 3000.0)):
        recognizer.enroll(name, [tone(pitch)], rate=16_000)
    before = recognizer.predict_proba([tone(500.0)], rate=16_000)
    recognizer.remove("b")
    recognizer.undo()
    assert recognizer.classes == ["a", "b", "c"]
    assert (recognizer.predict_proba([tone(500.0)], rate=16_000) == before).all()
    for _ in range(3):
        recognizer.undo()
    assert recognizer.classes == []
    with pytest.raises(DataError, match="nothing to undo"):
        recognizer.undo()
