"""``fewshot-audio serve``: what it listens to, what it says, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fewshot_audio import files
from fewshot_audio.cli import app
from fewshot_audio.errors import ConfigError, WriteError
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
    with command(bundle, "--no-save") as (process, url, promise):
        clips = [("clips", ("a.wav", tone_wav(300)))]
        assert httpx.post(f"{url}/api/classes", data={"name": "low"}, files=clips, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert promise == "Changes are kept in memory. Download the bundle from the page to keep them."
    assert f"Stopped; 1 change since the start is not in {bundle}." in err
    assert "Traceback" not in err
    assert Recognizer.load(bundle).classes == []


def test_changes_are_saved_by_themselves_behind_a_token(bundle: Path) -> None:
    with command(bundle, "--host", "0.0.0.0", FEWSHOT_AUDIO_TOKEN=TOKEN) as (process, url, promise):
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


def test_a_new_bundle_is_started_without_any_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with command("--new") as (_, url, promise):
        assert httpx.get(f"{url}/api/state").json()["classes"] == []
    assert promise == "Changes are saved to my_recognizer."
    assert Recognizer.load(tmp_path / "my_recognizer").classes == []
    again = CliRunner().invoke(app, ["serve", "--new"])
    assert again.exit_code == 2
    assert "my_recognizer is a bundle already" in " ".join(again.output.split())


def test_without_a_bundle_the_command_says_how_to_start_one() -> None:
    answer = CliRunner().invoke(app, ["serve"])
    assert answer.exit_code == 2
    assert "--new" in answer.output


def test_a_folder_that_cannot_be_written_is_told_and_served(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise WriteError(f"{path}: cannot be written: Read-only file system")

    given: dict[str, Any] = {}

    def run(_: object, *, on_start: Callable[[str], None], **options: Any) -> int:
        given.update(options)
        on_start("http://127.0.0.1:1")
        return 0

    monkeypatch.setattr(files, "check_writable", refused)
    monkeypatch.setattr("fewshot_audio.serve.run.run_server", run)
    answer = CliRunner().invoke(app, ["serve", str(bundle)])
    assert given["folder"] is None
    assert "Read-only file system; changes are kept in memory." in " ".join(answer.output.split())
