"""What is asked of an old file, in the form in which ``expected.json`` holds what version 0.1 answered."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fewshot_audio import Recognizer
from tests.compatibility.sounds import Audio, questions, sound

SEGMENTS = {"Sounds": 0.224, "Waves": 0.096, "shipped": 1.0}
"""Seconds by which recordings were made, by dataset; the shipped recognizer's segments are longer."""

BUNDLES = {
    "plain": "Sounds",
    "views": "Sounds",
    "relation-pooled": "Sounds",
    "residual-pooled": "Sounds",
    "joined": "Sounds",
    "waveforms": "Waves",
    "pretrained": "Waves",
    "shipped": "shipped",
}
"""Bundles, and what their recordings are like."""

_SOUNDS = [["--tasks", "50", "--n-shot", shots, "--n-query", "2"] for shots in ("1", "5")]
_WAVES = [["--tasks", "50", "--n-shot", shots, "--n-query", "1"] for shots in ("1", "2")]
EVALUATIONS: dict[str, list[list[str]]] = {
    "plain": [
        *_SOUNDS,
        *([*_SOUNDS[0], *more] for more in (["--untrained"], ["--baseline", "log-mel"])),
        *([*_SOUNDS[0], "--baseline", name] for name in ("simpleshot", "linear-probe")),
        ["--open-set", "--n-way", "2", "--n-shot", "2", "--tasks", "50"],
    ],
    "attention": [*_SOUNDS, [*_SOUNDS[0], "--fresh-views"]],
    "relation-pooled": _SOUNDS,
    "residual-pooled": _SOUNDS,
    "joined": _SOUNDS,
    "waveforms": _WAVES,
    "pretrained": _WAVES,
}
"""Options of ``evaluate``, by run."""


def recognizer_answers(recognizer: Recognizer, asked: Sequence[Audio]) -> list[dict[str, Any]]:
    return [asdict(answer) for answer in recognizer.classify(asked, rate=16_000)]


def bundle_answers(recognizer: Recognizer, name: str) -> dict[str, Any]:
    """Everything that a bundle says; it ends with a class more."""
    seconds = SEGMENTS[BUNDLES[name]]
    asked = questions(seconds)
    diagnosis = recognizer.diagnose()
    actual = {
        "sample_rate": recognizer.sample_rate,
        "segment_seconds": recognizer.segment_seconds,
        "classes": recognizer.classes,
        "clips": {known: [list(clip) for clip in recognizer.clips(known)] for known in recognizer.classes},
        "temperature": recognizer.temperature,
        "unknown_threshold": recognizer.unknown_threshold,
        "accuracy": diagnosis.accuracy,
        "distances": [clip.distance for clip in diagnosis.clips],
        "answers": recognizer_answers(recognizer, asked),
    }
    recognizer.enroll("chirp", [sound(2, take, seconds) for take in (100, 101)], rate=16_000)
    return {**actual, "answers_with_another_class": recognizer_answers(recognizer, asked)}


def named_keys(warning: str) -> set[str]:
    """The config keys that a warning names."""
    return set(re.findall(r"[a-z]+(?:[._][a-z]+)+", warning))
