"""The command line: ``fewshot-audio``. Commands import the heavy rooms only when they run."""

from fewshot_audio.cli import augment, classify, configs, demo, download, enroll, evaluate, export, info, prepare, train
from fewshot_audio.cli.app import app, main

__all__ = [
    "app",
    "augment",
    "classify",
    "configs",
    "demo",
    "download",
    "enroll",
    "evaluate",
    "export",
    "info",
    "main",
    "prepare",
    "train",
]
