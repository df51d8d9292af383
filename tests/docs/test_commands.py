"""Every command of the documentation is one that exists, with options that exist; every block is of a known kind."""

import re
import tomllib
from collections.abc import Callable

import pytest
import typer.main

from fewshot_audio.cli import app
from tests.docs.blocks import ALL, ROOT, Block, Command, commands

EXPECTED_NOT_RUN = 22
"""Blocks with a reason for not being run. Raise it only for a block that really cannot."""

SHELL = [block for block in ALL if block.language == "shell"]
COMMANDS = [command for block in SHELL for command in commands(block)]


def check_own(words: list[str]) -> None:
    group = typer.main.get_command(app)
    by_name = group.commands  # type: ignore[attr-defined]
    assert words[0] in by_name, f"no command {words[0]}"
    usage_error = typer.BadParameter.__base__  # of the click that typer brings
    command = by_name[words[0]]
    if hasattr(command, "commands"):  # a group, as `encoders`
        words = words[1:]
        assert words[0] in command.commands, f"no command {words[0]}"
        command = command.commands[words[0]]
    try:
        command.make_context(words[0], words[1:])
    except usage_error as error:  # an unknown option, or a value out of range
        raise AssertionError(str(error)) from error


def check_python(words: list[str]) -> None:
    if words[:2] == ["-m", "venv"]:
        return None
    if words[0] == "-m":
        path, words = ROOT / f"{words[1].replace('.', '/')}.py", words[2:]
    else:
        path, words = ROOT / words[0], words[1:]
    assert path.is_file()
    if path.name == "train_test.py":
        return check_own(["train", *words])
    source = path.read_text(encoding="utf-8") + (ROOT / "benchmarks" / "common.py").read_text(encoding="utf-8")
    for word in words:
        if word.startswith("-"):
            assert f'"{word}"' in source, f"no option {word}"
    return None


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name = word.partition("=")[0]
        assert re.search(rf"^{name}:|\$\({name}\)", makefile, re.MULTILINE), f"no target or variable {name}"


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert words.pop(0) == "install"
    for word in words:
        if word.startswith("requirements"):
            assert (ROOT / word).is_file()
        elif word not in ("-c", "-r"):
            package, _, chosen_extras = word.rstrip("]").partition("[")
            assert package in (".", "fewshot-audio")
            assert set(chosen_extras.split(",")) - {""} <= set(extras)


def check_launcher(words: list[str]) -> None:
    """Launchers start one of our commands with more options."""
    position = next(at for at, word in enumerate(words) if "fewshot-audio" in word)
    check_own([word for word in words[position + 1 :] if word != "..."])


def check_pytest(words: list[str]) -> None:
    assert (ROOT / words[0]).exists()


def anything(words: list[str]) -> None:
    """A program that is not ours: either it is run, or its block says why it is not."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "fewshot-audio": check_own,
    "python": check_python,
    "python3": check_python,
    "make": check_make,
    "pip": check_pip,
    "torchrun": check_launcher,
    "srun": check_launcher,
    "pytest": check_pytest,
    "git": anything,
    "curl": anything,
    "benchmarks/gpu.sh": anything,
}


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_exists(block: Block) -> None:
    block_commands = list(commands(block))
    assert block_commands, "no command"
    for command in block_commands:
        program, *words = command.words
        assert program in CHECKS, f"unknown program {program}"
        CHECKS[program](words)
        if "/" in program:
            assert (ROOT / program).is_file()


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {block.language for block in ALL}
    assert kinds <= {"shell", "python", "json", "diff", "text"}, "a kind of block that no test reads"


def test_blocks_that_are_not_run_are_few_and_say_why() -> None:
    reasons = [f"{block}: {block.not_run}" for block in ALL if block.not_run]
    assert len(reasons) == EXPECTED_NOT_RUN, "\n".join(reasons)


def test_the_checks_find_what_is_wrong() -> None:
    wrong = [
        "fewshot-audio trian -e a",
        "fewshot-audio train -e a -m b --reusme",
        "python -m benchmarks.absent",
        "make absent",
        "pip install 'fewshot-audio[absent]'",
    ]
    for text in wrong:
        (command,) = commands(Block("page.md", 1, "shell", "", text, ""))
        check = CHECKS[command.words[0]]
        with pytest.raises(AssertionError):
            check(command.words[1:])


def test_commands_are_found_as_a_shell_would_read_them() -> None:
    text = "A=1 fewshot-audio train -e 'a b' \\\n    --resume  # again\n\nmake demo\n"
    first, second = commands(Block("page.md", 1, "shell", "", text, ""))
    assert (first.environment, first.words) == ({"A": "1"}, ["fewshot-audio", "train", "-e", "a b", "--resume"])
    assert isinstance(second, Command)
    assert second.words == ["make", "demo"]
