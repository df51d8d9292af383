"""The command line: one file per command; heavy packages are imported only when a command runs."""

from fewshot_audio.cli import (  # noqa: F401 - each registers its command
    augment,
    classify,
    configs,
    crossval,
    demo,
    density,
    detect,
    download,
    encoders,
    enroll,
    evaluate,
    evaluate_events,
    export,
    gather,
    index,
    info,
    join,
    prepare,
    report,
    reproduce,
    results,
    search,
    serve,
    train,
    tune,
)
from fewshot_audio.cli.app import app, main

__all__ = ["app", "main"]
