"""Pictures of truth and detections over the spectrogram."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from fewshot_audio.events import picture
from fewshot_audio.events.evaluate import Mark
from fewshot_audio.events.picture import COLORS, draw_recording
from tests.recognition.sounds import write_wav
from tests.shell import Shell, shell

__all__ = ["shell"]
RATE = 8000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten seconds of noise, with a tone of 1 kHz from second 6 to 7."""
    samples = np.random.default_rng(0).normal(0, 0.001, 10 * RATE)
    samples[6 * RATE : 7 * RATE] += np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    return write_wav(tmp_path / "field.wav", samples, RATE)


def test_events_stand_at_their_seconds_above_and_below_the_spectrogram(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "PANEL", 4.0)
    marks = [Mark(6, 7, "a", False, "right"), Mark(6.5, 9, "b", True, "wrong")]
    (figure,) = draw_recording(recording, marks)
    panels = figure.axes
    assert [axes.get_xlim() for axes in panels] == [(4, 8), (8, 12)]  # the first one has no event
    bars = [
        (axes.get_xlim()[0], to_hex(bar.get_facecolor()[0]), bar.get_paths()[0].get_extents().bounds)
        for axes in panels
        for bar in axes.collections
        if len(bar.get_facecolor())
    ]
    strip = 0.4  # kHz, a tenth of half of the rate
    assert bars == [
        (4, COLORS["right"], pytest.approx((6, 4 + 0.15 * strip, 1, strip))),
        (4, COLORS["wrong"], pytest.approx((6.5, -1.15 * strip, 1.5, strip))),
        (8, COLORS["wrong"], pytest.approx((8, -1.15 * strip, 1, strip))),
    ]


def test_the_tone_is_drawn_where_it_is(recording: Path) -> None:
    (figure,) = draw_recording(recording, [Mark(1, 2, "a", False, "missed")])
    (axes,) = figure.axes
    (image,) = axes.images
    left, right, low, high = image.get_extent()
    levels = np.asarray(image.get_array())
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    assert low + (high - low) * row / levels.shape[0] == pytest.approx(1.0, abs=0.05)
    assert 6 <= left + (right - left) * column / levels.shape[1] <= 7


def test_a_long_recording_has_several_pictures(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "PANEL", 1.0)
    marks = [Mark(second, second + 0.5, "a", True, "right") for second in range(8)]
    assert [len(figure.axes) for figure in draw_recording(recording, marks)] == [6, 2]


def test_the_command_writes_a_picture_for_each_recording_that_is_there(recording: Path, shell: Shell) -> None:
    folder = recording.parent
    (folder / "truth.csv").write_text("file,start,end,label\nfield.wav,6,7,a\nmissing.wav,1,2,a\n")
    outcome = shell("evaluate-events", folder / "truth.csv", folder / "truth.csv", "--picture", folder / "pictures")
    assert outcome.code == 1
    assert "no picture of missing.wav: there is no recording" in outcome.err
    assert [path.name for path in (folder / "pictures").iterdir()] == ["field-1.png"]
    assert (folder / "pictures" / "field-1.png").read_bytes().startswith(b"\x89PNG")


def test_the_recording_of_a_table_without_names_is_drawn(recording: Path, shell: Shell) -> None:
    folder = recording.parent
    (folder / "field.labels.txt").write_text("6\t7\ta\n")
    table = folder / "field.labels.txt"
    outcome = shell("evaluate-events", table, table, "--picture", folder / "pictures")
    assert outcome.code == 0, outcome.err
    assert len(list((folder / "pictures").iterdir())) == 1
