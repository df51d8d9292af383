"""Headless Chromium on the real page, with a microphone that plays a file."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str:
    """Path of a browser; skips the test if there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser on PATH (looked for {', '.join(NAMES)})")
    return path


@dataclass
class Watch:
    """What must not happen on a page: messages in the console, errors, requests to elsewhere."""

    origin: str
    console: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def clean(self) -> bool:
        """Whether none of it happened."""
        return not (self.console or self.elsewhere)


@contextmanager
def browser(microphone: Path) -> Iterator["Browser"]:
    """Start a browser whose microphone plays a wav file, over and over."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}"]
        chromium = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


class Browser:
    """Opens pages and watches them."""

    def __init__(self, chromium: object) -> None:
        self._chromium = chromium

    @contextmanager
    def page(self, url: str, *, width: int = 1180, height: int = 900, dark: bool = False, scale: float = 1) -> Iterator:  # type: ignore[type-arg]
        """Open an address; at the end asserts that nothing came from elsewhere, and no message in the console."""
        context = self._chromium.new_context(  # type: ignore[attr-defined]
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            device_scale_factor=scale,
            accept_downloads=True,
        )
        watch = Watch(url)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: watch.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watch.console.append(f"error: {error}"))
        local = (url, f"blob:{url}", "data:")
        page.on("request", lambda sent: None if sent.url.startswith(local) else watch.elsewhere.append(sent.url))
        page.watch = watch
        try:
            page.goto(url)
            yield page
            assert watch.clean(), watch
        finally:
            context.close()
