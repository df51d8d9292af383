"""The timeline after decisions: a second search keeps them, and finds nothing twice."""

from pathlib import Path

import pytest

from tests.events.detection.recordings import write_recording
from tests.serve.chromium import browser
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone_wav
from tests.serve.test_page import expect
from tests.serve.test_timeline import SEARCH_TIMEOUT, SECONDS, drag, open_recording, rows

pytestmark = pytest.mark.soak


def test_a_second_search_learns_from_the_decisions(tmp_path: Path) -> None:
    (tmp_path / "microphone.wav").write_bytes(tone_wav(3000.0))
    path = tmp_path / "dawn.wav"
    calls = write_recording(path, seconds=SECONDS)
    with (
        browser(tmp_path / "microphone.wav") as chromium,
        running(FakeRecognizer()) as url,
        chromium.page(url) as page,
    ):
        open_recording(page, path)
        page.get_by_label("Look for").fill("chirp")
        for call in calls[:4]:
            drag(page, call.start, call.end)
        page.get_by_role("button", name="Find the rest").click()
        expect(page.locator("#review")).to_be_visible(timeout=SEARCH_TIMEOUT)
        page.keyboard.press("n")
        page.keyboard.press("y")
        decided = [(start, name) for start, _, name in rows(page) if name in ("no", "yes")]
        assert [name for _, name in decided] == ["no", "yes"]

        page.get_by_role("button", name="Find again").click()
        expect(page.locator("#recording-progress")).to_be_visible()
        expect(page.locator("#recording-progress")).to_be_hidden(timeout=SEARCH_TIMEOUT)
        page.get_by_label("Hide what is less sure than").fill("0.5")
        again = rows(page)
        assert [(start, name) for start, _, name in again if name in ("no", "yes")] == decided
        times = [start for start, *_ in again]
        assert len({round(time) for time in times}) == len(times)  # nothing is there twice
