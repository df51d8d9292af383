"""Speed of waveform augmentation: each transform and the whole chain, against audiomentations clip by clip.

Both run in this process on the same number of threads and take turns, so that other load on the machine affects both.
audiomentations takes one clip at a time, as its users call it in a data loader; ours takes the batch. The report has
medians of examples per second. audiomentations has no splice-out; its chain leaves it out.

    python benchmarks/augment.py [--examples 150] [--seconds 5] [--repeats 5] [--threads 1] [--device cpu] [--json FILE]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audiomentations as am
import numpy as np
import torch

from fewshot_audio.audio.augment.waveform import WaveformDraw, draw_waveform_views, waveform_views
from fewshot_audio.audio.augment.waveform.chain import CHAIN
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config.augmentation import WaveAugParams
from fewshot_audio.files import write_json
from fewshot_audio.runtime.allocator import keep_pages

RATE = 16_000
STATS = WaveStats(centroid=1191.0, bandwidth=1669.0, flatness=0.144)  # published for ESC-50
PROBABILITIES = {  # of the documented example
    "lowpass": 0.5,
    "pitch": 0.5,
    "shift": 0.5,
    "inversion": 0.0,
    "gain": 0.5,
    "noise": 0.5,
    "highpass": 0.3,
    "bandstop": 0.5,
    "spliceout": 0.5,
    "stretch": 0.0,
    "mask": 0.5,
}


def draw(n: int, samples: int, probabilities: dict[str, float]) -> WaveformDraw:
    """Draw from the documented example's ranges, with these probabilities."""
    params = WaveAugParams(
        use=True,
        aug_num=1,
        min_gain_in_db=-6,
        max_gain_in_db=6,
        gain_p=probabilities["gain"],
        min_snr_in_db=10,
        max_snr_in_db=25,
        noise_min_f_decay=-2,
        noise_max_f_decay=2,
        noise_p=probabilities["noise"],
        bandstop_min_bandwidth_fraction=0.5,
        bandstop_max_bandwidth_fraction=1,
        bandstop_p=probabilities["bandstop"],
        highpass_p=probabilities["highpass"],
        lowpass_p=probabilities["lowpass"],
        pitchshift_min_transpose_semitones=-4,
        pitchshift_max_transpose_semitones=4,
        pitchshift_p=probabilities["pitch"],
        shift_min_shift=-0.5,
        shift_max_shift=0.5,
        shift_p=probabilities["shift"],
        spliceout_num_time_intervals=8,
        spliceout_max_width=400,
        spliceout_p=probabilities["spliceout"],
        timeinversion_p=probabilities["inversion"],
        min_stretch_ratio=0.9,
        max_stretch_ratio=1.1,
        timestretch_p=probabilities["stretch"],
        timemasking_masks=5,
        timemasking_mask_fraction=0.01,
        timemasking_p=probabilities["mask"],
    )
    return draw_waveform_views(params, STATS, n, samples, torch.Generator().manual_seed(0), RATE)


def theirs(probabilities: dict[str, float]) -> am.Compose:
    """Return audiomentations' chain in the same order, with the same ranges (decay in dB per octave)."""
    p = probabilities
    low, center, high = (STATS.centroid + share * STATS.bandwidth for share in (-0.5, 0.0, 0.5))
    transforms: dict[str, list[Any]] = {
        "lowpass": [am.LowPassFilter(center, high, p=p["lowpass"])],
        "pitch": [am.PitchShift(-4, 4, p=p["pitch"])],
        "shift": [am.Shift(-0.5, 0.5, rollover=True, fade_duration=0.0, p=p["shift"])],
        "inversion": [am.Reverse(p=p["inversion"])],
        "gain": [am.Gain(-6, 6, p=p["gain"])],
        "noise": [am.AddColorNoise(10, 25, -12.04, 12.04, p=p["noise"])],
        "highpass": [am.HighPassFilter(low, center, p=p["highpass"])],
        "bandstop": [am.BandStopFilter(low, center, 0.5, 1.0, p=p["bandstop"])],
        "stretch": [am.TimeStretch(1 / 1.1, 1 / 0.9, p=p["stretch"])],
        "mask": [am.Compose([am.TimeMask(0.01, 0.01, fade_duration=0.0, p=1.0)] * 5, p=p["mask"])],
    }
    return am.Compose([transform for name in CHAIN for transform in transforms.get(name, []) if p[name]])


def seconds_per_example(work: Callable[[], object], examples: int) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / examples


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per transform, and one per chain: medians of examples per second, ours and theirs."""
    device, n = torch.device(arguments.device), arguments.examples
    samples = round(arguments.seconds * RATE)
    x = torch.randn((n, samples), generator=torch.Generator().manual_seed(1))
    clips = x[: arguments.clips].numpy()
    batch = x.to(device)
    cases = {name: {other: float(other == name) for other in CHAIN} for name in CHAIN}
    cases["chain, documented p"] = PROBABILITIES
    cases["chain, every p = 1"] = dict.fromkeys(CHAIN, 1.0)
    rows = []
    for name, probabilities in cases.items():
        parameters, chain = draw(n, samples, probabilities), theirs(probabilities)

        def ours(parameters: WaveformDraw = parameters) -> None:
            waveform_views(batch, parameters)
            if device.type == "cuda":
                torch.cuda.synchronize()

        def clip_by_clip(chain: am.Compose = chain) -> None:
            for clip in clips:
                chain(clip, RATE)

        ours()
        chain(clips[0], RATE)
        times = [
            (seconds_per_example(ours, n), seconds_per_example(clip_by_clip, len(clips)) if chain.transforms else None)
            for _ in range(arguments.repeats)
        ]
        rate = 1 / statistics.median(own for own, _ in times)
        other = [value for _, value in times if value is not None]
        their_rate = 1 / statistics.median(other) if other else None
        rows.append({"name": name, "examples_per_second": rate, "audiomentations": their_rate})
    return rows


def main() -> None:
    """Measure, print a table, and write the numbers if ``--json`` is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=int, default=40, help="how many of the examples audiomentations gets each time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    np.random.seed(0)  # noqa: NPY002 - what audiomentations draws from
    allocator = "kept" if keep_pages() else "system"  # as in training
    rows = measure(arguments)
    print(f"{arguments.examples} examples of {arguments.seconds} s, {arguments.device}, {arguments.threads} thread(s)")
    print(f"{'':22}{'examples/s':>12}{'audiomentations':>17}{'times':>8}")
    for row in rows:
        rate, other = row["examples_per_second"], row["audiomentations"]
        against = f"{other:17.0f}{rate / other:8.1f}" if other else f"{'-':>17}{'-':>8}"
        print(f"{row['name']:22}{rate:12.0f}{against}")
    if arguments.json:
        settings = {key: value for key, value in vars(arguments).items() if key != "json"}
        versions = {"torch": torch.__version__, "audiomentations": am.__version__}
        write_json(arguments.json, {**settings, "allocator": allocator, "versions": versions, "rows": rows})
        print(json.dumps({"written": str(arguments.json)}))


if __name__ == "__main__":
    main()
