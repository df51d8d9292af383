"""The public names: each is there, typed, documented and listed, and nothing heavy is imported before it is used."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import fewshot_audio
from tests.docs.blocks import ROOT

NAMES = sorted(set(fewshot_audio.__all__) - {"__version__"})
HEAVY = {"lightning", "matplotlib", "onnxruntime", "pydantic", "sklearn", "soundfile", "torch"}
NO_TORCH = ["ContrastiveSection", "FewShotError", "Preprocessing", "Recording", "Section", "SourceLimits", "WaveStats"]
NO_TORCH += ["register_contrastive_loss", "register_encoder", "register_source", "register_waveform_transform"]
WITHOUT_EXAMPLE = {name for name in NAMES if name.startswith("register_")}
WITHOUT_EXAMPLE |= {"AudioFile", "ContrastiveSection", "Recording", "Section", "SkippedInput", "SourceLimits"}
"""What parts from outside are made of: ``docs/extending.md`` has a whole file for each kind."""
WITHOUT_EXAMPLE |= {"Annotation", "FewShotError", "ResultRow", "TaskAccuracy"}  # what is raised and returned


def typed_modules() -> dict[str, str]:
    """The modules of the names that type checkers see: the imports under TYPE_CHECKING, each an explicit re-export."""
    tree = ast.parse((ROOT / "src/fewshot_audio/__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    modules = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module
        assert all(alias.asname == alias.name for alias in node.names)
        modules |= {alias.name: node.module for alias in node.names}
    return modules


MODULES = typed_modules()


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_imports_nothing_heavy() -> None:
    loaded = python("import sys, fewshot_audio; dir(fewshot_audio); print(*sys.modules)").split()
    assert "fewshot_audio" in loaded
    assert HEAVY & set(loaded) == set()
    assert [name for name in loaded if name.startswith("fewshot_audio.")] == []


@pytest.mark.parametrize("name", NO_TORCH)
def test_these_need_no_torch(name: str) -> None:
    """A plugin that adds a source is imported without it, as configs are read without it."""
    assert "torch" not in python(f"import sys, fewshot_audio; fewshot_audio.{name}; print(*sys.modules)").split()


def test_type_checkers_know_the_same_names() -> None:
    assert sorted(MODULES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_what_its_module_defines(name: str) -> None:
    value = getattr(fewshot_audio, name)
    assert value == getattr(importlib.import_module(MODULES[name]), name)
    assert inspect.getdoc(value)
    assert name in vars(fewshot_audio)  # the next access is an ordinary one


def test_tab_completion_shows_them() -> None:
    assert dir(fewshot_audio) == sorted(["__version__", *NAMES])


def test_a_star_import_brings_them_all() -> None:
    names: dict[str, object] = {}
    exec("from fewshot_audio import *", names)
    assert set(names) >= set(fewshot_audio.__all__)


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="module 'fewshot_audio' has no attribute 'Recogniser'"):
        fewshot_audio.Recogniser  # noqa: B018
    command = [sys.executable, "-c", "import fewshot_audio; fewshot_audio.Recogniser"]
    assert "Did you mean: 'Recognizer'?" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_the_page_documents_each() -> None:
    """By its own docstring, by that of its module, or, for the decorators, in a sentence."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    ways = {name: (f"::: {MODULES[name]}\n", f"::: {MODULES[name]}.{name}\n", f"`{name}(") for name in NAMES}
    assert [name for name in NAMES if not any(way in page for way in ways[name])] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_EXAMPLE])
def test_each_has_an_example(name: str) -> None:
    """``tests/docs`` runs it."""
    assert ">>> " in (inspect.getdoc(getattr(fewshot_audio, name)) or "")
