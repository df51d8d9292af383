"""The evaluation of events as JSON. Keys have a version, because programs read them."""

from dataclasses import asdict
from typing import Any

from fewshot_audio.events.evaluate import EvaluationOptions, EventEvaluation
from fewshot_audio.events.scores import thinned

VERSION = 1


def as_json(result: EventEvaluation, options: EvaluationOptions) -> dict[str, Any]:
    """All scores, a curve of at most 200 points, the options, and what is to be said of the tables."""
    groups = {"labels": result.labels, "sets": result.sets, "recordings": result.recordings}
    return {
        "version": VERSION,
        "options": asdict(options),
        "total": asdict(result.total),
        **{name: {key: asdict(score) for key, score in scores.items()} for name, scores in groups.items()},
        "harmonic_f1": result.harmonic_f1,
        "best": asdict(result.best) if result.best else None,
        "curve": [asdict(point) for point in thinned(result.curve)],
        "problems": list(result.problems),
        "remarks": list(result.remarks),
    }
