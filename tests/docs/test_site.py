"""The site builds without a warning, loads nothing from elsewhere, and shows what is generated."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer.main

from fewshot_audio.cli import app
from fewshot_audio.config import ExperimentConfig, ModelConfig
from tests.docs.blocks import PAGES, ROOT

LOADING = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("audio", "src"), ("image", "href")}


class Loaded(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.sources += [values[key] for name, key in LOADING if name == tag and key in values]
        if tag == "link" and values.get("rel") != "canonical":
            self.sources.append(values["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    for page in pages:
        for source in Loaded(page.read_text(encoding="utf-8")).sources:
            assert not re.match(r"(https?:)?//", source), f"{page.name} loads {source}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_config_key_is_shown(site: Path) -> None:
    text = Loaded((site / "config.html").read_text(encoding="utf-8")).text

    for model in (ExperimentConfig, ModelConfig):
        schema = model.model_json_schema()
        for name in schema["properties"]:
            assert name in text
        for name, definition in schema["$defs"].items():
            for key in definition.get("properties", {}):
                assert re.search(rf"\b{re.escape(key)}\b", text), f"{name}.{key}"
    for generated in ("integer", "≥ 1", "true or false", "required", "Gao et al. 2021", "the paper's system"):
        assert generated in text


def test_every_command_is_shown(site: Path) -> None:
    text = Loaded((site / "commands.html").read_text(encoding="utf-8")).text
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"Usage: fewshot-audio {name}" in text
    assert "--segment-seconds" in text


def test_public_functions_are_shown(site: Path) -> None:
    api = Loaded((site / "api.html").read_text(encoding="utf-8")).text
    for name in ("run_experiment", "Recognizer", "predict_proba", "cpl_loss", "scenario_configs"):
        assert name in api


def test_no_placeholder_is_left(site: Path) -> None:
    for page in site.glob("*.html"):
        assert not re.search(r"<!-- (keys|commands)", page.read_text(encoding="utf-8")), page.name


def test_the_search_finds_pages(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert any("mask_param" in entry["text"] for entry in index["docs"])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_of_pages_outside_the_site_are_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link
