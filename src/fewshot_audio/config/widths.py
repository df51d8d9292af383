"""The widths of the model file that follow from other keys, which a file may leave out."""

from fewshot_audio.config.experiment import ExperimentConfig
from fewshot_audio.config.frozen import in_words
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


def origin_of_out_dim(experiment: ExperimentConfig, model: ModelConfig, *, numbers: bool = False) -> str:
    """Of which keys the width of a view's embedding is the product or the sum; with their values if asked for."""

    def key(name: str | list[str]) -> str:
        value = f" {model.encoder(name).out_dim}" if numbers else ""
        return f"{in_words(name)}.out_dim{value}"

    if isinstance(model.members, list):
        return " + ".join(key(name) for name in model.members)
    return key(experiment.encoder_name) + (f" x {model.members} members" if model.members > 1 else "")


def origin_of_width(experiment: ExperimentConfig, model: ModelConfig) -> str:
    """Of which factors the width of an embedding is the product."""
    origin = origin_of_out_dim(experiment, model, numbers=True)
    if not experiment.use_attention:
        return origin
    return f"{f'({origin})' if ' + ' in origin else origin} x {experiment.views_when_on} views"
