"""The command line: ``fewshot-audio``. Commands import the heavy rooms only when they run."""

from fewshot_audio.cli import (
    augment,
    classify,
    configs,
    crossval,
    demo,
    download,
    enroll,
    evaluate,
    export,
    gather,
    info,
    prepare,
    report,
    reproduce,
    serve,
    train,
    tune,
)
from fewshot_audio.cli.app import app, main

__all__ = [
    "app",
    "augment",
    "classify",
    "configs",
    "crossval",
    "demo",
    "download",
    "enroll",
    "evaluate",
    "export",
    "gather",
    "info",
    "main",
    "prepare",
    "report",
    "reproduce",
    "serve",
    "train",
    "tune",
]
