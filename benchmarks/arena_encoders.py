"""``python -m benchmarks.arena_encoders DATA --cache DIR``: what the clips choose among encoders, beside each choice.

The draws are those of the arena. On each, every set that ``enroll --encoder auto`` tries (none, each installed encoder,
each pair) enrolls and answers, and so does what the clips of the draw choose. Printed are the mean accuracies, and how
far the clips' choices stay behind the set that is best on all draws, which nobody knows before.
"""

import argparse
import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arena import Arena, draw_clips
from benchmarks.arena_collections import ArenaClip, list_collections
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.frozen.installed import installed_encoder, installed_encoders
from fewshot_audio.recognition.encoders import ClipEncoders
from fewshot_audio.studies.tables import markdown_table

AUTO = "chosen by the clips"
NONE = "none"


def run_collection(
    arena: Arena, clips: list[ArenaClip], encoders: dict[str, ClipEncoders], draws: int
) -> dict[str, Any]:
    """Accuracies of each draw, in percent, by set and of what the clips choose; and their choices."""
    accuracies: dict[str, list[float]] = {name: [] for name in (*encoders, AUTO)}
    chosen = []
    everything = arena.encoders
    for seed in range(draws):
        draw = draw_clips(clips, seed)
        for group in (*draw.enrolled.values(), *draw.asked.values(), draw.unknown):
            for clip in group:
                arena.clip(clip)  # by all encoders, before a set of them is asked
        for name, own in encoders.items():
            arena.encoders, arena.chooses = own, False
            accuracies[name].append(100 * float(np.mean(arena.answer(draw, None)["right"])))
        arena.encoders, arena.chooses = everything, True
        answer = arena.answer(draw, None)
        accuracies[AUTO].append(100 * float(np.mean(answer["right"])))
        chosen.append(answer["encoders"])
    arena.clips.clear()
    return {"accuracies": accuracies, "chosen": dict(Counter(chosen))}


def row(name: str, result: dict[str, Any]) -> list[str]:
    """A line of the table."""
    accuracies = result["accuracies"]
    means = {key: float(np.mean(values)) for key, values in accuracies.items()}
    difference = np.array(accuracies[AUTO]) - np.array(accuracies[NONE])
    best = max((key for key in means if key != AUTO), key=means.__getitem__)
    return [
        name,
        f"{means[NONE]:.1f}",
        f"{means[AUTO]:.1f}",
        f"{difference.mean():+.1f} ± {ci95(difference):.1f}",
        f"{means[best]:.1f} ({best})",
        f"{means[best] - means[AUTO]:.1f}",
        ", ".join(f"{key} {count}" for key, count in sorted(result["chosen"].items(), key=lambda item: -item[1])),
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arena_encoders", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of collections: of class folders, or ESC-50 as published")
    parser.add_argument("--half", choices=["development", "report", "all"], default="development")
    parser.add_argument("--collections", nargs="*", help="names of collections; default: all")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--bundle", type=Path, help="a recognizer without classes; default: the shipped one")
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings for another run")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    names = list(installed_encoders())
    if not names:
        raise SystemExit("no encoder is installed: expected one or more in `fewshot-audio encoders list`")
    sets = [(), *((name,) for name in names), *combinations(names, 2)]
    encoders = {" + ".join(own) or NONE: ClipEncoders.of([installed_encoder(name) for name in own]) for own in sets}
    arena = Arena(options.bundle, options.cache, ClipEncoders.of([installed_encoder(name) for name in names]))
    results = {}
    for name, clips in list_collections(options.data, options.half, options.collections).items():
        results[name] = run_collection(arena, clips, encoders, options.draws)
        print(row(name, results[name]), flush=True)
    columns = ["collection", "none", AUTO, "difference", "best on all draws", "behind it", "chosen"]
    print(markdown_table(columns, [row(name, result) for name, result in results.items()]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
