"""How likely windows hold a class, by all that is known of it: fitted anew for each round, in a part of a second.

A recognizer tells its classes apart; it is not made to find one of them among everything else. So a round is drawn by a
decision of the same kind between the clips of the class and the rest: the background, the clips of other classes, and
windows of the index that are drawn at random, since nearly all windows lack a sound that is rare.
"""

from collections.abc import Sequence

import numpy as np

from fewshot_audio.archive.index import Index
from fewshot_audio.recognition.decision.decision import block_shares
from fewshot_audio.recognition.decision.examples import Block, Examples, Features
from fewshot_audio.recognition.decision.logistic import softmax
from fewshot_audio.recognition.decision.model import DecisionModel
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.enrolled import EnrolledClip, EnrolledSounds, clip_features
from fewshot_audio.recognition.scoring import Counts, Floats

DRAWN = 200
"""Windows that are drawn at random."""
MOST_FITTED = 1000
"""Clips of either side that are fitted to, at even distances."""


def likelihoods(index: Index, sounds: EnrolledSounds, name: str, windows: Counts, drawn: Counts) -> Floats:
    """How likely windows hold a class, from 0 to 1.

    Args:
        index: its network and encoders are those of the clips.
        sounds: what is enrolled.
        name: of the class.
        windows: that are judged, none of which is silent, (windows,).
        drawn: that count as windows without the class, none of which is silent, at least one.

    Returns:
        (windows,)
    """
    own = sounds.classes[name].clips
    others = [clip for other, enrolled in sounds.classes.items() if other != name for clip in enrolled.clips]
    negatives = [*sounds.background, *others]
    clips = [*_thinned(own), *_thinned(negatives)]
    has_timbre = all(clip.timbre is not None for clip in clips)
    blocks: list[Block] = ["embedding", *(["timbre"] if has_timbre else []), *map(encoder_block, _encoders(clips))]
    features: list[Features] = [
        {block: values for block, values in features.items() if block in blocks}
        for features in (clip_features(clip.rows, clip.timbre, clip.segments, clip.encoded) for clip in clips)
    ]
    positives = len(_thinned(own))
    weak = window_features(index, drawn, blocks)
    features += [{block: values[place : place + 1] for block, values in weak.items()} for place in range(len(drawn))]
    labels = np.repeat(np.array([1, 0]), [positives, len(features) - positives])
    model = DecisionModel.fit(Examples.of(features, labels), tuple(blocks), block_shares(0.5, blocks))
    logits = model.logistic.logits(model.rows(window_features(index, windows, blocks)))
    probabilities: Floats = softmax(logits)[:, 1]
    return probabilities


def window_features(index: Index, windows: Counts, blocks: Sequence[Block]) -> Features:
    """The features of windows, as decisions take them; (windows, width of the block)."""
    features = {block: index.rows(block, windows).astype(np.float64) for block in blocks}
    embedding = features["embedding"].reshape(len(windows), index.description.rows, -1)
    return {**features, "embedding": embedding.mean(axis=1)}


def _thinned(clips: Sequence[EnrolledClip]) -> list[EnrolledClip]:
    if len(clips) <= MOST_FITTED:
        return list(clips)
    return [clips[place] for place in np.linspace(0, len(clips) - 1, MOST_FITTED).round().astype(int)]


def _encoders(clips: Sequence[EnrolledClip]) -> list[str]:
    """The frozen encoders that every clip has rows of."""
    return [name for name in clips[0].encoded if all(name in clip.encoded for clip in clips)]
