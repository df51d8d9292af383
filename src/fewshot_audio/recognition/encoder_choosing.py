"""The choice of frozen encoders by the enrolled clips, and what is left of these afterwards."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from fewshot_audio.recognition.decision.encoder_choice import EncoderCandidate, choose_encoders
from fewshot_audio.recognition.encoder_blocks import encoder_block, encoder_names
from fewshot_audio.recognition.enrolled import EnrolledClip, EnrolledSounds
from fewshot_audio.recognition.features import decision_examples


def chosen_encoders(sounds: EnrolledSounds, names: Sequence[str]) -> tuple[list[EncoderCandidate], EnrolledSounds]:
    """Choose among the encoders of those names.

    Returns:
        The candidates, and the sounds with rows of the chosen encoders only; no candidates, and the sounds without
        rows of encoders, if a decision cannot be fitted on them.
    """
    examples = decision_examples(sounds.classes.values())
    if examples is None:
        return [], with_only_encoders(sounds, [])
    candidates = choose_encoders(examples, [encoder_block(name) for name in names])
    chosen = next(encoder_names(candidate.blocks) for candidate in candidates if candidate.is_chosen)
    return candidates, with_only_encoders(sounds, chosen)


def with_only_encoders(sounds: EnrolledSounds, names: Collection[str]) -> EnrolledSounds:
    """The same sounds, whose clips have rows of these encoders only; the same object, if they have no others."""
    if all(clip.encoded.keys() == set(names) for clip in sounds.clips):
        return sounds  # nothing has changed, so that the decision on them stays
    classes = {name: replace(own, clips=_with_only(own.clips, names)) for name, own in sounds.classes.items()}
    return replace(sounds, classes=classes, background=_with_only(sounds.background, names))


def _with_only(clips: Sequence[EnrolledClip], names: Collection[str]) -> tuple[EnrolledClip, ...]:
    return tuple(replace(clip, encoded={name: clip.encoded[name] for name in names}) for clip in clips)
