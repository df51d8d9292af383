"""From the two config files to a network."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from fewshot_audio.config import ExperimentConfig, ModelConfig, with_widths
from fewshot_audio.config.frozen import frozen_references
from fewshot_audio.config.model import ENCODERS, PRETRAINED, EncoderConfig, FrozenConfig, PretrainedConfig
from fewshot_audio.errors import ConfigError
from fewshot_audio.models.adaptation import MetaCurvature, TaskAdaptation
from fewshot_audio.models.ensemble import EncoderEnsemble
from fewshot_audio.models.frozen_layers import FrozenLayers
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.heads import ProjectionHead, RelationHead
from fewshot_audio.models.huggingface import PretrainedEncoder
from fewshot_audio.models.huggingface_files import read_definition
from fewshot_audio.models.network import FewShotNetwork

log = logging.getLogger(__name__)


def complete_model(encoder_name: str | list[str], model: ModelConfig) -> ModelConfig:
    """Return ``model`` with all in it that its encoder depends on.

    A pretrained encoder's config files are added, and the default options of an encoder from outside that has no
    section in the file: they may be others in a later version of its package. Frozen encoders are left as they are.

    Raises:
        ConfigError: the files are missing, or keys without defaults.
    """
    if isinstance(encoder_name, list) or frozen_references(encoder_name):
        return model
    if not encoder_name.startswith(PRETRAINED):
        name = ENCODERS.find(encoder_name).name
        section = model.encoder(encoder_name)
        return model if hasattr(model, name) else ModelConfig.model_validate({**dict(model), name: section})
    pretrained = model.Pretrained.model_copy(update={"definition": read_definition(encoder_name)})
    return model.model_copy(update={"Pretrained": pretrained})


def build_network(experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int) -> FewShotNetwork:
    """Build the network of an experiment, with random weights from torch's global generator.

    Args:
        experiment: which encoder, fusion and heads there are, and how embeddings are compared.
        model: sizes and options of each module, complete (``complete_model``).
        mels: mel bins of a segment.
        frames: frames of a segment.

    Raises:
        ConfigError: a pretrained encoder's definition is missing or foreign.
    """
    name = experiment.encoder_name
    model = with_widths(experiment, model)
    algorithm = experiment.algorithm
    # The modules draw their weights in this order, on which the bits of every seeded run depend.
    members = [build_encoder(member, model.encoder(member), mels, frames) for member in model.member_names(name)]
    encoder = members[0] if len(members) == 1 else EncoderEnsemble(members)
    curvature = MetaCurvature(encoder) if algorithm.name == "fo-meta-curvature" else None
    return FewShotNetwork(
        encoder=encoder,
        width=experiment.embedding_width(model.out_dim(name)),
        attention=ViewAttention(**model.Attention.model_dump()) if experiment.use_attention else None,
        projection=ProjectionHead(**model.Projection.model_dump()) if experiment.contrastive else None,
        relation=RelationHead(**model.Relation.model_dump()) if experiment.relation_head else None,
        distance=experiment.distance,
        score_scale=experiment.score_scale,
        learn_scale=algorithm.name == "meta-baseline",
        adaptation=TaskAdaptation(algorithm.inner_steps, algorithm.inner_lr, curvature) if algorithm.adapts else None,
        embedding_transform=experiment.embedding_transform,
    )


def build_encoder(name: str | list[str], section: EncoderConfig, n_mels: int, n_frames: int) -> nn.Module:
    """Build an encoder, without the weights of a pretrained one; one from outside is called as the built-in ones are.

    Args:
        name: of the encoder, as ``encoder_name`` has it.
        section: its options.
        n_mels: mel bins of a segment.
        n_frames: frames of a segment.

    Raises:
        ConfigError: as ``build_network``; segments are too small for the encoder; or one from outside is no module or
            does not map segments to embeddings of its ``out_dim``.
    """
    if isinstance(section, FrozenConfig):
        return FrozenLayers(section)
    assert isinstance(name, str)
    if isinstance(section, PretrainedConfig):
        return PretrainedEncoder(name, section)
    part = ENCODERS.find(name)
    encoder: nn.Module = part.make(n_mels, n_frames, **section.model_dump())
    if part.name not in ENCODERS.built_in:
        _try_out(name, encoder, n_mels, n_frames, section.out_dim)
    return encoder


def _try_out(name: str, encoder: Any, n_mels: int, n_frames: int, out_dim: int) -> None:
    """Embed two segments with an encoder from outside, which leaves it and torch's generator as they are."""
    if not isinstance(encoder, nn.Module):
        raise ConfigError(f"encoder {name!r} is no torch.nn.Module: found {type(encoder).__name__}")
    device = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
    if device.type == "meta":  # without memory, not every module can run
        return
    modes = {module: module.training for module in encoder.modules()}
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            embeddings = encoder.eval()(torch.zeros(2, n_mels, n_frames, device=device))
    except Exception as error:  # it is code of others: whatever it raises is reported as theirs
        log.info("embedding with %s failed", name, exc_info=True)
        raise ConfigError(
            f"encoder {name!r}: embedding two segments, a tensor (2, {n_mels}, {n_frames}), failed: "
            f"{type(error).__name__}: {error} (--verbose shows where)"
        ) from error
    for module, training in modes.items():
        module.training = training
    shape = tuple(embeddings.shape) if isinstance(embeddings, Tensor) else type(embeddings).__name__
    if shape != (2, out_dim):
        raise ConfigError(
            f"encoder {name!r} maps two segments, a tensor (2, {n_mels}, {n_frames}), to {shape}, "
            f"expected (2, out_dim), here (2, {out_dim})"
        )
