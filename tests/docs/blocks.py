"""The code blocks of the README and of every page, and the shell commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKER = re.compile(r"<!-- not run: (.+?) -->")
TITLE = re.compile(r'title="(.+?)"')
ASSIGNMENT = re.compile(r"\w+=\S*")


@dataclass(frozen=True)
class Block:
    """One code block; indented ones are shell commands. ``not_run`` is the reason that a page gives."""

    page: str
    line: int
    language: str
    title: str
    text: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a shell block, as words; ``environment`` holds the assignments before it."""

    block: Block
    environment: dict[str, str]
    words: list[str]

    def __str__(self) -> str:
        return f"{self.block}: {shlex.join(self.words)}"


def blocks(page: Path) -> list[Block]:
    page_blocks, reason = [], ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            marker = MARKER.search(token.content)
            reason = marker[1] if marker else ""
        elif token.type in ("fence", "code_block") and token.map:
            language = token.info.split(" ")[0] if token.type == "fence" else "shell"
            title = TITLE.search(token.info)
            place = page.name, token.map[0] + 1
            page_blocks.append(Block(*place, language, title[1] if title else "", token.content, reason))
            reason = ""
        else:
            reason = ""
    return page_blocks


ALL = [block for page in PAGES for block in blocks(page)]


def commands(block: Block) -> Iterator[Command]:
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        environment = {}
        while words and ASSIGNMENT.fullmatch(words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words:
            yield Command(block, environment, words)
