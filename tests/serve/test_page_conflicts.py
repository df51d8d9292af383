"""The page, where something goes wrong behind it: another writer, another tab, a full disk. Nothing typed is lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serve.chromium import Browser
from tests.serve.conftest import LIMITS, SharedDecoder
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone
from tests.serve.test_full_disk import FULL, FullDisk
from tests.serve.test_page import enrolled_names, expect, ready, teach, teach_both

SCREENSHOTS = os.environ.get("FEWSHOT_AUDIO_PROBLEM_SCREENSHOTS")


def picture(page: Any, name: str) -> None:
    """Keep a picture for who wants to look at it."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with the class "low"."""
    recognizer = FakeRecognizer()
    recognizer.enroll("low", [tone(300.0).astype("float32")], rate=16_000)
    recognizer.save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def url(folder: Path, decoder: SharedDecoder) -> Iterator[str]:
    """A server that saves into the folder."""
    with running(FakeRecognizer.load(folder), limits=LIMITS, decoder=decoder, folder=folder) as address:
        yield address


def add_elsewhere(folder: Path, name: str) -> None:
    other = FakeRecognizer.load(folder)
    other.enroll(name, [tone(1000.0).astype("float32")], rate=16_000)
    other.save(folder)


def notice(page: Any) -> Any:
    return expect(page.get_by_role("alert").first)


@contextmanager
def refused_requests(page: Any) -> Iterator[None]:
    """The browser's console notes an answer 409: that is expected here, and nothing else."""
    yield
    page.watch.console[:] = [line for line in page.watch.console if "409" not in line]


def test_clips_and_name_are_kept_if_another_program_has_changed_the_bundle(
    url: str, folder: Path, chromium: Browser, sounds: Path
) -> None:
    with chromium.page(url) as page, refused_requests(page):
        ready(page)
        page.get_by_label("Name", exact=True).fill("high")
        page.set_input_files("#teach-files", [sounds / "high-0.wav", sounds / "high-1.wav"])
        add_elsewhere(folder, "mid")
        page.get_by_role("button", name="Teach with 2 clips").click()
        notice(page).to_contain_text("Another program has changed the bundle")
        expect(page.locator("#classes .name")).to_have_text(["low", "mid"])
        expect(page.get_by_label("Name", exact=True)).to_have_value("high")
        expect(page.locator("#new-clips li")).to_have_count(2)
        picture(page, "another-program")
        page.get_by_role("button", name="Teach with 2 clips").click()
        notice(page).to_contain_text("Added 2 clips")
        expect(page.locator("#status")).to_have_text("All changes saved")
    assert FakeRecognizer.load(folder).classes == ["low", "mid", "high"]


def test_a_stale_tab_does_not_remove_another_class_of_the_same_name(url: str, chromium: Browser, sounds: Path) -> None:
    with chromium.page(url) as stale, refused_requests(stale):
        ready(stale)
        stale.get_by_role("button", name="Remove low").click()
        with chromium.page(url) as other:
            ready(other)
            other.get_by_role("button", name="Remove low").click()
            other.get_by_role("dialog").get_by_role("button", name="Remove").click()
            expect(other.locator("#classes li")).to_have_count(0)
            teach(other, "low", sounds / "high-0.wav", sounds / "high-1.wav")
        stale.get_by_role("dialog").get_by_role("button", name="Remove").click()
        notice(stale).to_contain_text("“low” has changed since you saw it")
        expect(stale.locator("#classes .clips")).to_have_text(["2 clips"])
        picture(stale, "another-class")
        stale.get_by_role("button", name="Remove low").click()
        expect(stale.get_by_role("dialog")).to_contain_text("its 2 clips")
        stale.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(stale.locator("#classes li")).to_have_count(0)


def test_a_new_name_that_was_refused_is_kept(url: str, folder: Path, chromium: Browser) -> None:
    with chromium.page(url) as page, refused_requests(page):
        ready(page)
        page.get_by_role("button", name="Rename low").click()
        page.get_by_label("New name").fill("deep and long")
        add_elsewhere(folder, "mid")
        page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        notice(page).to_contain_text("Another program")
        page.get_by_role("button", name="Rename low").click()
        expect(page.get_by_label("New name")).to_have_value("deep and long")
        page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        expect(page.locator("#classes .name")).to_have_text(["deep and long", "mid"])
        page.get_by_role("button", name="Rename mid").click()
        expect(page.get_by_label("New name")).to_have_value("mid")


def test_the_page_says_what_is_not_on_disk(
    chromium: Browser, decoder: SharedDecoder, sounds: Path, tmp_path: Path
) -> None:
    backend = FullDisk(FULL)
    served = running(backend, limits=LIMITS, decoder=decoder, folder=tmp_path / "bundle")
    with served as url, chromium.page(url) as page:
        teach_both(page, sounds)
        expect(page.locator("#status")).to_have_text("2 changes not on disk")
        expect(page.locator("#save-problem")).to_contain_text("No space left on device")
        assert page.locator("#status").get_attribute("data-kind") == "bad"
        picture(page, "full-disk")
        page.reload()
        ready(page)
        expect(page.locator("#status")).to_have_text("2 changes not on disk")
        backend.failure = None
        teach(page, "low", sounds / "low-3.wav")
        expect(page.locator("#status")).to_have_text("All changes saved")
        expect(page.locator("#save-problem")).to_be_hidden()
        assert enrolled_names(page) == ["low", "high"]
    assert FakeRecognizer.load(tmp_path / "bundle").classes == ["low", "high"]
