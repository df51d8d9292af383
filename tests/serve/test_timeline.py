"""The timeline in a browser: a recording is sent, marked by dragging, searched, reviewed by keys, and written down."""

import os
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio import serve
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.options import THRESHOLD
from fewshot_audio.events.read import read_annotations
from fewshot_audio.events.write import FileDetections
from fewshot_audio.serve import recording_search
from fewshot_audio.serve.recording_search import LOWEST_SCORE
from tests.events.detection.recordings import write_recording
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, SharedDecoder
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone_wav
from tests.serve.test_page import CONTRAST, expect, painted, tab_to, teach, width

SECONDS = 24.0
NAMELESS = """all => all
    .filter(e => !(e.ariaLabel || e.labels?.[0]?.textContent || e.textContent.trim() || e.ariaHidden))
    .map(e => e.outerHTML)"""
SEARCH_TIMEOUT = 300_000  # milliseconds


@pytest.fixture(scope="module")
def dawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Annotation]]:
    """A recording, and its calls."""
    path = tmp_path_factory.mktemp("recordings") / "dawn.wav"
    return path, write_recording(path, seconds=SECONDS)


def open_recording(page: Any, path: Path) -> None:
    page.get_by_role("link", name="Long recording").click()
    page.set_input_files("#recording-file", path)
    expect(page.locator("#recording-work")).to_be_visible()
    expect(page.locator("#recording-name")).to_have_text(path.name)


def view(page: Any) -> tuple[float, float]:
    """Start and end of what the timeline shows, in seconds."""
    frame = page.locator("#timeline")
    return float(frame.get_attribute("data-start")), float(frame.get_attribute("data-end"))


def drag(page: Any, start: float, end: float) -> None:
    """Drag over a part of the recording."""
    box = page.locator("#timeline-events").bounding_box()
    first, last = view(page)
    across = [box["x"] + (time - first) / (last - first) * box["width"] for time in (start, (start + end) / 2, end)]
    height = box["y"] + box["height"] / 2
    page.mouse.move(across[0], height)
    page.mouse.down()
    page.mouse.move(across[1], height)
    page.mouse.move(across[2], height)
    page.mouse.up()


def rows(page: Any) -> list[tuple[float, float, str]]:
    """Start, end and decision of the events in the list."""
    found = page.locator("#event-rows li").evaluate_all(
        "all => all.map(e => [e.dataset.start, e.dataset.end, e.className])"
    )
    return [(float(start), float(end), name.removeprefix("event ")) for start, end, name in found]


def is_call(start: float, end: float, calls: list[Annotation]) -> bool:
    return any(abs(call.start - start) < 0.2 and abs(call.end - end) < 0.2 for call in calls)


def test_the_first_minutes_of_a_long_recording_are_looked_at_while_the_rest_is_searched(
    chromium: Browser, decoder: SharedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    calls = write_recording(path, seconds=150.0)
    monkeypatch.setattr(recording_search, "FIRST_MINUTES", 1)
    may_go_on, whole = threading.Event(), Detector.search

    def search(self: Detector, path: Path, report: Any, *, minutes: int | None = None) -> FileDetections:
        assert minutes is not None or may_go_on.wait(SEARCH_TIMEOUT / 1000)
        return whole(self, path, report, minutes=minutes)

    monkeypatch.setattr(Detector, "search", search)
    limits = replace(LIMITS, recording_bytes=64 << 20, recording_seconds=600.0)
    with running(FakeRecognizer(), limits=limits, decoder=decoder) as url, chromium.page(url) as page:
        open_recording(page, path)
        page.get_by_label("Look for").fill("chirp")
        page.get_by_text("Mark an event by its times").click()
        for call in calls[:4]:
            page.locator("#mark-start").fill(f"{call.start:.2f}")
            page.locator("#mark-end").fill(f"{call.end:.2f}")
            page.locator("#mark-by-numbers").evaluate("form => form.requestSubmit()")
        page.get_by_role("button", name="Find the rest").click()
        expect(page.locator("#review")).to_be_visible(timeout=SEARCH_TIMEOUT)
        expect(page.locator("#step")).to_contain_text("What was found in the first 1 minute is here already.")
        first = rows(page)
        assert [name for *_, name in first[:5]] == ["mark"] * 4 + ["open"]
        assert first[-1][1] < 61.0
        page.locator("#timeline").focus()
        page.keyboard.press("y")
        expect(page.locator("#event-rows .yes")).to_have_count(1)

        may_go_on.set()
        expect(page.get_by_role("button", name="Find again")).to_be_enabled(timeout=SEARCH_TIMEOUT)
        found = rows(page)
        assert [name for *_, name in found] == ["mark"] * 4 + ["yes"] + ["open"] * (len(calls) - 5)
        assert all(is_call(start, end, calls) for start, end, _ in found)
        expect(page.locator("#event-rows [aria-current]")).to_have_attribute("data-start", str(found[5][0]))


def test_from_a_recording_to_a_table(
    chromium: Browser, decoder: SharedDecoder, dawn: tuple[Path, list[Annotation]], tmp_path: Path
) -> None:
    path, calls = dawn
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        open_recording(page, path)
        assert view(page) == (0.0, SECONDS)
        expect(page.locator("#step")).to_contain_text("drag over the first one")
        expect(page.get_by_role("button", name="Find the rest")).to_be_disabled()
        for canvas in ("timeline-spectrogram", "timeline-frequencies", "timeline-times", "overview"):
            assert painted(page, canvas), canvas

        page.get_by_label("Look for").fill("chirp")
        for call in calls[:4]:
            drag(page, call.start, call.end)
        expect(page.locator("#table-count")).to_have_text("4 events: what you marked.")
        marks = rows(page)
        assert [name for *_, name in marks] == ["mark"] * 4
        assert all(is_call(start, end, calls[:4]) for start, end, _ in marks)
        page.keyboard.press("u")
        assert len(rows(page)) == 3
        page.keyboard.press("ArrowRight")  # the end is in view already
        drag(page, calls[3].start, calls[3].end)

        page.get_by_role("button", name="Find the rest").click()
        expect(page.locator("#review")).to_be_visible(timeout=SEARCH_TIMEOUT)
        open_events = [(start, end) for start, end, name in rows(page) if name == "open"]
        assert len(open_events) == len(calls) - 4
        assert all(is_call(start, end, calls[4:]) for start, end in open_events)
        expect(page.locator("#review-count")).to_contain_text(f"{len(open_events)} of them not looked at yet")

        # The first is selected; each decision leads to the next one. Space plays exactly the event.
        with page.expect_response(re.compile("/sound")) as played:
            page.keyboard.press("Space")
        start, end = open_events[0]
        asked = [float(value) for value in re.findall(r"=([\d.]+)", played.value.url)]
        assert asked == pytest.approx([start, end], abs=1e-3)
        page.keyboard.press("n")
        page.keyboard.press("y")
        assert [name for *_, name in rows(page)][4:6] == ["no", "yes"]
        page.keyboard.press("u")
        page.keyboard.press("y")
        page.keyboard.press("k")
        expect(page.locator("#event-rows [aria-current]")).to_have_class("event yes")
        page.keyboard.press("k")
        expect(page.locator("#event-rows [aria-current]")).to_have_class("event no")

        page.reload()  # what was marked and decided is still there
        expect(page.locator("#review")).to_be_visible()
        expect(page.get_by_label("Look for")).to_have_value("chirp")
        assert [name for *_, name in rows(page)][:6] == ["mark"] * 4 + ["no", "yes"]

        page.get_by_label("Hide what is less sure than").fill("1")
        expect(page.locator("#event-rows li")).to_have_count(6)
        lower = re.compile("shown, 0 of them not looked at yet. [1-9][0-9]* more, less sure, (is|are) hidden.$")
        expect(page.locator("#review-count")).to_have_text(lower)
        page.get_by_label("Table for").select_option("raven")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the table").click()
        assert download.value.suggested_filename == "dawn.selections.txt"
        download.value.save_as(tmp_path / "dawn.selections.txt")
        table = read_annotations(tmp_path / "dawn.selections.txt", audio=path)
        kept = [start for start, _, name in rows(page) if name != "no"]
        assert [mark.start for mark in table.annotations] == pytest.approx(kept, abs=2e-3)
        assert {mark.label for mark in table.annotations} == {"chirp"}

        page.get_by_role("button", name="Close").click()
        expect(page.locator("#recording-start")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0


def test_by_keyboard_and_on_a_phone(
    chromium: Browser, decoder: SharedDecoder, dawn: tuple[Path, list[Annotation]]
) -> None:
    """An event is marked by its times; the picture is zoomed and scrolled; nothing is wider than the screen."""
    with (
        running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url,
        chromium.page(url, width=360, height=740, dark=True) as page,
    ):
        open_recording(page, dawn[0])
        expect(page.locator("#timeline")).to_be_focused()
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert view(page) == (9.0, 15.0)
        page.keyboard.press("ArrowRight")
        assert view(page) == (10.5, 16.5)
        page.keyboard.press("0")
        assert view(page) == (0.0, SECONDS)
        page.get_by_text("Mark an event by its times").click()
        page.get_by_label("From", exact=True).fill("30")
        page.get_by_role("button", name="Mark", exact=True).click()
        expect(page.get_by_role("alert").first).to_contain_text("between 0 and 24.00")
        page.get_by_label("From", exact=True).fill("2")
        page.get_by_label("to", exact=True).fill("2.5")
        page.keyboard.press("Enter")
        assert rows(page) == [(2.0, 2.5, "mark")]
        expect(page.locator("#step")).to_contain_text("Mark one more “sound”")
        page.get_by_label("Name of the event at 0:02.00").fill("wren")
        tab_to(page, label="Remove wren, 0:02.00")
        assert width(page) == 360
        assert page.evaluate(CONTRAST) == []
        controls = page.locator("#recording-work button, #recording-work input, #recording-work canvas")
        assert controls.evaluate_all(NAMELESS) == []
        page.keyboard.press("Enter")
        assert rows(page) == []


@pytest.mark.parametrize("seconds", [6.0, 36.0], ids=["long", "large"])
def test_a_file_that_is_too_long_for_an_answer_is_opened(
    seconds: float, chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    """One that the server finds too long, and one that is larger than a request for an answer may be."""
    (tmp_path / "night.wav").write_bytes(tone_wav(300.0, seconds=seconds))
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav")
        page.set_input_files("#listen-files", tmp_path / "night.wav")
        expect(page.locator("#recording-name")).to_have_text("night.wav")
        expect(page.get_by_role("alert").first).to_contain_text("“night.wav” is too long for a single answer")
        is_asked = (tmp_path / "night.wav").stat().st_size <= LIMITS.upload_bytes
        assert len(page.watch.console) == is_asked  # the browser's own report of the answer 422
        page.watch.console.clear()


def test_what_cannot_be_read_is_told(chromium: Browser, decoder: SharedDecoder, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"this is no sound")
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        page.get_by_role("link", name="Long recording").click()
        page.set_input_files("#recording-file", tmp_path / "broken.wav")
        expect(page.get_by_role("alert").first).to_contain_text("“broken.wav” cannot be used: not a sound file")
        expect(page.locator("#recording-start")).to_be_visible()
        (tmp_path / "large.wav").write_bytes(bytes(LIMITS.recording_bytes + 1))
        page.set_input_files("#recording-file", tmp_path / "large.wav")
        expect(page.get_by_role("alert").first).to_contain_text("“large.wav” is larger than 4 MB")


def test_the_page_shows_what_detect_reports() -> None:
    page = (Path(serve.__file__).parent / "page" / "index.html").read_text()
    assert f'id="threshold" min="{LOWEST_SCORE:g}" max="1" step="0.01" value="{THRESHOLD:g}"' in page


@pytest.mark.skipif(
    "FEWSHOT_AUDIO_SCREENSHOTS" not in os.environ or "FEWSHOT_AUDIO_MARKS" not in os.environ,
    reason="writes the pictures of the docs; FEWSHOT_AUDIO_SCREENSHOTS (folder) and FEWSHOT_AUDIO_MARKS are unset",
)
def test_pictures_of_the_timeline(chromium: Browser) -> None:
    """With a table of the first events of a recording, which lies beside it, in FEWSHOT_AUDIO_MARKS."""
    folder = Path(os.environ["FEWSHOT_AUDIO_SCREENSHOTS"])
    marks = read_annotations(Path(os.environ["FEWSHOT_AUDIO_MARKS"])).annotations
    with running(FakeRecognizer()) as url:
        for name, size in {"light": (1180, 900), "dark": (1180, 900), "phone": (360, 740)}.items():
            scale = 2 if name == "phone" else 1
            with chromium.page(url, width=size[0], height=size[1], dark=name == "dark", scale=scale) as page:
                open_recording(page, marks[0].file)
                page.get_by_label("Look for").fill(marks[0].label)
                for mark in marks:
                    while view(page)[1] < mark.end:
                        page.keyboard.press("ArrowRight")
                    drag(page, mark.start, mark.end)
                page.get_by_role("button", name="Find the rest").click()
                expect(page.locator("#review")).to_be_visible(timeout=SEARCH_TIMEOUT)
                page.keyboard.press("y")
                page.keyboard.press("-")
                page.wait_for_timeout(1000)  # the spectrogram of this part
                page.screenshot(path=folder / f"timeline-{name}.png", full_page=name != "phone")
