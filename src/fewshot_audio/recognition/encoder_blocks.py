"""Names of the blocks of features that frozen encoders give."""

from collections.abc import Iterable

from fewshot_audio.recognition.decision.examples import Block

PREFIX = "encoder:"


def encoder_block(name: str) -> Block:
    """The block of features of the encoder of that name."""
    return PREFIX + name


def encoder_names(blocks: Iterable[Block]) -> list[str]:
    """The names of the encoders whose blocks are among these."""
    return [block.removeprefix(PREFIX) for block in blocks if block.startswith(PREFIX)]
