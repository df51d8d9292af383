"""The table of layers is the same everywhere, and the modules that the architecture page names exist."""

import ast
import re
import tomllib

import pytest

from tests.docs.blocks import ROOT

PACKAGE = ROOT / "src" / "fewshot_audio"
HEADER = "| package | what lives there | what it must not know |\n|---|---|---|\n"
TABLE = re.compile(re.escape(HEADER) + r"((?:\|.*\|\n)+)")
MODULE = re.compile(r"`([\w-]+(?:/[\w-]+)*\.(?:py|js))`")
PAGES = ["CONTRIBUTING.md", "docs/architecture.md"]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """The cells of the page's table of layers."""
    (table,) = TABLE.findall(read(page))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def layers() -> list[str]:
    """The layers that import-linter enforces, top to bottom."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["id"] == "layers"]
    return list(contract["layers"])


def purpose(name: str) -> str:
    """The first line of the docstring of a package (``name/``) or module (``name.py``) of the root."""
    path = PACKAGE / name / "__init__.py" if name.endswith("/") else PACKAGE / name
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".")


@pytest.mark.parametrize("page", PAGES)
def test_the_table_has_the_enforced_layers_in_their_order(page: str) -> None:
    names = [name.strip("`") for name, _, _ in rows(page)]
    assert [name.removesuffix("/").removesuffix(".py") for name in names] == layers()


@pytest.mark.parametrize("page", PAGES)
def test_the_table_says_what_the_docstrings_say(page: str) -> None:
    for name, contents, forbidden in rows(page):
        assert contents == purpose(name.strip("`"))
        assert forbidden


def test_both_tables_are_the_same() -> None:
    assert rows(PAGES[0]) == rows(PAGES[1])


def test_modules_of_the_pages_exist() -> None:
    for page in PAGES:
        for name in MODULE.findall(read(page)):
            assert any((folder / name).is_file() for folder in (PACKAGE, ROOT)), f"{page}: {name}"


def walks() -> dict[str, list[str]]:
    """The modules of each walk, in the order of its steps."""
    section = read("docs/architecture.md").partition("\n## Four walks\n")[2].partition("\n## ")[0]
    titles = re.split(r"^### (.+)$", section, flags=re.MULTILINE)[1:]
    return {title: MODULE.findall(text) for title, text in zip(titles[::2], titles[1::2], strict=True)}


def test_there_are_four_walks_through_modules() -> None:
    assert len(walks()) == 4
    for title, modules in walks().items():
        assert len(modules) >= 4, title


@pytest.mark.parametrize("title", walks())
def test_a_walk_passes_each_package_once(title: str) -> None:
    packages = [name.partition("/")[0] for name in walks()[title]]
    runs = [package for at, package in enumerate(packages) if at == 0 or packages[at - 1] != package]
    assert len(runs) == len(set(runs)), runs


def test_modules_stay_short() -> None:
    """As CONTRIBUTING.md promises: under 300 lines each."""
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_bytes().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert len(lengths) > 200
    assert {name: length for name, length in lengths.items() if length >= 300} == {}
