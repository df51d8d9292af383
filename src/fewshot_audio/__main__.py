"""``python -m fewshot_audio``: the command, where its script is not on the path."""

from fewshot_audio.cli.__main__ import run

if __name__ == "__main__":
    run()
