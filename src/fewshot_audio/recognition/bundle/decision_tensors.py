"""A decision as a bundle keeps it: its section of ``recognizer.json``, and tensors beside those of the clips."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.audio.timbre import TIMBRE_WIDTH
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.bundle.decision_sections import (
    CalibrationSection,
    ChoiceSection,
    DecisionSection,
    FittedSection,
)
from fewshot_audio.recognition.bundle.description import in_words
from fewshot_audio.recognition.decision.choose import FittedHead, HeadChoice, head_blocks
from fewshot_audio.recognition.decision.decision import Decision, DecisionCalibration
from fewshot_audio.recognition.decision.distances import ClassDistances
from fewshot_audio.recognition.decision.examples import Block
from fewshot_audio.recognition.decision.logistic import Logistic
from fewshot_audio.recognition.decision.maker import DecisionState
from fewshot_audio.recognition.decision.model import DecisionModel
from fewshot_audio.recognition.decision.standardize import Standardizer
from fewshot_audio.recognition.encoder_blocks import encoder_block

PREFIX = "decision."
LARGEST = 1e150  # its square is finite


def pack_decision(state: DecisionState) -> tuple[DecisionSection, dict[str, NDArray[Any]]]:
    """The section and the tensors of a decision."""
    choice = ChoiceSection.model_validate(vars(state.choice)) if state.choice else None
    if state.decision is None:
        return DecisionSection(fixed=state.fixed, choice=choice, fitted=None), {}
    model, calibration = state.decision.model, CalibrationSection.model_validate(vars(state.decision.calibration))
    fitted = FittedSection(head=state.decision.head, calibration=calibration)
    tensors = {PREFIX + name: values for name, values in model.arrays.items()}
    return DecisionSection(fixed=state.fixed, choice=choice, fitted=fitted), tensors


def block_widths(embedding_width: int, encoders: Mapping[str, int]) -> dict[Block, int]:
    """The widths of all blocks of features, those of frozen encoders too."""
    own = {"embedding": embedding_width, "timbre": TIMBRE_WIDTH}
    return own | {encoder_block(name): width for name, width in encoders.items()}


def decision_shapes(head: FittedHead, n_classes: int, widths: Mapping[Block, int]) -> dict[str, tuple[int, ...]]:
    """The tensors of a decision, by name, for blocks of these widths."""
    blocks = {block: widths[block] for block in head_blocks(head, widths)}
    width = sum(blocks.values())
    shapes: dict[str, tuple[int, ...]] = {
        "weights": (n_classes, width),
        "bias": (n_classes,),
        "distance_scale": (width,),
        "means": (n_classes, width),
        "expected": (n_classes,),
    }
    for block, block_width in blocks.items():
        shapes |= {f"{block}_mean": (block_width,), f"{block}_scale": (block_width,)}
    return {PREFIX + name: shape for name, shape in shapes.items()}


def unpack_decision(
    section: DecisionSection, tensors: dict[str, NDArray[Any]], n_classes: int, widths: Mapping[Block, int]
) -> DecisionState:
    """The decision that a bundle describes.

    Raises:
        DataError: a tensor is missing, has another shape or type than the section implies, or holds what no fit gives.
    """
    choice = HeadChoice(**section.choice.model_dump()) if section.choice else None
    if section.fitted is None:
        return DecisionState(section.fixed, choice)
    head = section.fitted.head
    for name, shape in decision_shapes(head, n_classes, widths).items():
        value = tensors.get(name)
        if value is None or value.dtype != np.float64 or value.shape != shape:
            raise DataError(f"{name}: {in_words(value)}, expected float64 {shape}")
        if np.abs(value).max() > LARGEST:
            raise DataError(f"{name} has numbers above {LARGEST:g}, as no fit gives them")
    arrays = {name.removeprefix(PREFIX): value.copy() for name, value in tensors.items() if name.startswith(PREFIX)}
    if not (arrays["expected"] > 1 / LARGEST).all():
        raise DataError(f"{PREFIX}expected: distances are expected to be above 0")
    model = DecisionModel(
        {block: Standardizer(arrays[f"{block}_mean"], arrays[f"{block}_scale"]) for block in head_blocks(head, widths)},
        Logistic(arrays["weights"], arrays["bias"]),
        ClassDistances(arrays["distance_scale"], arrays["means"], arrays["expected"]),
    )
    calibration = DecisionCalibration(**section.fitted.calibration.model_dump())
    return DecisionState(section.fixed, choice, Decision(head, model, calibration))
