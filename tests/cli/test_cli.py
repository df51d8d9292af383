"""What holds for all commands: help, exit codes, errors without a traceback, a quick start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fewshot_audio
from fewshot_audio.cli import app
from tests.shell import Shell

COMMANDS = ["train", "evaluate", "configs", "prepare", "demo"]
COMMAND_LINE = "from fewshot_audio.cli import main; main()"


def test_help_lists_the_commands(shell: Shell) -> None:
    outcome = shell("--help")
    assert outcome.code == 0
    assert outcome.err == ""
    for name in COMMANDS:
        assert f" {name} " in outcome.out


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])  # type: ignore[union-attr]
def test_every_command_explains_itself(command: str, shell: Shell) -> None:
    outcome = shell(command, "--help")
    assert outcome.code == 0
    assert f"Usage: fewshot-audio {command} " in outcome.out
    assert "--help" in outcome.out


def test_the_version(shell: Shell) -> None:
    outcome = shell("--version")
    assert (outcome.code, outcome.out.strip()) == (0, fewshot_audio.__version__)


def test_help_imports_nothing_heavy() -> None:
    """Neither the command line's help nor a command's may wait for torch."""
    heavy = ["torch", "lightning", "numpy", "scipy", "librosa", "soundfile", "matplotlib", "optuna"]
    code = f"""
import sys
from fewshot_audio.cli import app, main
names = [command.name or command.callback.__name__ for command in app.registered_commands]
for arguments in (["--help"], *([name, "--help"] for name in names)):
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code
    assert arguments != ["--help"] or "pydantic" not in sys.modules  # which Typer imports for a command's options
print(*(name for name in {heavy} if name in sys.modules), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.count("Usage: fewshot-audio") == 1 + len(app.registered_commands)
    assert run.stderr.strip() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("trian",),
        ("train",),
        ("train", "-e", "experiment.json"),
        ("train", "--unknown"),
        ("configs", "--dataset", "nsynth", "--scenario", "6", "-o", "x"),
        ("configs", "--dataset", "nsynth", "--scenario", "1", "--loss", "triplet", "-o", "x"),
        ("prepare", "esc51"),
        ("evaluate", "run", "--n-way", "1"),
        ("evaluate", "run", "--device", "tpu"),
        ("evaluate", "run", "--untrained", "--baseline", "log-mel"),
        ("evaluate", "run", "--open-set", "--untrained"),
        ("train", "-e", "experiment.json", "-m", "model.json", "--set", "lr"),
        ("train", "-e", "experiment.json", "-m", "model.json", "--runs", "x"),
        ("train", "-e", "experiment.json", "-m", "model.json", "--resume", "--overwrite"),
        ("configs", "--dataset", "nsynth", "-o", "x"),
        ("configs", "--dataset", "nsynth", "-o", "x", "--scenario", "1", "--recipe", "fast"),
        ("prepare", "folder"),
        ("prepare", "synthetic", "--source", "x"),
        ("prepare", "synthetic", "--segment-seconds", "0"),
        ("prepare", "synthetic", "--max-seconds", "0"),
        ("prepare", "synthetic", "--name", "../x"),
        ("prepare", "synthetic", "--name", "a/b"),
        ("prepare", "synthetic", "--name", ".hidden"),
        ("prepare", "synthetic", "--name", ""),
        ("classify", "bundle", "x.wav", "--hop", "0"),
        ("enroll", "--support", "x"),
        ("enroll", "-o", "x", "--add", "dog"),
        ("enroll", "-o", "x", "--remove", "dog"),
        ("reproduce", "--scenarios", "6"),
        ("reproduce", "--shots", "x"),
        ("reproduce", "--set", "lr"),
        ("report", "x", "x"),
        ("report", "x", "x/"),
        ("report", "a/x", "b/x"),
    ],
)
def test_wrong_usage_exits_with_2_and_leaves_nothing(
    arguments: tuple[str, ...], shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = shell(*arguments)
    assert outcome.code == 2
    assert "Usage: fewshot-audio" in outcome.err
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []


def test_errors_have_no_traceback_and_say_it_all(files: list[object], tmp_path: Path, shell: Shell) -> None:
    settings = ["lr=-1", "scheduler_milestones=[2, 1]", "tie_strategy=[bold]"]
    outcome = shell("train", *files, *(part for setting in settings for part in ("--set", setting)))
    assert outcome.code == 1
    assert outcome.out == ""
    assert [line.partition(": ")[0] for line in outcome.err.splitlines()] == ["error"] * 3
    assert "Traceback" not in outcome.err
    assert "milestones must increase (found [2, 1])" in outcome.err  # brackets are not taken for markup
    assert "(found '[bold]')" in outcome.err


def test_a_reader_that_has_gone_is_no_traceback(tmp_path: Path) -> None:
    arguments = ["configs", "--dataset", "nsynth", "--scenario", "1", "-o", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


def broken(error: Exception) -> Any:
    def snapshot(*_: object, **__: object) -> None:
        raise error

    return snapshot


def test_an_unexpected_error_leaves_its_traceback_in_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: Shell
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("fewshot_audio.config.presets.scenario_configs", broken(TypeError("a [bold] mistake")))
    outcome = shell("--verbose", "configs", "--dataset", "x", "--scenario", "1", "-o", tmp_path / "secret-place")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert "error: this is a bug in fewshot-audio: TypeError: a [bold] mistake" in outcome.err
    (log,) = tmp_path.rglob("*.log")
    assert f"the details are in {log}" in outcome.err
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "command: configs" in text
    assert "secret-place" not in text  # arguments may hold a token


def test_without_a_place_for_the_log_the_error_is_still_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: Shell
) -> None:
    monkeypatch.setattr("fewshot_audio.config.presets.scenario_configs", broken(TypeError("a mistake")))
    monkeypatch.setattr("tempfile.mkstemp", broken(OSError(28, "No space left on device")))
    outcome = shell("configs", "--dataset", "x", "--scenario", "1", "-o", tmp_path / "x")
    assert outcome.code == 1
    assert "TypeError: a mistake" in outcome.err
    assert "could not be written (No space left on device)" in outcome.err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: Shell, error: Exception
) -> None:
    monkeypatch.setattr("fewshot_audio.config.presets.scenario_configs", broken(error))
    outcome = shell("configs", "--dataset", "x", "--scenario", "1", "-o", tmp_path / "x")
    assert outcome.code == 1
    assert "error: not enough memory" in outcome.err
    assert "bug" not in outcome.err
