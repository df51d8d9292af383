"""The choice of frozen encoders by the enrolled clips, and what is left of these afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fewshot_audio.recognition.decision.encoder_choice import EncoderCandidate, choose_encoders
from fewshot_audio.recognition.encoder_blocks import encoder_block, encoder_names
from fewshot_audio.recognition.enrolled import EnrolledClass
from fewshot_audio.recognition.features import decision_examples

Classes = Mapping[str, EnrolledClass]


def chosen_encoders(classes: Classes, names: Sequence[str]) -> tuple[list[EncoderCandidate], Classes]:
    """Choose among the encoders of those names.

    Returns:
        The candidates, and the classes with rows of the chosen encoders only; no candidates, and the same classes, if
        a decision cannot be fitted on them.
    """
    examples = decision_examples(classes.values())
    if examples is None:
        return [], classes
    candidates = choose_encoders(examples, [encoder_block(name) for name in names])
    chosen = next(encoder_names(candidate.blocks) for candidate in candidates if candidate.is_chosen)
    return candidates, {name: _with_only(enrolled, chosen) for name, enrolled in classes.items()}


def _with_only(enrolled: EnrolledClass, names: Sequence[str]) -> EnrolledClass:
    clips = tuple(replace(clip, encoded={name: clip.encoded[name] for name in names}) for clip in enrolled.clips)
    return replace(enrolled, clips=clips)
