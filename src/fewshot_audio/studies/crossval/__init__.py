"""Class-wise cross-validation: recipes are compared without looking at a test class."""

from fewshot_audio.studies.crossval.compare import compare, markdown
from fewshot_audio.studies.crossval.plan import (
    Candidate,
    Plan,
    Protocol,
    Rung,
    make_plan,
    parse_rungs,
    read_candidates,
)
from fewshot_audio.studies.crossval.work import RESULTS_FILE, TABLE_FILE, cross_validate, summarize

__all__ = [
    "RESULTS_FILE",
    "TABLE_FILE",
    "Candidate",
    "Plan",
    "Protocol",
    "Rung",
    "compare",
    "cross_validate",
    "make_plan",
    "markdown",
    "parse_rungs",
    "read_candidates",
    "summarize",
]
