"""Registries of parts: what is registered, by which names it is found, and that nothing unnamed is imported."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fewshot_audio.config.base import Section
from fewshot_audio.config.plugins import VARIABLE
from fewshot_audio.config.registry import Part, Registry
from fewshot_audio.errors import ConfigError, DataError

MODULE = """
open(__file__ + ".imported", "w").close()
from tests.config.test_registry import CURRENT, Width

@CURRENT[0].register(Width)
class Part:
    pass

@CURRENT[0].register(Width, name="short")
def make(width):
    return width

class Unregistered:
    pass
"""


class Width(Section):
    width: int = 1
    """A width."""


CURRENT: list[Registry] = []


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv(VARIABLE, "")
    CURRENT[:] = [
        Registry("thing", [Part("Path", None, "pathlib:Path"), Part("counter", Width, "collections:Counter")])
    ]
    return CURRENT[0]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package ``far``, which Python would find; each module leaves a file when it is imported."""
    folder = tmp_path / "lib" / "far"
    folder.mkdir(parents=True)
    for name in ("__init__", "parts"):
        (folder / f"{name}.py").write_text(MODULE if name == "parts" else "open(__file__ + '.imported', 'w').close()\n")
    (folder / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "far"]:
        del sys.modules[name]


def imported(package: Path) -> list[str]:
    return sorted(path.name for path in package.glob("*.imported"))


def refusal(work: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(ConfigError) as error:
        work(*arguments)
    return str(error.value)


# -- built in ----------------------------------------------------------------------------------------------------------


def test_a_built_in_part_is_imported_when_it_is_loaded(registry: Registry) -> None:
    part = registry.find("Path")
    assert part.target == "pathlib:Path"
    assert part.load() is Path
    assert registry.names == ["Path", "counter"]


def test_an_unknown_name_is_refused_with_the_nearest_and_all(registry: Registry) -> None:
    message = refusal(registry.find, "conter")
    assert "there is no thing 'conter', did you mean 'counter'? Known: 'Path', 'counter'." in message
    assert "--plugin PACKAGE" in message
    assert registry.get("conter") is None
    assert "did you mean" not in refusal(registry.find, "zzzzzz")


# -- registered --------------------------------------------------------------------------------------------------------


def test_a_registered_part_is_found_by_its_name_and_its_reference(registry: Registry) -> None:
    @registry.register(Width)
    class Mine:
        pass

    registry.register(Width, name="small")(Width)
    assert registry.find("Mine") == Part("Mine", Width, Mine)
    assert registry.find("Mine").load() is Mine
    assert registry.find(f"{__name__}:Width").name == "small"  # no package is named: it is this program's own
    assert registry.names == ["Path", "counter", "Mine", "small"]


def test_what_code_from_outside_raises_is_reported_as_its_own(registry: Registry) -> None:
    def fail(reason: str) -> None:
        raise DataError("no room") if reason == "ours" else KeyError(reason)

    part = registry.register()(fail) and registry.find("fail")
    assert "fail: making it failed: KeyError: 'theirs' (--verbose shows where)" in refusal(part.make, "theirs")
    assert "making it failed: TypeError: " in refusal(part.make)
    with pytest.raises(DataError, match="no room"):
        part.make("ours")
    assert registry.find("counter").make("abba") == {"a": 2, "b": 2}
    with pytest.raises(TypeError):
        registry.find("counter").make(1)


def test_a_name_has_one_part(registry: Registry) -> None:
    registry.register()(Width)
    registry.register()(Width)  # the same again, as of a module that is loaded anew
    other = type("Width", (), {"__module__": "elsewhere"})
    assert "elsewhere:Width has the name of another one" in refusal(registry.register(), other)
    assert "pathlib:Path" in refusal(registry.register(name="Path"), Width)
    assert registry.find("Width").load() is Width


@pytest.mark.parametrize("name", ["_hidden", "1st", "a.b", "a:b", "-", "taken"])
def test_a_name_that_could_not_stand_in_a_file_is_refused(registry: Registry, name: str) -> None:
    registry.reserved.add("taken")
    assert "give it another one, name=" in refusal(registry.register(name=name), Width)


def test_a_section_has_the_keys_of_its_kind() -> None:
    registry = Registry("thing", keys=["width"])
    registry.register(Width)(Width)
    assert "its section needs 'width', found no section" in refusal(registry.register(), Path)
    assert "its section needs 'width', found only no keys" in refusal(registry.register(Section), Path)
    assert registry.names == ["Width"]


# -- from outside ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["", "pathlib", "farther", "parts", "far.parts"])
def test_what_nobody_named_is_not_imported(
    registry: Registry, package: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    message = refusal(registry.find, "far.parts:Part")
    assert "thing 'far.parts:Part' is code from outside of fewshot-audio" in message
    assert "--plugin far (or the variable FEWSHOT_AUDIO_PLUGINS)" in message
    assert imported(package) == []
    assert "far" not in sys.modules


@pytest.mark.parametrize(
    "reference",
    ["far.parts:", ":Part", "far..parts:Part", "far.parts:Part.load", "far/parts:Part", "../far:Part", "a:b:c"],
)
def test_a_malformed_reference_is_no_import(
    registry: Registry, package: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.setenv(VARIABLE, "far")
    assert "expected 'package.module:Class'" in refusal(registry.find, reference)
    assert imported(package) == []


def test_a_part_of_a_named_package_is_imported(
    registry: Registry, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "other, far")
    part = registry.find("far.parts:Part")
    assert (part.name, part.section) == ("Part", Width)
    assert part.load() is sys.modules["far.parts"].Part
    assert registry.find("far.parts:make").name == "short"
    assert registry.find("short").load()(width=3) == 3
    assert imported(package) == ["__init__.py.imported", "parts.py.imported"]


def test_a_short_name_is_looked_for_in_the_named_packages(
    registry: Registry, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package / "__init__.py").write_text("import far.parts\n")
    assert registry.get("short") is None
    assert imported(package) == []
    monkeypatch.setenv(VARIABLE, "far")
    assert registry.find("short").section is Width
    assert imported(package) == ["parts.py.imported"]


def test_what_is_wrong_in_a_named_package_is_told(
    registry: Registry, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "far,nowhere")
    assert "register_thing" in refusal(registry.find, "far.parts:Unregistered")
    assert "'far.parts:Gone' is not there; far.parts registers " in (gone := refusal(registry.find, "far.parts:Gone"))
    assert "short" in gone
    assert "far.gone: there is no such module on Python's path" in refusal(registry.find, "far.gone:Part")
    assert "importing it failed: ZeroDivisionError" in refusal(registry.find, "far.broken:Part")
    (package / "needs.py").write_text("import fa\n")  # missing, and what "far" begins with
    assert "importing it failed: ModuleNotFoundError: No module named 'fa'" in refusal(registry.find, "far.needs:Part")
    assert "--plugin nowhere: nowhere: there is no such module" in refusal(registry.find, "unheard")


def test_an_entry_point_names_a_package(registry: Registry, package: Path) -> None:
    metadata = package.parent / "far-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: far\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fewshot_audio.plugins]\nfar = far.parts\n")
    assert registry.find("short").section is Width
    assert registry.find("far.parts:Part").section is Width


def test_all_entry_points_of_a_package_are_imported(registry: Registry, package: Path) -> None:
    metadata = package.parent / "far-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: far\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fewshot_audio.plugins]\na = far\nb = far.parts\nc = far.broken\n")
    assert "entry point of far in fewshot_audio.plugins: far.broken: importing it failed" in refusal(
        registry.find, "unheard"
    )
    assert imported(package) == ["__init__.py.imported", "parts.py.imported"]
    assert registry.find("short").section is Width


def test_a_decorator_without_parentheses_is_refused(registry: Registry) -> None:
    def make() -> None: ...

    for arguments in ((make,), (Path,), (None, make)):
        with pytest.raises(ConfigError, match=r"^register_thing got .* does the decorator lack its parentheses\?$"):
            registry.register(*arguments)  # type: ignore[arg-type]


def test_a_built_in_part_is_not_called_one_from_outside(registry: Registry) -> None:
    assert refusal(registry.find, "pathlib:Path") == "thing 'pathlib:Path' is built in: call it 'Path'"
