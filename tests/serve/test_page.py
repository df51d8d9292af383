"""The page, in a browser: what a person does, by mouse and by keyboard, on a screen and on a phone."""

import itertools
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.recognition.recognizer import Recognizer
from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, SharedDecoder, tiny_recognizer
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running

LOW, HIGH = 300.0, 3000.0
TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def url(decoder: SharedDecoder) -> Iterator[str]:
    """A server without classes, over the fake recognizer."""
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder) as address:
        yield address


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect as playwright_expect

    playwright_expect.set_options(timeout=20_000)  # as the page's own: a busy machine is no failure
    return playwright_expect(locator)


def ready(page: Any) -> None:
    """Wait until nothing is on its way: a request still to come might take over what another program saves."""
    expect(page.locator("body")).not_to_have_class("working")
    expect(page.locator("#status")).not_to_have_text("Connecting …")


def teach(page: Any, name: str, *files: Path) -> None:
    ready(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.set_input_files("#teach-files", list(files))
    page.get_by_role("button", name=re.compile("^Teach with [0-9]+ clips?$")).click()
    expect(page.get_by_role("alert").first).to_contain_text(f"to “{name}”")
    ready(page)


def teach_both(page: Any, sounds: Path) -> None:
    for name in ("low", "high"):
        teach(page, name, *(sounds / f"{name}-{number}.wav" for number in range(3)))


def ask(page: Any, file: Path) -> None:
    ready(page)
    page.set_input_files("#listen-files", file)
    expect(page.locator("#answer")).to_be_visible()


def enrolled_names(page: Any) -> list[str]:
    return page.locator("#classes .name").all_text_contents()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["fake", "real"])
def test_a_persons_way_through_the_page(
    kind: str, chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    backend = FakeRecognizer() if kind == "fake" else tiny_recognizer()
    with running(backend, limits=LIMITS, decoder=decoder) as url, chromium.page(url) as page:
        # Nothing is enrolled: the page says what to do, and does not offer what cannot work.
        expect(page.locator("#classes-empty")).to_be_visible()
        for card in ("map-card", "checkup"):
            expect(page.locator(f"#{card}")).to_be_hidden()
        expect(page.get_by_role("button", name="Record", exact=True)).to_be_disabled()
        expect(page.locator("#listen-hint")).to_contain_text("Teach one first")

        teach_both(page, sounds)
        assert enrolled_names(page) == ["low", "high"]
        expect(page.locator("#map .dot")).to_have_count(6)
        expect(page.locator("#map .class-name")).to_have_text(["low", "high"])
        expect(page.locator("#findings")).to_contain_text("6 of 6 clips")
        if kind == "real":  # which head decides is said to who asks, and is no finding
            expect(page.locator("#how-decided-text")).to_be_hidden()
            page.get_by_text("How it decides").click()
            expect(page.locator("#how-decided-text")).to_contain_text("Decided by ")
            expect(page.locator("#findings")).not_to_contain_text("Decided by ")
        expect(page.locator("#status")).to_have_text("2 changes in memory only")

        ask(page, sounds / "low-3.wav")
        expect(page.locator("#bars li").first.locator(".name")).to_have_text("low")
        if kind == "fake":
            expect(page.locator("#verdict-name")).to_have_text("low")
        first, second = (page.locator("#bars .fill").nth(i).bounding_box()["width"] for i in (0, 1))
        assert first > second
        expect(page.locator("#map .new-ring")).to_have_count(1)
        assert painted(page, "waveform")
        assert painted(page, "spectrogram")
        expect(page.locator("#picture-caption")).to_contain_text("0.6 s of sound in 2 pieces of 0.5 s")

        record(page, "#listen-record")  # the microphone plays the high tone
        expect(page.locator("#bars li").first.locator(".name")).to_have_text("high")

        page.get_by_role("button", name="Rename low").click()
        page.get_by_label("New name").fill("<b>deep</b> & co")
        page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        expect(page.locator("#classes .name").first).to_have_text("<b>deep</b> & co")
        expect(page.locator("#map .class-name").first).to_have_text("<b>deep</b> & co")

        page.get_by_role("button", name="Remove <b>deep</b> & co").click()
        expect(page.get_by_role("dialog")).to_contain_text("its 3 clips")
        page.get_by_role("button", name="Keep it").click()
        assert len(enrolled_names(page)) == 2
        page.get_by_role("button", name="Remove <b>deep</b> & co").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.locator("#classes li")).to_have_count(1)
        expect(page.locator("#map .dot")).to_have_count(3)

        with page.expect_download() as download:
            page.get_by_role("button", name="Download bundle").click()
        assert download.value.suggested_filename == "recognizer.zip"
        download.value.save_as(tmp_path / "recognizer.zip")
        with zipfile.ZipFile(tmp_path / "recognizer.zip") as archive:
            archive.extractall(tmp_path)
    kind_of = FakeRecognizer if kind == "fake" else Recognizer
    assert kind_of.load(tmp_path / "recognizer").classes == ["high"]


def painted(page: Any, canvas: str) -> bool:
    """Whether a canvas shows more than one color."""
    script = """id => { const c = document.getElementById(id);
        const copy = new OffscreenCanvas(c.width, c.height).getContext("2d");
        copy.drawImage(c, 0, 0);
        return new Set(new Uint32Array(copy.getImageData(0, 0, c.width, c.height).data.buffer)).size }"""
    return bool(page.evaluate(script, canvas) > 1)


def record(page: Any, button: str, seconds: float = 0.8) -> None:
    """Record for a moment; the sound is on its way to the server when this returns."""
    page.locator(button).click()
    expect(page.locator(button)).to_contain_text("Stop (")
    page.wait_for_timeout(1000 * seconds)
    assert painted(page, button.strip("#").replace("record", "meter"))
    page.locator(button).click()
    expect(page.locator(button)).to_contain_text("Record")


def test_what_is_typed_and_added_while_clips_are_sent_is_the_next_sound(
    url: str, chromium: Browser, sounds: Path
) -> None:
    with chromium.page(url) as page:
        ready(page)
        held: list[Any] = []

        def hold(request: Any) -> None:
            held.append(request)

        page.route("**/api/classes", hold)
        page.get_by_label("Name", exact=True).fill("low")
        page.set_input_files("#teach-files", sounds / "low-0.wav")
        with page.expect_request("**/api/classes"):
            page.get_by_role("button", name="Teach with 1 clip").click()
        expect(page.get_by_role("button", name="Teach with 1 clip")).to_be_disabled()
        page.locator("#teach").evaluate("form => form.requestSubmit()")  # as the key Enter does
        page.get_by_label("Name", exact=True).fill("high")
        page.set_input_files("#teach-files", sounds / "high-0.wav")
        expect(page.locator("#new-clips li")).to_have_count(2)
        (request,) = held
        request.continue_()
        page.unroute("**/api/classes")
        expect(page.locator("#classes .name")).to_have_text(["low"])
        expect(page.locator("#new-clips li")).to_have_text(re.compile("high-0.wav"))
        expect(page.get_by_label("Name", exact=True)).to_have_value("high")
        ready(page)
        page.get_by_role("button", name="Teach with 1 clip").click()
        expect(page.locator("#classes .name")).to_have_text(["low", "high"])
        expect(page.locator("#classes .clips")).to_have_text(["1 clip", "1 clip"])
        expect(page.get_by_label("Name", exact=True)).to_have_value("")


def test_teaching_with_the_microphone(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as page:
        for number in (1, 2):
            record(page, "#teach-record")
            expect(page.locator("#new-clips li")).to_have_count(number)
        page.get_by_role("button", name="Leave out recording 1.wav").click()
        expect(page.locator("#new-clips li")).to_have_count(1)
        page.get_by_label("Name", exact=True).fill("whistle")
        page.get_by_role("button", name="Teach with 1 clip").click()
        expect(page.locator("#classes .clips")).to_have_text("1 clip")
        teach(page, "low", sounds / "low-0.wav")
        ask(page, sounds / "high-3.wav")
        expect(page.locator("#verdict-name")).to_have_text("whistle")
        page.get_by_role("button", name="Teach with this clip").click()
        expect(page.locator("#new-clips li")).to_have_text(re.compile("high-3.wav"))


def test_an_unknown_sound_is_shown_as_such(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav", sounds / "low-1.wav")
        ask(page, sounds / "high-0.wav")
        expect(page.locator("#verdict")).to_have_class(re.compile("unknown"))
        expect(page.locator("#verdict")).to_contain_text("None of your sounds")
        expect(page.locator("#verdict")).to_contain_text("The closest is “low”")
        expect(page.locator("#distance")).to_contain_text("too far to be one of them")


def test_what_goes_wrong_is_told_in_words(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as page:
        notice = page.get_by_role("alert").first
        ready(page)
        page.get_by_role("button", name="Teach", exact=True).click()
        expect(notice).to_contain_text("Give the sound a name first")
        page.get_by_label("Name", exact=True).fill("low")
        page.get_by_role("button", name="Teach", exact=True).click()
        expect(notice).to_contain_text("at least one clip")
        page.set_input_files("#teach-files", [sounds / "low-0.wav", sounds / "broken.wav"])
        page.get_by_role("button", name="Teach with 2 clips").click()
        expect(notice).to_contain_text("Added 1 clip to “low”. Not used: “broken.wav”")
        page.get_by_role("button", name="Close this message").click()
        expect(notice).to_be_hidden()
        large = sounds / "large.wav"
        large.write_bytes(bytes(LIMITS.recording_bytes + 1))
        page.set_input_files("#listen-files", large)
        expect(notice).to_contain_text("“large.wav” is larger than 4 MB")
        # The browser itself reports answers from 400 on in its console.
        page.set_input_files("#listen-files", sounds / "broken.wav")
        expect(notice).to_contain_text("The recording cannot be used: unreadable")
        page.route("**/api/classify", lambda route: route.abort())
        page.set_input_files("#listen-files", sounds / "low-0.wav")
        expect(notice).to_contain_text("The server cannot be reached")
        reported = page.watch.console
        assert all(line.startswith("error: Failed to load resource") for line in reported)
        assert len(reported) == 2
        reported.clear()


def test_an_answer_goes_when_the_next_clip_has_none(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as page:
        teach(page, "low", sounds / "low-0.wav")
        ask(page, sounds / "low-1.wav")
        expect(page.locator("#map .new-ring")).to_have_count(1)
        page.set_input_files("#listen-files", sounds / "broken.wav")
        expect(page.get_by_role("alert").first).to_contain_text("The recording cannot be used")
        expect(page.locator("#answer")).to_be_hidden()
        expect(page.locator("#map .new-ring")).to_have_count(0)
        assert len(page.watch.console) == 1  # the browser's own report of the answer 422
        page.watch.console.clear()


def test_a_damaged_recording_is_answered_with_a_remark(
    url: str, chromium: Browser, sounds: Path, tmp_path: Path
) -> None:
    whole = (sounds / "microphone.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    with chromium.page(url) as page:
        teach(page, "high", sounds / "high-0.wav")
        ask(page, tmp_path / "half.wav")
        remark = re.compile(r"^\d+\s% likely\. The file is damaged: [\d.]+ of 2 s heard\.$")
        expect(page.locator("#verdict-detail")).to_have_text(remark)
        page.get_by_label("Name", exact=True).fill("high")
        page.set_input_files("#teach-files", tmp_path / "half.wav")
        page.get_by_role("button", name="Teach with 1 clip").click()
        expect(page.get_by_role("alert").first).to_contain_text("Added 1 clip to “high”. “half.wav” is damaged: ")


def test_by_keyboard_alone(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as page:
        ready(page)
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        expect(page.locator(".skip")).to_be_in_viewport()
        tab_to(page, "teach-name")
        page.keyboard.type("low")
        tab_to(page, "teach-record")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        expect(page.locator("#teach-record")).to_contain_text("Stop (")
        page.wait_for_timeout(700)
        page.keyboard.press("Space")
        expect(page.locator("#new-clips li")).to_have_count(1)
        tab_to(page, "teach-choose")
        with page.expect_file_chooser() as chooser:
            page.wait_for_timeout(300)  # until the browser knows that it is listened to
            page.keyboard.press("Enter")
        chooser.value.set_files(sounds / "high-1.wav")
        expect(page.locator("#new-clips li")).to_have_count(2)
        tab_to(page, "teach-submit")
        page.keyboard.press("Enter")
        expect(page.locator("#classes .clips")).to_have_text("2 clips")
        expect(page.locator("#teach-name")).to_be_focused()

        tab_to(page, label="Rename low", backwards=True)
        page.keyboard.press("Enter")
        page.keyboard.type("whistle")
        page.keyboard.press("Enter")
        expect(page.locator("#classes .name")).to_have_text("whistle")
        expect(page.get_by_role("button", name="Rename whistle")).to_be_focused()
        tab_to(page, label="Remove whistle")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.get_by_role("button", name="Remove whistle")).to_be_focused()
        expect(page.locator("#classes li")).to_have_count(1)


def tab_to(page: Any, name: str = "", label: str = "", backwards: bool = False) -> None:
    """Press Tab until the element with that id or label has the focus."""
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        focus = page.evaluate("[document.activeElement.id, document.activeElement.ariaLabel ?? '']")
        if focus == [name, label]:
            return
    raise AssertionError(f"the keyboard does not reach {name or label}")


def test_every_control_has_a_name(url: str, chromium: Browser, sounds: Path) -> None:
    """As a screen reader tells it."""
    with chromium.page(url) as page:
        teach_both(page, sounds)
        ask(page, sounds / "low-3.wav")
        for role in ("button", "textbox", "img", "combobox", "list"):
            for element in page.get_by_role(role).all():
                label = element.evaluate("e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent.trim()")
                assert label, element.evaluate("e => e.outerHTML")
        assert page.locator("img:not([alt])").count() == 0
        headings = page.locator("h1, h2, h3").evaluate_all(
            "all => all.filter(e => e.checkVisibility()).map(e => +e.tagName[1])"
        )
        assert headings[0] == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
        assert page.get_by_role("img", name=re.compile("Map of 6 clips of 2 classes: low, high")).count() == 1


def test_the_token_is_asked_for(chromium: Browser, decoder: SharedDecoder, sounds: Path) -> None:
    with running(FakeRecognizer(), limits=LIMITS, decoder=decoder, token=TOKEN) as url, chromium.page(url) as page:
        page.get_by_role("textbox", name="Token").fill("not this one")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("dialog")).to_contain_text("This is not the server's token")
        page.get_by_role("textbox", name="Token").fill(TOKEN)
        page.get_by_role("button", name="Continue").click()
        teach(page, "low", sounds / "low-0.wav")
        assert enrolled_names(page) == ["low"]
        page.reload()
        expect(page.locator("#classes .name")).to_have_text("low")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download bundle").click()
        assert download.value.suggested_filename == "recognizer.zip"
        assert all("401" in line for line in page.watch.console)
        page.watch.console.clear()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(dark: bool, url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url, width=360, height=740, dark=dark) as page:
        assert width(page) == 360
        teach(
            page, "a very long name of a sound without any end in sight, as people will have it", sounds / "low-0.wav"
        )
        teach(page, "x" * 90, sounds / "high-0.wav")
        ask(page, sounds / "low-3.wav")
        assert width(page) == 360
        page.goto(f"{url}/docs")
        expect(page.locator(".operation")).to_have_count(35)
        assert width(page) == 360


@pytest.mark.parametrize("across", [360, 800, 1180])
def test_names_are_whole_however_many_buttons_stand_beside_them(
    across: int, url: str, chromium: Browser, sounds: Path
) -> None:
    with chromium.page(url, width=across, height=740) as page:
        teach(page, "x" * 90, sounds / "high-0.wav")
        teach(page, "glass_breaking", sounds / "low-0.wav")
        name = page.locator("#classes .name", has_text="glass_breaking")
        assert name.evaluate("e => e.scrollWidth <= e.clientWidth")
        middles = (
            page.locator("#classes li", has_text="xxx")
            .locator(".name, .clips")
            .evaluate_all("all => all.map(e => e.getBoundingClientRect()).map(box => (box.top + box.bottom) / 2)")
        )
        assert abs(middles[0] - middles[1]) < 5  # how many clips there are, on the same line as a name that is cut


def width(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_can_be_read(dark: bool, url: str, chromium: Browser, sounds: Path) -> None:
    """Contrast of all text against its ground, at least 4.5 (WCAG 2.1, 1.4.3)."""
    with chromium.page(url, dark=dark) as page:
        teach_both(page, sounds)
        ask(page, sounds / "low-3.wav")
        low = page.evaluate(CONTRAST)
        assert low == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == dark


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (e) => {
    const color = e ? parse(getComputedStyle(e).backgroundColor) : [255, 255, 255];
    return (color[3] ?? 1) > 0.99 ? color : ground(e.parentElement);
  };
  const problems = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest("svg, .axis, .skip, datalist, dialog") || e.disabled) continue;
    const [a, b] = [parse(getComputedStyle(e).color), ground(e)].map(light).sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) problems.push(`${e.className} ${e.textContent.trim().slice(0, 30)} ${contrast.toFixed(2)}`);
  }
  return problems;
}"""


def test_several_people_at_once(url: str, chromium: Browser, sounds: Path) -> None:
    """Who asks after somebody else taught sees the new class."""
    with chromium.page(url) as one:
        teach(one, "low", sounds / "low-0.wav")
        with chromium.page(url) as other:
            expect(other.locator("#classes .name")).to_have_text("low")
            teach(other, "high", sounds / "high-0.wav")
        ask(one, sounds / "high-1.wav")
        expect(one.locator("#verdict-name")).to_have_text("high")
        expect(one.locator("#classes .name")).to_have_text(["low", "high"])


@pytest.mark.skipif(
    "FEWSHOT_AUDIO_SCREENSHOTS" not in os.environ or "FEWSHOT_AUDIO_BUNDLE" not in os.environ,
    reason="writes the pictures of the docs; FEWSHOT_AUDIO_SCREENSHOTS (folder) and FEWSHOT_AUDIO_BUNDLE are unset",
)
def test_pictures_of_the_page(chromium: Browser) -> None:
    """With a trained bundle, and a recording of one of its classes in FEWSHOT_AUDIO_CLIP."""
    folder = Path(os.environ["FEWSHOT_AUDIO_SCREENSHOTS"])
    clip = Path(os.environ["FEWSHOT_AUDIO_CLIP"])
    with running(Recognizer.load(os.environ["FEWSHOT_AUDIO_BUNDLE"])) as url:
        for name, size in {"light": (1180, 900), "dark": (1180, 900), "phone": (360, 740)}.items():
            scale = 2 if name == "phone" else 1
            with chromium.page(url, width=size[0], height=size[1], dark=name == "dark", scale=scale) as page:
                expect(page.locator("#map svg")).to_be_visible()
                ask(page, clip)
                page.screenshot(path=folder / f"page-{name}.png", full_page=name != "phone")
