"""What commands print can be printed anywhere, and shows names as they are or escaped."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from fewshot_audio.cli import console
from tests.shell import Shell

TABLE = """
from fewshot_audio.cli.console import print_error, print_line, print_table, print_text, set_encoding
set_encoding()
print_line("bird: 鳥")
print_table("title", ("class", "clips"), [("鳥", "1"), ("z" * 120, "2")])
print_text("exact: 鳥\\n")
print_error("no 鳥")
"""


class Terminal(io.TextIOWrapper):
    """A terminal of a system with another code page."""

    def isatty(self) -> bool:
        return True


def test_files_and_pipes_get_utf_8_whatever_the_code_page() -> None:
    environment = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", TABLE], env=environment, capture_output=True, check=True)
    lines = run.stdout.decode("utf-8").splitlines()
    assert lines[0] == "bird: 鳥"
    assert any(line.startswith("│ 鳥  ") for line in lines)
    assert "".join(lines).count("z") == 120  # a long name is continued, not cut
    assert lines[-1] == "exact: 鳥"
    assert run.stderr.decode("utf-8") == "error: no 鳥\n"


def test_a_terminal_shows_escaped_what_it_has_no_sign_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    console.set_encoding()
    console.print_text("mésange 鳥\n")
    content = terminal.buffer.getvalue()  # type: ignore[attr-defined]
    assert content == "mésange \\u9ce5\n".encode("cp1252")


def test_names_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_line("a\x1b[31mb\x07")
    console.print_error("one\x1b[2J\ntwo")
    console.print_table("title", ("class",), [("a\nb\x1b",)])
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "a\\x1b[31mb\\x07\n" in captured.out
    assert captured.err == "error: one\\x1b[2J\nerror: two\n"
    assert "a\\nb\\x1b" in captured.out


def test_bytes_of_an_argument_that_are_no_text_are_told(shell: Shell) -> None:
    outcome = shell("classify", "m\udce9sange", "x.wav")
    assert outcome.code == 1
    assert "m\\xe9sange" in outcome.err


def test_short_names_stay_on_a_line_of_a_narrow_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "stdout", Console(width=80))
    rest = ["needs pip install --no-deps some-package", "16000 Hz", "1024", "Apache-2.0 or another one", "some-package"]
    console.print_table("Encoders", ["encoder", *rest], [["speech-embedding-of-words", *rest], ["x" * 90, *rest]])
    out = capsys.readouterr().out
    assert "speech-embedding-of-words" in out
    assert max(map(len, out.splitlines())) <= 80
