"""The pages run: their commands and Python blocks, in order, in a folder with small recordings."""

import json
import shutil
from pathlib import Path

import pytest

from fewshot_audio.studies.report import evidence
from fewshot_audio.studies.reproduce import run as reproduce
from tests.docs.blocks import ALL, PAGES, commands
from tests.docs.sandbox import ELSEWHERE, link_tree, sandbox
from tests.models.tiny_pretrained import write_pretrained
from tests.tiny_encoders import waveform_model

PARSED_ONLY = {
    "results.md": "hours of training on whole datasets",
    "performance.md": "benchmarks of whole machines",
    "extending.md": "files of plugins: test_extending.py runs them",
}
FROM_NOTHING = {"tutorial.md": ("my_recordings", "my_sounds", "data", "experiments", "my", "my_bundle")}
SHELL = [block for block in ALL if block.language == "shell" and not block.not_run]
JSON_FILES = {"crossval.md": "candidates.json", "tune.md": "space.json", "encoders.md": "my_encoder.json"}
RUN = [page.name for page in PAGES if page.name not in PARSED_ONLY]


@pytest.mark.parametrize("page", [name for name in RUN if any(block.page == name for block in ALL)])
def test_the_page_runs(page: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce.TaskChanges.__init__, "__defaults__", (5, 5, 5, 20))  # way, shot, queries, tasks
    monkeypatch.setattr(evidence, "SHOTS", (1, 5))
    folder = tmp_path / "here"
    link_tree(world, folder)
    for name in FROM_NOTHING.get(page, ()):
        shutil.rmtree(folder / name)
    if page == "reproduce.md":
        link_tree(folder / "data" / "my_sounds", folder / "data" / "speakers")
    if page == "pretrained.md":
        write_pretrained(folder / "models" / "wav2vec2-base", "wav2vec2")
    if page == "encoders.md":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user data"))
        (folder / "my_encoder.onnx").write_bytes(waveform_model().SerializeToString())
    page_blocks = [block for block in ALL if block.page == page]
    for block in page_blocks:
        if block.language == "json":  # a file that the page's commands name
            (folder / JSON_FILES[page]).write_text(block.text)
    with sandbox(folder) as shell:
        for block in page_blocks:
            if block.not_run or block.language in ("json", "text"):
                continue
            if block.language == "python":
                shell.python(block.text)
            else:
                for command in commands(block):
                    shell.shell(command)


def test_json_blocks_are_json() -> None:
    values = [json.loads(block.text) for block in ALL if block.language == "json"]
    assert len(values) == len(JSON_FILES)


def test_what_runs_elsewhere_does() -> None:
    tested = {(block.page, command.words[1]) for block in SHELL for command in commands(block)}
    assert {(page, name) for (_, name), page in ELSEWHERE.items()} <= tested
