"""The command line: ``fewshot-audio``. Commands import the heavy rooms only when they run."""

from fewshot_audio.cli import augment, configs, demo, download, evaluate, info, prepare, serve, train
from fewshot_audio.cli.app import app, main

__all__ = ["app", "augment", "configs", "demo", "download", "evaluate", "info", "main", "prepare", "serve", "train"]
