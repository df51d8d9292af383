"""What an algorithm needs of the other keys of the two files."""

from collections.abc import Iterator

from fewshot_audio.config.experiment import PHASES, ExperimentConfig
from fewshot_audio.config.model import ModelConfig


def algorithm_errors(experiment: ExperimentConfig, model: ModelConfig) -> Iterator[str]:
    """What contradicts the algorithm: other parts that it has no use for, or keys that it needs at other values."""
    name = experiment.algorithm.name
    for key, (value, expected) in _needs(experiment, model).items():
        if value != expected:
            shown = str(expected).lower() if isinstance(expected, bool) else expected
            yield f"algorithm.name is {name!r}, but {key} is {value!r}: set {key}={shown}"
    if name == "meta-baseline" and not 0 < experiment.loss.pretraining_epochs < experiment.num_epochs:
        yield (
            f"algorithm.name is 'meta-baseline', but loss.pretraining_epochs is {experiment.loss.pretraining_epochs}, "
            f"expected 1 to {experiment.num_epochs - 1}: epochs of its first stage, of the {experiment.num_epochs} of "
            "num_epochs"
        )


def _needs(experiment: ExperimentConfig, model: ModelConfig) -> dict[str, tuple[object, object]]:
    """The value of each key that an algorithm depends on, and the one that it needs."""
    algorithm, loss = experiment.algorithm, experiment.loss
    if algorithm.name == "prototypes":
        return {}
    needs: dict[str, tuple[object, object]] = {
        "use_contrastive": (experiment.use_contrastive, False),
        "relation_head": (experiment.relation_head, False),
    }
    if algorithm.name == "simpleshot":
        return needs | {
            "embedding_transform": (experiment.embedding_transform, "center_l2"),
            "loss.pretraining_epochs": (loss.pretraining_epochs, 0),
            "loss.classification_weight": (loss.classification_weight, 0),
        }
    if algorithm.name == "meta-baseline":
        return needs | {"distance": (experiment.distance, "cosine")}
    section = "specaug_params" if experiment.input_type == "spec" else "waveaug_params"
    ways = {f"n_way_{phase}": (experiment.way(phase), model.out_dim(experiment.encoder_name)) for phase in PHASES}
    return (
        needs
        | {
            "use_attention": (experiment.use_attention, False),
            f"{section}.use": (experiment.augmentation, False),
            "embedding_transform": (experiment.embedding_transform, "none"),
            "distance": (experiment.distance, "euclidean"),
            "score_scale": (experiment.score_scale, 1),
            "loss.pretraining_epochs": (loss.pretraining_epochs, 0),
            "loss.classification_weight": (loss.classification_weight, 0),
            "members": (model.members, 1),
        }
        | ways
    )
