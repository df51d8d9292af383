"""``fewshot-audio serve``: what it listens to, what it says, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fewshot_audio.errors import ConfigError
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.serve.run import is_local, listen, run_server
from tests.serve.fake import FakeRecognizer
from tests.serve.sounds import tone_wav

COMMAND_LINE = "from fewshot_audio.cli import main; main()"
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("box.example", False),
        ("localhost.evil.example", False),
    ],
)
def test_local_addresses(host: str, local: bool) -> None:
    assert is_local(host) == local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "box.example"])
def test_others_need_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=r"--token"):
        run_server(FakeRecognizer(), host=host, on_start=print)


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "0123456789abcde ", "0123456789abcdé", "0123456789\nabcdef"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        run_server(FakeRecognizer(), token=token, on_start=print)


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1, port {port}: .*in use"):
            run_server(FakeRecognizer(), port=port, on_start=print)


@contextmanager
def command(*arguments: object, **variables: str) -> Iterator["tuple[subprocess.Popen[str], str, str]"]:
    """Start the command on a free port; yields the process, its address and what it says of changes."""
    words = [sys.executable, "-c", COMMAND_LINE, "serve", *map(str, arguments), "--port", "0"]
    environment = os.environ | variables
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            match = re.match(r"Open (http://\S+) ", process.stdout.readline())
            assert match, process.communicate()
            yield process, match[1], process.stdout.readline().strip()
        finally:
            process.kill()


def test_unsaved_changes_are_told_at_the_end(bundle: Path) -> None:
    with command(bundle) as (process, url, promise):
        clips = [("clips", ("a.wav", tone_wav(300)))]
        assert httpx.post(f"{url}/api/classes", data={"name": "low"}, files=clips, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "kept in memory" in promise
    assert f"Stopped; 1 change since the start is not in {bundle}." in err
    assert "Traceback" not in err
    assert Recognizer.load(bundle).classes == []


def test_changes_are_saved_where_asked_behind_a_token(bundle: Path) -> None:
    with command(bundle, "--save", "--host", "0.0.0.0", FEWSHOT_AUDIO_TOKEN=TOKEN) as (process, url, promise):
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/api/state").status_code == 401
        headers = {"Host": f"{socket.gethostname()}", "Authorization": f"Bearer {TOKEN}"}
        clips = [("clips", ("a.wav", tone_wav(300)))]
        assert (
            httpx.post(f"{url}/api/classes", data={"name": "low"}, files=clips, headers=headers, timeout=60).status_code
            == 200
        )
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert promise == f"Changes are saved to {bundle}."
    assert err == ""
    assert Recognizer.load(bundle).classes == ["low"]
