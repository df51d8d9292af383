"""``python -m benchmarks.detect_pictures DATA OUT``: the pictures of docs/detect.md, one for each option of ``detect``.

Each shows half a minute of a recording whose events are known, searched with two or three settings of one option.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from matplotlib.patches import Patch

from benchmarks.soundscapes import RATE, Soundscape, list_palette, mix, mix_background, mix_song
from fewshot_audio.audio.decode import decode
from fewshot_audio.events import picture
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.events.evaluate import EvaluationOptions, evaluate_events
from fewshot_audio.events.pairing import EventTables
from fewshot_audio.events.write import CSV_COLUMNS, Csv, FileDetections
from fewshot_audio.runtime.figures import new_figure, write_figure

MINUTES, CALLS, DISTRACTORS, GIVEN = 2.0, 16, 12, 5
SNR = (0.0, 15.0)


class Setting(NamedTuple):
    """What a panel shows: its title, the marked events, recordings of the background, and options."""

    title: str
    marks: Sequence[Annotation]
    options: DetectionOptions
    background: tuple[Path, ...] = ()


class Scene(NamedTuple):
    """A recording, and all of its events; the first ``GIVEN`` of each label are marked."""

    path: Path
    truth: tuple[Annotation, ...]

    @property
    def given(self) -> list[Annotation]:
        """The marked ones."""
        labels = dict.fromkeys(mark.label for mark in self.truth)
        return [mark for label in labels for mark in [m for m in self.truth if m.label == label][:GIVEN]]


def write_scene(scape: Soundscape, folder: Path, *, all_sounds: bool = False) -> Scene:
    """Write a soundscape; with ``all_sounds`` each sound, of whatever class, is an event of the label "sound" too."""
    path = folder.resolve() / f"{scape.name}.wav"
    soundfile.write(path, scape.samples, RATE)
    truth = [Annotation(path, call.start, call.end, scape.label) for call in scape.calls]
    if all_sounds:
        sounds = sorted([*scape.calls, *scape.others], key=lambda call: call.start)
        truth += [Annotation(path, call.start, call.end, "sound") for call in sounds]
    return Scene(path, tuple(truth))


def draw(scene: Scene, settings: Sequence[Setting], start: float, out: Path) -> None:
    """Draw half a minute of a recording for each setting, one below the other."""
    samples = decode(scene.path, picture.RATE).samples[round(start * picture.RATE) :][
        : round(picture.PANEL * picture.RATE)
    ]
    figure = new_figure(14, 0.7 + 2.4 * len(settings))
    for axes, setting in zip(figure.subplots(len(settings), 1, squeeze=False)[:, 0], settings, strict=True):
        events = Detector.fit(setting.marks, setting.background, setting.options).detect(scene.path)
        truth, found = scene.path.with_suffix(".truth.csv"), scene.path.with_suffix(".found.csv")
        rows = [(str(scene.path), m.start, m.end, m.label, 1.0, "", "", 1) for m in scene.truth]
        truth.write_text("\n".join(",".join(map(str, row)) for row in [CSV_COLUMNS, *rows]))
        found.write_text(Csv().text([FileDetections(str(scene.path), events=tuple(events))]))
        options = EvaluationOptions(skip_first=GIVEN)
        (marks,) = evaluate_events(EventTables.read(truth), EventTables.read(found), options).marks.values()
        picture.draw_panel(axes, start, samples, marks, RATE / 2000)
        axes.set_title(setting.title, loc="left", fontsize=10)
    handles = [Patch(color=picture.COLORS[status], label=meaning) for status, meaning in picture.MEANINGS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False)
    axes.set_xlabel("seconds")
    with out.open("wb") as stream:
        write_figure(figure, stream, "png", dpi=70)


def list_pictures(data: Path, folder: Path) -> Mapping[str, tuple[Scene, list[Setting], float]]:
    """For each option the recording, its settings, and where the half minute begins."""
    palette = list_palette(data, "animals")

    def mixed(label: str, seed: int) -> Soundscape:
        return mix(palette, label, seed, minutes=MINUTES, calls=CALLS, distractors=DISTRACTORS, snr=SNR)

    plain = write_scene(mixed("crow" if "crow" in palette.sounds else next(iter(palette.sounds)), 7), folder)
    song = write_scene(mix_song(palette, 3, minutes=MINUTES), folder)
    both = write_scene(
        mixed("frog" if "frog" in palette.sounds else next(iter(palette.sounds)), 8), folder, all_sounds=True
    )
    weather = folder / "weather.wav"
    soundfile.write(weather, mix_background(palette, np.random.default_rng(7), 60 * RATE), RATE)
    options, given = DetectionOptions(), plain.given
    return {
        "threshold": (
            plain,
            [Setting(f"--threshold {value:g}", given, replace(options, threshold=value)) for value in (0.3, 0.7, 0.95)],
            75.0,
        ),
        "min-duration": (
            plain,
            [
                Setting("--threshold 0.5", given, replace(options, threshold=0.5)),
                Setting("--threshold 0.5 --min-duration 0.5", given, DetectionOptions(0.5, min_duration=0.5)),
            ],
            75.0,
        ),
        "merge-gap": (
            song,
            [
                Setting("without --merge-gap", song.given, options),
                Setting("--merge-gap 1", song.given, replace(options, merge_gap=1.0)),
            ],
            75.0,
        ),
        "overlaps": (
            both,
            [
                Setting("without --overlaps", both.given, options),
                Setting("--overlaps", both.given, replace(options, overlaps=True)),
            ],
            75.0,
        ),
        "complete-between": (
            plain,
            [
                Setting("--random-examples", given, replace(options, complete_between=False)),
                Setting("--complete-between", given, replace(options, complete_between=True)),
            ],
            75.0,
        ),
        "background": (
            plain,
            [
                Setting("--random-examples", given, replace(options, complete_between=False)),
                Setting(
                    "--random-examples --background weather.wav",
                    given,
                    replace(options, complete_between=False),
                    (weather,),
                ),
            ],
            75.0,
        ),
    }


def main() -> None:
    """Write a PNG for each option."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", help="options to draw; default: all")
    arguments = parser.parse_args()
    recordings = arguments.out / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    for name, (scene, settings, start) in list_pictures(arguments.data, recordings).items():
        if not arguments.only or name in arguments.only:
            draw(scene, settings, start, arguments.out / f"detect-{name}.png")


if __name__ == "__main__":
    main()
