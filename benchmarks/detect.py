"""``python -m benchmarks.detect DATA``: the detector on soundscapes, beside template matching and a sketch.

The first five calls of each recording are given, or five drawn at random; F1 by one-to-one matching with an
intersection over union of 0.3, of what lies behind the fifth call (random: of all calls but the five), pooled over the
recordings of a kind and as their mean, and the share of the calls that are detected by their signal-to-noise ratio and
by their duration.
"""

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from benchmarks.soundscapes import KINDS, RATE, Call, Soundscape, soundscapes
from fewshot_audio.events.annotation import Annotation
from fewshot_audio.events.detection.detector import Detector
from fewshot_audio.events.detection.options import DetectionOptions
from fewshot_audio.studies.tables import markdown_table

Interval = tuple[float, float]
System = Callable[[Soundscape, Path, Sequence[Call]], list[Interval]]

IOU = 0.3
SNR_EDGES, DURATION_EDGES = (0.0, 4.0, 8.0), (0.1, 0.5, 1.5)
TEMPLATE_CORRELATION = 0.5


class Count(NamedTuple):
    """Matched, reported and existing events, and of each existing one whether it is matched."""

    matched: int
    reported: int
    existing: int
    is_matched: NDArray[np.bool_]

    @property
    def f1(self) -> float:
        """In percent."""
        return 200.0 * self.matched / max(1, self.reported + self.existing)


def count_matches(calls: Sequence[Call], given: Sequence[Call], events: Sequence[Interval], *, first: bool) -> Count:
    """Match events with calls one to one, as many as possible.

    Args:
        calls: all of the recording.
        given: those that are not counted.
        events: what was reported.
        first: whether only what begins behind the last given call counts; otherwise all but what overlaps given ones.
    """
    end = max(call.end for call in given)
    rest = [call for call in calls if call not in given]
    if first:
        rest = [call for call in rest if call.start >= end]
        events = [event for event in events if event[0] >= end]
    else:
        events = [event for event in events if not any(_share(event, (c.start, c.end)) >= IOU for c in given)]
    if not rest or not events:
        return Count(0, len(events), len(rest), np.zeros(len(rest), bool))
    shares = np.array([[_share(event, (call.start, call.end)) for event in events] for call in rest])
    matching = maximum_bipartite_matching(csr_matrix(shares >= IOU), perm_type="column")
    return Count(int((matching >= 0).sum()), len(events), len(rest), matching >= 0)


def match_template(scape: Soundscape, _path: Path, given: Sequence[Call]) -> list[Interval]:
    """Where the log-mel spectrogram correlates with that of a given call."""
    hop = 220
    mel = librosa.feature.melspectrogram(y=scape.samples, sr=RATE, n_fft=1024, hop_length=hop, n_mels=40, fmin=100)
    image = librosa.power_to_db(mel)
    image = image - np.median(image, axis=1, keepdims=True)
    matches: list[tuple[float, float, float]] = []
    for call in given:
        first, length = round(call.start * RATE / hop), max(3, round((call.end - call.start) * RATE / hop))
        patch = image[:, first : first + length]
        patch = (patch - patch.mean()) / (patch.std() + 1e-9)
        ones = np.ones_like(patch)
        products = fftconvolve(image, patch[::-1, ::-1], mode="valid")[0]
        sums, squares = (fftconvolve(image**power, ones, mode="valid")[0] for power in (1, 2))
        deviations = np.sqrt(np.maximum(squares / patch.size - (sums / patch.size) ** 2, 1e-9))
        correlations = products / patch.size / deviations
        for frame in np.flatnonzero(correlations > TEMPLATE_CORRELATION).tolist():
            matches.append((float(correlations[frame]), frame * hop / RATE, (frame + length) * hop / RATE))
    kept: list[Interval] = []
    for _, start, end in sorted(matches, reverse=True):
        if not any(min(end, other[1]) > max(start, other[0]) for other in kept):
            kept.append((start, end))
    return kept


def run_detector(options: DetectionOptions) -> System:
    """The detector of the package."""

    def detect(scape: Soundscape, path: Path, given: Sequence[Call]) -> list[Interval]:
        marks = [Annotation(path, call.start, call.end, scape.label) for call in given]
        return [(event.start, event.end) for event in Detector.fit(marks, options=options).detect(path)]

    return detect


def load_sketch(path: Path) -> System:
    """The ``detect`` of a file, called with samples and intervals."""
    spec = importlib.util.spec_from_file_location("sketch", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def detect(scape: Soundscape, _path: Path, given: Sequence[Call]) -> list[Interval]:
        events: list[Interval] = module.detect(scape.samples, [(call.start, call.end) for call in given])
        return events

    return detect


def _share(event: Interval, other: Interval) -> float:
    common = min(event[1], other[1]) - max(event[0], other[0])
    return max(0.0, common) / (max(event[1], other[1]) - min(event[0], other[0]))


def _by(values: Sequence[float], is_matched: NDArray[np.bool_], edges: Sequence[float]) -> list[str]:
    """The share that is matched in each bin, in percent, with how many there are."""
    bins = np.digitize(values, edges)
    shares = [(100.0 * is_matched[bins == n].mean() if (bins == n).any() else np.nan) for n in range(len(edges) + 1)]
    return [f"{share:.0f} ({(bins == n).sum()})" for n, share in enumerate(shares)]


def main() -> None:
    """Print a table of F1 for each kind, and of recall by signal-to-noise ratio and duration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--half", choices=("development", "report"), default="development")
    parser.add_argument("--most", type=int, help="recordings of each kind, at most")
    parser.add_argument("--random-examples", action="store_true", help="give five calls at random, not the first five")
    parser.add_argument("--sketch", type=Path, help="a file whose detect(samples, intervals) returns intervals")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    complete = not arguments.random_examples
    systems: dict[str, System] = {
        "template": match_template,
        "windows only": run_detector(DetectionOptions(rescore=False, complete_between=complete)),
        "detector": run_detector(DetectionOptions(complete_between=complete)),
    }
    if arguments.sketch:
        systems = {"sketch": load_sketch(arguments.sketch), **systems}
    rows, details, numbers = [], [], {}
    for kind in arguments.kinds:
        makers = soundscapes(arguments.data, kind, arguments.seeds, arguments.half)
        order = np.random.default_rng(0).permutation(len(makers))[: arguments.most]
        counts: dict[str, list[Count]] = {name: [] for name in systems}
        calls: list[Call] = []
        seconds = dict.fromkeys(systems, 0.0)
        with tempfile.TemporaryDirectory() as folder:
            for index in order:
                scape = makers[index]()
                path = Path(folder).resolve() / f"{index}.wav"
                soundfile.write(path, scape.samples, RATE)
                given = list(scape.calls[:5])
                if arguments.random_examples:
                    chosen = np.random.default_rng(int(index)).permutation(len(scape.calls))[:5]
                    given = [scape.calls[int(number)] for number in sorted(chosen)]
                calls += [
                    call for call in scape.calls if call not in given and (not complete or call.start >= given[-1].end)
                ]
                for name, system in systems.items():
                    began = time.perf_counter()
                    events = system(scape, path, given)
                    seconds[name] += time.perf_counter() - began
                    counts[name].append(count_matches(scape.calls, given, events, first=complete))
        for name, own in counts.items():
            matched_total, reported, existing = (sum(int(count[n]) for count in own) for n in range(3))
            pooled = Count(matched_total, reported, existing, np.empty(0, bool))
            each = [count.f1 for count in own]
            matched = np.concatenate([count.is_matched for count in own])
            rows.append([kind, name, f"{pooled.f1:.1f}", f"{np.mean(each):.1f}", f"{seconds[name] / len(own):.1f}"])
            by_snr = _by([call.snr for call in calls], matched, SNR_EDGES)
            by_length = _by([call.end - call.start for call in calls], matched, DURATION_EDGES)
            details.append([kind, name, *by_snr, *by_length])
            numbers[f"{kind}/{name}"] = {"pooled": pooled.f1, "each": each}
        print(markdown_table(["soundscapes", "system", "F1", "mean F1", "s each"], rows), flush=True)
    snr = ["< 0 dB", "0-4 dB", "4-8 dB", "> 8 dB"]
    print(markdown_table(["recall %", "system", *snr, "< 0.1 s", "0.1-0.5 s", "0.5-1.5 s", "> 1.5 s"], details))
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
