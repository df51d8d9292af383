"""Preparation of many clips, and of a very long one: how time and memory grow."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fewshot_audio.data import preparation_resume as resume
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import Moments
from fewshot_audio.data.preparation_journal import PreparedClip
from fewshot_audio.data.prepare import prepare
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.nsynth import NSynth
from fewshot_audio.data.workers import PlannedClip, PreparationJob
from tests.data.recordings import SMALL

pytestmark = pytest.mark.soak

NOTES, INSTRUMENTS = 300_000, 1000  # as NSynth has


def empty_notes(root: Path, notes: int) -> NSynth:
    """NSynth in its published layout, without the sounds."""
    audio = root / "nsynth-train" / "audio"
    audio.mkdir(parents=True)
    entries = {}
    for note in range(notes):
        name = f"keyboard_electronic_{note % INSTRUMENTS:03d}-{note // INSTRUMENTS:03d}-100"
        entries[name] = {"instrument_str": name.partition("-")[0]}
        (audio / f"{name}.wav").touch()
    (root / "nsynth-train" / "examples.json").write_text(json.dumps(entries))
    return NSynth(root)


def at_once(planned: Sequence[PlannedClip], job: PreparationJob, *how: Any) -> Iterator[list[PreparedClip]]:
    """Everything around the work, without it: files that are as long as they should be, and their journal."""
    length = 4 * SMALL.n_mels * SMALL.frames
    for start in range(0, len(planned), 16):
        clips = []
        for clip in planned[start : start + 16]:
            path = clip.path(job.folder.features)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.truncate(length)
            moments = Moments(length // 4, -50.0, 100.0 * length)
            source = clip.recording.source
            clips.append(PreparedClip(*clip.key, source, clip.fingerprint, 1, 4000, moments, None))
        yield clips


def cpu_seconds(tmp_path: Path, notes: int) -> tuple[float, float]:
    """What a first preparation and a second one take, but for the arithmetic."""
    source, folder = empty_notes(tmp_path / f"source{notes}", notes), DatasetFolder(tmp_path / f"folder{notes}")
    taken = []
    for reused in (0, notes):
        began = time.process_time()
        report = prepare(source, folder, SMALL, limits=SourceLimits())
        taken.append(time.process_time() - began)
        assert (report.prepared, report.reused, report.skipped) == (notes, reused, {})
    return taken[0], taken[1]


def test_the_time_around_the_work_grows_with_the_number_of_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "prepare_clips", at_once)
    few, many = cpu_seconds(tmp_path, NOTES // 10), cpu_seconds(tmp_path, NOTES)
    for ten_times, once in zip(many, few, strict=True):
        assert ten_times < 20 * once  # linear would be 10, quadratic 100


def test_the_memory_for_half_an_hour_is_a_few_times_its_samples(tmp_path: Path) -> None:
    minute = 0.3 * np.sin(np.linspace(0, 60 * 2 * np.pi * 440, 60 * 16_000))
    with soundfile.SoundFile(tmp_path / "long.mp3", "w", 16_000, 1) as sound:
        for _ in range(30):
            sound.write(minute)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from fewshot_audio.audio.preprocessing import Preprocessing\n"
        "kinds = Preprocessing(); idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(kinds.features(kinds.segments(kinds.load(Path(sys.argv[1]))))))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "long.mp3")]
    segments, mebibytes = map(int, subprocess.check_output(command, text=True).split())
    samples = 30 * 60 * 16_000
    assert segments == 360
    assert mebibytes < 3.5 * 4 * samples / 2**20  # the samples in two steps at once, and the features
