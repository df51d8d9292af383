"""A folder in which the pages' commands run: small recordings under the names that the pages use, small trainings.

Nothing of a page is left out silently: only ``SMALLER`` is appended to its commands, and only ``REPLACED`` changes its
Python blocks.
"""

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_audio.cli import main
from fewshot_audio.data.sources.synthetic import Synthetic, write_wavs
from tests.docs.blocks import ROOT, Command

TINY = {
    "num_epochs": 1,
    "num_runs": 1,
    "n_training_tasks": 1,
    "n_validation_tasks": 2,
    "n_testing_tasks": 20,
    "Hybrid.hidden_channels": 4,
    "loss.pretraining_epochs": 0,
    "optimization.warmup_epochs": 0,
    "n_way_train": 5,
    "episodes_per_step": 1,
    "waveaug_params.aug_num": 1,
    "device": "cpu",
    "precision": "fp32",
}
SETTINGS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]

SMALLER: dict[str, list[str]] = {
    "train": SETTINGS,
    "train num_runs=2": ["--set", "num_runs=2"],
    "reproduce": SETTINGS,
    "prepare": ["--workers", "1"],
    "index": ["--workers", "1"],
    "evaluate": ["--tasks", "20"],
    "crossval": [*SETTINGS, "--folds", "2", "--halving", "1x1,2x1", "--workers", "1", "--tasks", "20"],
    "tune": [*SETTINGS, "--trials", "2", "--epochs", "1"],
    "serve": ["--port", "0"],
    "classify --hop": ["--hop", "3"],
}
"""Options that the tests append to a command (that has the word beside its name); the last one counts."""

ELSEWHERE = {("README.md", name): f"{name}.md" for name in ("report", "serve", "reproduce")}
ELSEWHERE |= {("tutorial.md", name): f"{name}.md" for name in ("report", "serve")}
"""Slow commands of a page that run only on the page that is about them."""

REPLACED = {
    "Synthetic(classes=30, clips=12)": "Synthetic(classes=15, clips=10, seconds=1)",
    "Synthetic(classes=3, clips=8, seed=5)": "Synthetic(classes=3, clips=5, seconds=1, seed=5)",
    'scenario_configs("my_sounds", scenario=1)': 'scenario_configs("my_sounds", scenario=1, encoder="CNN")',
}
ADDRESS = "http://127.0.0.1:8000"


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder, but link the large files, which are only ever replaced, never changed."""

    def copy(original: str, new: str) -> None:
        if Path(original).suffix in (".npy", ".wav", ".flac"):
            os.link(original, new)
        else:
            shutil.copy2(original, new)

    shutil.copytree(source, target, copy_function=copy)


def write_world(folder: Path) -> None:
    """Make what the pages assume, under their names: recordings, an ESC-50 of fifteen classes."""
    with chdir(folder):
        write_wavs(Synthetic(classes=15, clips=10, seconds=1, seed=1), Path("my_recordings"))
        owl = Path("my_recordings/owl")
        next(path for path in sorted(Path("my_recordings").iterdir())).rename(owl)
        for name, path in zip("abcdefghij", sorted(owl.iterdir()), strict=True):
            path.rename(owl / f"{name}.wav")
        for target, seed in (("my_sounds", 2), ("more", 3)):
            write_wavs(Synthetic(classes=3, clips=4, seconds=1, seed=seed), Path(target))
            for name, path in zip(("bird", "cat", "dog"), sorted(Path(target).iterdir()), strict=True):
                path.rename(Path(target) / name)
        shutil.move("more/dog", "more_dogs")
        shutil.move("more", "new_recordings")
        for name in ("dog1.wav", "new.wav", "a.wav", "owl.wav", "dog.wav", "recording.wav"):
            shutil.copy(next(iter(sorted(Path("more_dogs").iterdir()))), name)
        samples, rate = soundfile.read("new.wav")
        for name in ("dog2.flac", "b.flac"):
            soundfile.write(name, samples[::-1], rate)
        soundfile.write("night.wav", np.tile(samples, 12), rate)
        Path("other_place").mkdir()
        for name in ("quiet_night.wav", "other_place/rain.wav"):
            soundfile.write(name, np.random.default_rng(len(name)).normal(0, 0.01, 12 * rate), rate)
        _write_field(Path("field"))
        _write_esc50(Path("ESC-50-master"))


def _write_field(folder: Path) -> None:
    """A recording with 24 events of two kinds, its selection table, and tables of truth and detections."""
    folder.mkdir()
    random, rate = np.random.default_rng(0), 16_000
    samples = random.normal(0, 0.01, 50 * rate)
    selections = ["Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies"]
    rows = ["file,start,end,label"]
    for number in range(24):
        start, label, frequency = 2 * number + 1, ("wren", "owl")[number % 2], (3000, 600)[number % 2]
        tone = np.sin(2 * np.pi * frequency * np.arange(rate // 2) / rate) * np.hanning(rate // 2)
        samples[start * rate : start * rate + rate // 2] += 0.3 * tone
        box = f"{start}.0\t{start}.5\t{frequency - 200}\t{frequency + 200}"
        selections.append(f"{number + 1}\tSpectrogram 1\t1\t{box}\t{label}")
        rows.append(f"dawn.wav,{start}.0,{start}.5,{label}")
    soundfile.write(folder / "dawn.wav", samples, rate)
    (folder / "dawn.Table.1.selections.txt").write_text("\n".join(selections) + "\n")
    for name in ("truth.csv", "detections.csv"):
        Path(name).write_text("\n".join(rows) + "\n")


def _write_esc50(root: Path) -> None:
    (root / "meta").mkdir(parents=True)
    (root / "audio").mkdir()
    random = np.random.default_rng(0)
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for label in range(15):
        for clip in range(10):
            name = f"1-{100 * label + clip}-A-{label}.wav"
            lines.append(f"{name},1,{label},sound_{label:02},False,{100 * label + clip},A")
            tone = np.sin(2 * np.pi * (200 + 150 * label) / 16_000 * np.arange(80_000))
            soundfile.write(root / "audio" / name, 0.1 * tone + 0.02 * random.normal(size=80_000), 16_000)
    (root / "meta" / "esc50.csv").write_text("\n".join(lines))


class Sandbox:
    """Runs the blocks of a page, in order, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"samples": np.random.default_rng(0).normal(size=44_100).astype(np.float32)}
        self.server: subprocess.Popen[str] | None = None
        self.url = ADDRESS

    def python(self, text: str) -> None:
        for original, smaller in REPLACED.items():
            text = text.replace(original, smaller)
        with chdir(self.folder):
            exec(compile(text, "block", "exec"), self.names)

    def shell(self, command: Command) -> None:
        program, *words = command.words
        if program == "pip":
            return  # everything is installed; test_commands.py checks the names of the extras
        if program == "curl":
            self._curl(words)
        elif program == "fewshot-audio":
            if (command.block.page, words[0]) not in ELSEWHERE:
                self._run(words)
        elif program == "python" and words[0].startswith("examples/"):
            with chdir(self.folder), pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", words)
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        else:
            pytest.fail(f"{command}: not run, and no reason given")

    def _run(self, words: list[str]) -> None:
        names = [words[0], *(f"{words[0]} {word}" for word in words)]
        words = self._expanded(words) + [word for name in names for word in SMALLER.get(name, ())]
        if words[0] == "serve":
            return self._serve(words)
        with chdir(self.folder), pytest.raises(SystemExit) as stop:
            main(words)
        assert not stop.value.code, shlex.join(words)
        return None

    def _expanded(self, words: list[str]) -> list[str]:
        """The words, with ``*`` expanded as a shell does."""
        return [
            name for word in words for name in (map(str, sorted(self.folder.glob(word))) if "*" in word else [word])
        ]

    def _serve(self, words: list[str]) -> None:
        code = "from fewshot_audio.cli import main; main()"
        self.server = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, cwd=self.folder
        )
        assert self.server.stdout
        address = re.match(r"Open (http://\S+) ", self.server.stdout.readline())
        assert address
        self.url = address[1].rstrip("/")

    def _curl(self, words: list[str]) -> None:
        if not shutil.which("curl"):
            pytest.skip("no curl on PATH")
        words = [word.replace(ADDRESS, self.url) for word in words]
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--fail-with-body", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "no_proxy": "*"},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def close(self) -> None:
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            self.server.communicate(timeout=30)
            assert self.server.returncode in (0, -signal.SIGTERM)


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    box = Sandbox(folder)
    try:
        yield box
    finally:
        box.close()
