"""``python -m fewshot_audio.cli``: the command, where the package is not installed."""

from fewshot_audio.cli.app import main

if __name__ == "__main__":
    main()
