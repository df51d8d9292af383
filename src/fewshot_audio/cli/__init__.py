"""The command line: one file per command; heavy packages are imported only when a command runs."""

from fewshot_audio.cli import (  # noqa: F401 - each registers its command
    augment,
    classify,
    configs,
    crossval,
    demo,
    detect,
    download,
    encoders,
    enroll,
    evaluate,
    evaluate_events,
    export,
    gather,
    info,
    join,
    prepare,
    report,
    reproduce,
    results,
    serve,
    train,
    tune,
)
from fewshot_audio.cli.app import app, main

__all__ = ["app", "main"]
