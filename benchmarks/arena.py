"""``python -m benchmarks.arena DATA``: recognizers on collections of recordings, beside 27 lines of MFCC.

Each draw of a collection enrolls 5 clips of up to 10 classes and asks up to 20 others of each, and as many of two
further classes, which are unknown. The recognizer is used as a program would use it (``enroll``, ``classify``), but
each recording is embedded once for all draws. Clips of one class that come from the same recording, kit or source file
are never both enrolled and asked; of a class with fewer than 6 such groups, half of the groups are enrolled from.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import Memory
from numpy.typing import NDArray

from benchmarks.arena_collections import ArenaClip, list_collections
from benchmarks.plain_baseline import PlainBaseline
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.functional.reliability import reliability
from fewshot_audio.functional.statistics import ci95
from fewshot_audio.models.frozen.installed import installed_encoder, installed_encoders
from fewshot_audio.recognition.clips import Clips, LoadedClip, load_clips
from fewshot_audio.recognition.decision.choose import HEADS, Head
from fewshot_audio.recognition.embedder import Embedder
from fewshot_audio.recognition.encoders import ClipEncoders, Encoded
from fewshot_audio.recognition.enrolled import UNKNOWN
from fewshot_audio.recognition.open_set_tasks import auroc
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.torch_embedder import TorchEmbedder
from fewshot_audio.studies.tables import markdown_table

WAY, UNKNOWN_CLASSES, SHOT, MOST_ASKED = 10, 2, 5, 20


class Draw(NamedTuple):
    """Clips of one draw by class: enrolled, asked, and those of unknown classes."""

    enrolled: dict[str, list[ArenaClip]]
    asked: dict[str, list[ArenaClip]]
    unknown: list[ArenaClip]


def draw_clips(clips: Sequence[ArenaClip], seed: int, *, unknown: int = UNKNOWN_CLASSES) -> Draw:
    """Draw classes and clips; the draw depends on the clips, the seed and the number of unknown classes alone."""
    random = np.random.default_rng(seed)
    names = sorted({clip.label for clip in clips})
    order = [str(name) for name in random.permutation(names)]
    way = min(WAY, len(names) - unknown)
    enrolled, asked = {}, {}
    for name in sorted(order[:way]):
        own = [clip for clip in clips if clip.label == name]
        shuffled = [own[number] for number in random.permutation(len(own))]
        enrolled[name], rest = _split_groups(shuffled)
        asked[name] = rest[:MOST_ASKED]
    others = []
    for name in order[way : way + unknown]:
        own = [clip for clip in clips if clip.label == name]
        others += [own[number] for number in random.permutation(len(own))[:MOST_ASKED]]
    return Draw(enrolled, asked, others)


def _split_groups(clips: list[ArenaClip]) -> tuple[list[ArenaClip], list[ArenaClip]]:
    """Clips to enroll, taken from their groups in turn, and the clips of all other groups."""
    groups: dict[str, list[ArenaClip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    n_groups = SHOT if len(groups) > SHOT else max(1, len(groups) // 2)
    enrolled_from = list(groups)[:n_groups]
    longest = max(len(groups[group]) for group in enrolled_from)
    in_turn = [groups[group][turn] for turn in range(longest) for group in enrolled_from if turn < len(groups[group])]
    return in_turn[:SHOT], [clip for clip in clips if clip.group not in enrolled_from]


@dataclass(frozen=True)
class EmbeddedClip(LoadedClip):
    """A clip that was embedded before."""

    rows: Any = None
    saved_timbre: NDArray[np.float32] | None = None
    saved_rows: Mapping[str, Any] = field(default_factory=dict)

    def timbre(self, preprocessing: Preprocessing) -> NDArray[np.float32]:
        """What was computed before."""
        assert self.saved_timbre is not None
        return self.saved_timbre

    def encoded(
        self, encoders: ClipEncoders, preprocessing: Preprocessing, names: Iterable[str] | None = None
    ) -> Encoded:
        """What was computed before."""
        return {name: self.saved_rows[name] for name in (encoders.descriptions if names is None else names)}


class EmbeddedClips(TorchEmbedder):
    """An embedder of clips that were embedded before."""

    def __init__(self, embedder: Embedder) -> None:
        vars(self).update(vars(embedder))

    def embed_clips(self, clips: Clips, rate: float | None = None) -> Iterator[tuple[LoadedClip, Any]]:
        """Yield each clip with its rows."""
        for clip in clips if isinstance(clips, list) else [clips]:
            assert isinstance(clip, EmbeddedClip)
            yield clip, clip.rows


class Arena:
    """Runs draws through the public API.

    Args:
        bundle: a recognizer without classes; None takes the shipped one.
        cache: folder that keeps embeddings for another run; None keeps them in memory.
        encoders: that decide beside the network.
        chooses: whether the clips of each draw choose among them.
    """

    def __init__(
        self, bundle: Path | None, cache: Path | None, encoders: ClipEncoders | None = None, *, chooses: bool = False
    ) -> None:
        self.bundle = bundle
        self.encoders = encoders or ClipEncoders()
        self.chooses = chooses
        self.recognizer = Recognizer.load(bundle) if bundle else Recognizer.shipped()
        self.embedder = EmbeddedClips(self.recognizer.embedder)
        weights = self.recognizer.network.state_dict().values()
        self.key = str(sum(float(value.double().abs().sum()) for value in weights))
        self.embed_file = Memory(cache, verbose=0).cache(self._embed_file, ignore=["recognizer"])
        self.encode_file = Memory(cache, verbose=0).cache(self._encode_file, ignore=["encoders", "preprocessing"])
        self.clips: dict[Path, EmbeddedClip] = {}

    @staticmethod
    def _embed_file(path: Path, _weights: str, recognizer: Recognizer) -> EmbeddedClip:
        (clip,) = load_clips(path, recognizer.preprocessing)
        ((_, rows),) = recognizer.embedder.embed_clips(clip)
        timbre = clip.timbre(recognizer.preprocessing)
        return EmbeddedClip(path.name, clip.segments[:, :0], clip.silence, clip.seconds, rows=rows, saved_timbre=timbre)

    @staticmethod
    def _encode_file(path: Path, name: str, _digest: str, encoders: ClipEncoders, preprocessing: Preprocessing) -> Any:
        (clip,) = load_clips(path, preprocessing)
        return clip.encoded(encoders, preprocessing, [name])[name]

    def clip(self, clip: ArenaClip) -> EmbeddedClip:
        """A recording, embedded once."""
        if clip.path not in self.clips:
            embedded = self.embed_file(clip.path, self.key, self.recognizer)
            preprocessing = self.recognizer.preprocessing
            rows = {
                name: self.encode_file(clip.path, name, digest, self.encoders, preprocessing)
                for name, digest in self.encoders.digests.items()
            }
            self.clips[clip.path] = replace(embedded, saved_rows=rows)
        return self.clips[clip.path]

    def answer(self, draw: Draw, head: Head | None) -> dict[str, Any]:
        """Enroll and classify one draw."""
        former = self.recognizer
        recognizer = Recognizer(
            self.embedder, former.experiment, former.model, former.calibration, encoders=self.encoders
        )
        for name, clips in draw.enrolled.items():
            recognizer.enroll(name, [self.clip(clip) for clip in clips])
        if self.chooses:
            recognizer.choose_encoders()
        if head:
            recognizer.choose_head(head)
        asked = [(clip, name) for name, clips in draw.asked.items() for clip in clips]
        answers = recognizer.classify([self.clip(clip) for clip, _ in asked])
        others = recognizer.classify([self.clip(clip) for clip in draw.unknown]) if draw.unknown else []
        return {
            "head": recognizer.head,
            "encoders": " + ".join(recognizer.encoder_names) or "none",
            "right": [answer.best == name for answer, (_, name) in zip(answers, asked, strict=True)],
            "confidence": [answer.probabilities[answer.best] for answer in answers],
            "false_alarm": [answer.label == UNKNOWN for answer in answers],
            "found": [answer.label == UNKNOWN for answer in others],
            "known_scores": [answer.unknown_score for answer in answers],
            "unknown_scores": [answer.unknown_score for answer in others],
        }


def run_collection(
    arena: Arena, baseline: PlainBaseline, clips: Sequence[ArenaClip], heads: Sequence[Head | None], draws: int
) -> dict[str, Any]:
    """All figures of one collection: of the baseline, and of each head."""
    results: dict[str, list[dict[str, Any]]] = {head or "auto": [] for head in heads}
    plain = []
    for seed in range(draws):
        draw = draw_clips(clips, seed)
        plain.append(baseline.accuracy(draw.enrolled, draw.asked))
        for head in heads:
            results[head or "auto"].append(arena.answer(draw, head))
    return {"plain": plain, **{head: summarize(answers, plain) for head, answers in results.items()}}


def summarize(answers: list[dict[str, Any]], plain: list[float]) -> dict[str, Any]:
    """Figures over all draws, in percent; ``difference`` is paired with the baseline's."""

    def pooled(key: str) -> NDArray[np.float64]:
        return np.concatenate([np.asarray(draw[key], dtype=np.float64) for draw in answers])

    accuracies = 100 * np.array([np.mean(draw["right"]) for draw in answers])
    differences = accuracies - 100 * np.array(plain)
    areas = [auroc(np.array(d["known_scores"]), np.array(d["unknown_scores"])) for d in answers if d["unknown_scores"]]
    heads = [draw["head"] for draw in answers]
    return {
        "accuracy": float(accuracies.mean()),
        "difference": float(differences.mean()),
        "ci95": ci95(differences),
        "ece": 100 * reliability(pooled("confidence"), pooled("right").astype(bool)).ece,
        "false_alarm": 100 * float(pooled("false_alarm").mean()),
        "found": 100 * float(pooled("found").mean()) if areas else None,
        "auroc": 100 * float(np.mean(areas)) if areas else None,
        "heads": {head: heads.count(head) for head in HEADS if head in heads},
        "encoders": dict(Counter(draw["encoders"] for draw in answers)),
    }


def table(results: Mapping[str, Mapping[str, Any]], head: str) -> str:
    """The figures of one head as Markdown."""
    columns = ["collection", "27 lines", "recognizer", "difference", "ECE", "false alarms", "found", "AUROC", "heads"]
    rows = []
    for name, result in results.items():
        own = result[head]
        optional = [f"{own[key]:.1f}" if own[key] is not None else "-" for key in ("found", "auroc")]
        numbers = [f"{own[key]:.1f}" for key in ("ece", "false_alarm")]
        difference = f"{own['difference']:+.1f} ± {own['ci95']:.1f}"
        heads = ", ".join(f"{key} {count}" for key, count in own["heads"].items())
        plain = f"{100 * np.mean(result['plain']):.1f}"
        rows.append([name, plain, f"{own['accuracy']:.1f}", difference, *numbers, *optional, heads])
    return markdown_table(columns, rows)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arena", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of collections: of class folders, or ESC-50 as published")
    parser.add_argument("--half", choices=["development", "report", "all"], default="development")
    parser.add_argument("--collections", nargs="*", help="names of collections; default: all")
    parser.add_argument("--heads", nargs="*", default=["auto"], choices=["auto", *HEADS])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--bundle", type=Path, help="a recognizer without classes; default: the shipped one")
    parser.add_argument("--encoder", nargs="*", default=[], help="encoders that decide too; auto: the clips choose")
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings for another run")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    half: Literal["development", "report", "all"] = options.half
    chooses = options.encoder == ["auto"]
    names = list(installed_encoders()) if chooses else options.encoder
    encoders = ClipEncoders.of([installed_encoder(name) for name in names])
    arena = Arena(options.bundle, options.cache, encoders, chooses=chooses)
    baseline = PlainBaseline(options.cache)
    heads = [None if head == "auto" else head for head in options.heads]
    results = {}
    for name, clips in list_collections(options.data, half, options.collections).items():
        results[name] = run_collection(arena, baseline, clips, heads, options.draws)
        arena.clips.clear()
        print(name, {head: round(results[name][head]["accuracy"], 1) for head in options.heads}, flush=True)
        if chooses:
            print(name, {head: results[name][head]["encoders"] for head in options.heads}, flush=True)
    for head in options.heads:
        print(f"\nhead {head}: means {_means(results, head)}\n\n{table(results, head)}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


def _means(results: Mapping[str, Mapping[str, Any]], head: str) -> str:
    accuracy = np.mean([result[head]["accuracy"] for result in results.values()])
    plain = 100 * np.mean([np.mean(result["plain"]) for result in results.values()])
    return f"{accuracy:.1f}, 27 lines {plain:.1f}"


if __name__ == "__main__":
    main()
