"""From the two config files to a network."""

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.models.encoders import build_encoder
from fewshot_audio.models.fusion import ViewAttention
from fewshot_audio.models.heads import ProjectionHead, RelationHead
from fewshot_audio.models.network import FewShotNetwork


def build_network(experiment: ExperimentConfig, model: ModelConfig, mels: int, frames: int) -> FewShotNetwork:
    """Build the network of an experiment, with random weights from torch's global generator.

    Args:
        experiment: which encoder, fusion and heads there are, and how embeddings are compared.
        model: sizes and options of each module, complete (``models.huggingface_files.complete_model``).
        mels: mel bins of a segment.
        frames: frames of a segment.

    Raises:
        ConfigError: a pretrained encoder's definition is missing or foreign.
    """
    name = experiment.encoder_name
    # The modules draw their weights in this order, on which the bits of every seeded run depend.
    return FewShotNetwork(
        encoder=build_encoder(name, model.encoder(name), mels, frames, model.members),
        width=experiment.embedding_width(model.out_dim(name)),
        attention=ViewAttention(**model.Attention.model_dump()) if experiment.use_attention else None,
        projection=ProjectionHead(**model.Projection.model_dump()) if experiment.contrastive else None,
        relation=RelationHead(**model.Relation.model_dump()) if experiment.relation_head else None,
        distance=experiment.distance,
        score_scale=experiment.score_scale,
        learn_score_scale=experiment.learn_score_scale,
        embedding_transform=experiment.embedding_transform,
    )
