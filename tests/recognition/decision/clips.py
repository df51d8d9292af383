"""Features of made-up clips, of classes that differ in one block, in both, or in none."""

import numpy as np

from fewshot_audio.recognition.decision.examples import Block, Counts, Examples, Features, Floats

WIDTHS: dict[Block, int] = {"embedding": 6, "timbre": 10}


def centers(classes: int, seed: int = 0) -> dict[Block, Floats]:
    """The classes' means in each block."""
    random = np.random.default_rng(seed)
    return {block: random.normal(size=(classes, width)) for block, width in WIDTHS.items()}


def clip(label: int, means: dict[Block, Floats], noise: dict[Block, float], random: np.random.Generator) -> Features:
    """A clip of one to three segments, which vary less than clips do."""
    segments = int(random.integers(1, 4))
    features: dict[Block, Floats] = {}
    for block, width in WIDTHS.items():
        own = means[block][label] + noise[block] * random.normal(size=width)
        features[block] = own + 0.2 * noise[block] * random.normal(size=(segments, width))
    return features


def examples(
    classes: int = 4, clips: int = 5, *, embedding: float = 1.0, timbre: float = 1.0, seed: int = 0
) -> Examples:
    """Clips of each class; the deviations of clips from the mean of their class are given for each block."""
    random, noise = np.random.default_rng(seed), {"embedding": embedding, "timbre": timbre}
    labels: Counts = np.repeat(np.arange(classes), clips)
    means = centers(classes)
    by_block: dict[Block, float] = {"embedding": noise["embedding"], "timbre": noise["timbre"]}
    return Examples.of([clip(int(label), means, by_block, random) for label in labels], labels)
