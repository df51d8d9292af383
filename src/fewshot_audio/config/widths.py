"""The widths of the model file that follow from other keys, which a file may leave out."""

from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.model import ModelConfig


def derived_widths(experiment: ExperimentConfig, model: ModelConfig) -> dict[str, dict[str, int]]:
    """What each derived key must be, by section."""
    out_dim = model.out_dim(experiment.encoder_name)
    width = experiment.embedding_width(out_dim)
    return {
        "Attention": {"embed_dim": out_dim},
        "Projection": {"input_dim": width},
        "Relation": {"input_dim": 2 * width, "out_dim": 1},
    }


def with_widths(experiment: ExperimentConfig, model: ModelConfig) -> ModelConfig:
    """The model file with the widths that it leaves out; those that it gives stay as they are."""
    sections = {}
    for name, widths in derived_widths(experiment, model).items():
        section = getattr(model, name)
        left_out = {key: width for key, width in widths.items() if getattr(section, key) is None}
        sections[name] = section.model_copy(update=left_out)
    return model.model_copy(update=sections)
