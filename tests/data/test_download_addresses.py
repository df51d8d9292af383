"""Addresses: which are asked for, where redirects may lead, and that no secret of one is shown."""

import logging
from pathlib import Path

import pytest

from fewshot_audio.data.download.addresses import LONGEST_TEXT, follow, shown_address, shown_text
from fewshot_audio.data.download.fetch import RetryPolicy, fetch
from fewshot_audio.errors import DataError
from tests.data.download_server import Behavior, Server, good, redirect, status

ONCE = RetryPolicy(tries=1, stall_seconds=0.3, first_delay=0.0)
SECRET = "t0ps3cret"


def test_redirects_stay_encrypted_and_anonymous() -> None:
    assert follow("https://a.example/x", "y?z=1") == "https://a.example/y?z=1"
    assert follow("http://a.example/x", "https://b.example/") == "https://b.example/"
    with pytest.raises(DataError, match="to an open one"):
        follow("https://a.example/x", "http://a.example/x")
    with pytest.raises(DataError, match="a user name"):
        follow("http://a.example/x", "http://me:secret@b.example/x")


def test_the_bytes_of_a_redirect_are_kept() -> None:
    """http.client reads each byte as a character; most servers mean UTF-8."""
    assert follow("http://a.example/x", "/\u00e9".encode().decode("latin-1")) == "http://a.example/%C3%A9"


@pytest.mark.parametrize("location", ["http://[::1", "http://a.example:99999/", "javascript:x", "FILE:///etc"])
def test_redirects_to_no_address(location: str) -> None:
    with pytest.raises(DataError, match="expected an http or https address"):
        follow("http://a.example/x", location)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a.example/f",
        "a.example/f",
        "http://",
        "http://[::1/f",
        "http://a.example:x/",
        f"http://me:{SECRET}@a.example/f",
        f"http://{SECRET}@a.example/f",
        f"http://{'a' * 70}.example/f?{SECRET}",
        f"http://a.example/f?{SECRET} with a blank",
    ],
)
def test_other_addresses_are_not_asked(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DataError, match="address") as caught:
        fetch(url, tmp_path / "f", limit=1, retry=ONCE)
    assert SECRET not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_shown_of_an_address() -> None:
    assert shown_address("https://me:pass@a.example:8080/b/c?d=e#f") == "https://a.example:8080/b/c?..."
    assert shown_address("https://a.example/b") == "https://a.example/b"
    assert shown_address("http://[::1") == "(no valid address)"
    assert shown_address("data:,x") == "data:..."
    assert shown_address("x") == "(no address of a host)"
    assert shown_text("a\x1b[2J\n\u202eb") == "a?[2J??b"
    assert shown_text("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert shown_text("x" * 10**6) == "x" * LONGEST_TEXT + "..."


@pytest.mark.parametrize(
    "end",
    [
        status(403),
        status(500),
        status(204),
        good(bytes(50_000)),  # more than expected
        redirect(f"ftp://a.example/f?{SECRET}"),
        redirect(f"data:,{SECRET}"),
        redirect(f"http://me:{SECRET}@a.example/f"),
        redirect(f"http://a.example:{SECRET}/f"),
        redirect(f"/signed?{SECRET}"),  # without end
        redirect(f"http://{'a' * 70}.example/f?{SECRET}"),
    ],
    ids=["refused", "temporary", "no file", "too large", "scheme", "data", "user", "port", "loop", "no host name"],
)
def test_secrets_of_addresses_are_not_shown(
    server: Server, tmp_path: Path, end: Behavior, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.serve(f"/signed?{SECRET}", end)
    url = server.serve(f"/f?{SECRET}", redirect(f"/signed?{SECRET}"))
    with pytest.raises(DataError) as caught:
        fetch(url, tmp_path / "f", limit=1000, retry=ONCE)
    assert "http://" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text
