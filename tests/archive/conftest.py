"""A small archive, a recognizer whose segments are half a second, and the archive's index by it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fewshot_audio.archive.build import update_index
from fewshot_audio.archive.embed import EmbeddingJob
from fewshot_audio.archive.index import Index
from tests.recognition import recognizers
from tests.shell import shell

__all__ = ["shell"]
HOP = 0.25


def write(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    return path


def write_archive(folder: Path) -> Path:
    """Five recordings of two sites, the last of which holds nothing; one that is none; and a text."""
    sound = recognizers.sound
    quiet = np.zeros(8000, np.float32)
    mixed = [sound(0, 50), quiet, sound(1, 51), sound(1, 52), quiet, sound(2, 53, 5000)]
    write(folder / "A" / "POND_20240131_235959.wav", np.concatenate(mixed))
    write(folder / "A" / "20240201_040000.WAV", np.concatenate([sound(2, 60), sound(0, 61)]))
    write(folder / "B" / "short.wav", sound(1, 70, 3000))
    write(folder / "B" / "chirps.flac", np.concatenate([sound(0, seed) for seed in range(80, 86)]))
    write(folder / "B" / "silent.wav", np.zeros(20_000, np.float32))
    (folder / "B" / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("nothing")
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recognizer of three classes that decides by prototypes. Shared: not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    recognizers.recognizer().save(folder)
    return folder


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive. Shared: not to be changed."""
    return write_archive(tmp_path_factory.mktemp("archive"))


def job_of(folder: Path, archive: Path, bundle: Path, hop: float = HOP) -> EmbeddingJob:
    return EmbeddingJob(folder, archive, bundle, (), "cpu", hop)


def run_here(patch: pytest.MonkeyPatch) -> None:
    """Let the work be done in this process, two recordings at once; other processes take seconds to start."""
    patch.setattr(
        "fewshot_audio.archive.build.run_chunks",
        lambda work, items, *_: (work(items[start : start + 2], None) for start in range(0, len(items), 2)),
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``run_here`` says."""
    run_here(monkeypatch)


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory, archive: Path, bundle: Path) -> Path:
    """The index of the archive. Shared: not to be changed."""
    folder = tmp_path_factory.mktemp("indexes") / "index"
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch)
        update_index([archive], job_of(folder, archive, bundle))
    return folder


def content(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that counts in an index: of each recording its line, and the bytes of its rows."""
    index, found = Index(folder), {}
    for number, recording in enumerate(index.recordings):
        rows = []
        for block in index.description.blocks:
            windows = np.arange(recording.windows) + index.first_windows[number]
            rows.append(index.rows(block, windows).tobytes())
        assert recording.file not in found
        found[recording.file] = (replace(recording, modified=0), *rows)
    return found
