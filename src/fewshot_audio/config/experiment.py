"""The experiment file: data, episodes, losses and training."""

import itertools
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from fewshot_audio.config.augmentation import SpecAugParams, WaveAugParams
from fewshot_audio.config.base import Count, Positive, Section
from fewshot_audio.config.inplace import InputAugmentation
from fewshot_audio.config.model import PRETRAINED, EncoderName
from fewshot_audio.config.optimization import Optimization

Phase = Literal["train", "validation", "test"]
Distance = Literal["euclidean", "squared", "cosine"]
EmbeddingTransform = Literal["none", "center_l2", "power"]
JointSampling = Literal["within", "free"]
Reduction = Literal["reference", "mean"]
Contrastive = Literal["cpl", "angular"]
TieStrategy = Literal["", "min_label", "max_posterior"]
Way = Annotated[int, Field(ge=2)]

CONTRASTIVE: tuple[Contrastive, ...] = get_args(Contrastive)


def _whole(value: Any) -> Any:
    """Read 4.0 as 4: the published table gives M as 4.0000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _american(value: Any) -> Any:
    """Read the spelling of version 0.1."""
    return "center_l2" if value == "centre_l2" else value


def _encoder(value: str) -> str:
    names = get_args(EncoderName)
    if value in names or value.removeprefix(PRETRAINED) not in ("", value):
        return value
    raise ValueError(f"expected {', '.join(map(repr, names))} or '{PRETRAINED}<folder or id of an audio encoder>'")


class CPLConfig(Section):
    """Contrastive prototype loss (Gao et al. 2021)."""

    use: Annotated[bool, Field(description="Use this contrastive loss.")]
    m_param: Annotated[Count, BeforeValidator(_whole), Field(description="Negative queries per other class (M).")]
    t_param: Annotated[Positive, Field(description="Temperature (T) that divides the cosine.")]
    reduction: Annotated[
        Reduction,
        Field(description='"reference": the published scale, mean over queries divided by their number; "mean".'),
    ] = "reference"


class AngularConfig(Section):
    """Angular loss (Wang et al. 2017) on mined triplets."""

    use: Annotated[bool, Field(description="Use this contrastive loss.")]
    angle: Annotated[float, Field(ge=0, lt=90, description="Angle in degrees above which a triplet is mined.")]
    prototypes_as_anchors: Annotated[
        bool, Field(description="Anchors are prototypes only; else prototypes and queries form one labeled set.")
    ]
    alpha: Annotated[float, Field(gt=0, lt=90, description="Angle bound of the loss in degrees.")] = 40.0


class LossConfig(Section):
    """Total loss: prototypical + l_param x contrastive."""

    l_param: Annotated[float, Field(ge=0, description="Weight of the contrastive loss.")]
    cpl: CPLConfig
    angular: AngularConfig
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="Share of the target that all classes of the episode get alike. 0: off.")
    ] = 0.0
    classification_weight: Annotated[
        float, Field(ge=0, description="Weight of a cross-entropy over all training classes, by a linear head. 0: off.")
    ] = 0.0
    pretraining_epochs: Annotated[
        int, Field(ge=0, description="First epochs, in which that cross-entropy takes the place of the episode's loss.")
    ] = 0

    @model_validator(mode="after")
    def _one_contrastive_loss(self) -> Self:
        if len(self.used) > 1:
            raise ValueError(f"{' and '.join(f'{name}.use' for name in self.used)} are both true; choose one")
        return self

    @property
    def used(self) -> list[Contrastive]:
        """The contrastive losses whose ``use`` is true; sections have the losses' names."""
        return [name for name in CONTRASTIVE if getattr(self, name).use]


class ExperimentConfig(Section):
    """The experiment file."""

    encoder_name: Annotated[
        str,
        AfterValidator(_encoder),
        Field(
            description='"CNN", "Hybrid" (a CRNN), "ResNet12", or "hf:<folder or id>": a pretrained Hugging Face audio '
            "encoder."
        ),
    ]
    dataset_name: Annotated[
        str, Field(min_length=1, description='Dataset folder under the data root, any case; "A+B" joins several.')
    ]
    use_attention: Annotated[bool, Field(description="Fuse the views of a segment by self-attention.")]
    use_contrastive: Annotated[bool, Field(description="Add a contrastive loss through the projection head.")]
    input_type: Annotated[Literal["spec", "wav"], Field(description="Spectrogram or waveform input.")]
    n_way_train: Annotated[Way, Field(description="Classes of a training episode.")]
    n_way_validation: Annotated[Way, Field(description="Classes of a validation episode.")]
    n_way_test: Annotated[Way, Field(description="Classes of a test task.")]
    n_shot_train: Annotated[Count, Field(description="Support clips per class in training.")]
    n_shot_validation: Annotated[Count, Field(description="Support clips per class in validation.")]
    n_shot_test: Annotated[Count, Field(description="Support clips per class in testing.")]
    n_query_train: Annotated[Count, Field(description="Query clips per class in training.")]
    n_query_validation: Annotated[Count, Field(description="Query clips per class in validation.")]
    n_query_test: Annotated[Count, Field(description="Query clips per class in testing.")]
    train_query_augmentations: Annotated[bool, Field(description="Make views of training queries.")]
    validation_query_augmentations: Annotated[bool, Field(description="Make views in validation, support and query.")]
    test_query_augmentations: Annotated[bool, Field(description="Make views in testing, support and query.")]
    lr: Annotated[Positive, Field(description="Initial learning rate of Adam.")]
    loss: LossConfig
    num_epochs: Annotated[Count, Field(description="Largest number of training epochs.")]
    multi_segm: Annotated[bool, Field(description="In testing, decide a clip by the vote of all its segments.")]
    tie_strategy: Annotated[
        TieStrategy,
        Field(description='Ties of the vote: "" first label that occurs, "min_label" lowest, "max_posterior".'),
    ]
    relation_head: Annotated[bool, Field(description="Score by a relation head instead of distances.")]
    n_training_tasks: Annotated[Count, Field(description="Training episodes per epoch.")]
    n_testing_tasks: Annotated[Count, Field(description="Test tasks of a run.")]
    device: Annotated[Literal["cuda", "cpu", "auto"], Field(description='"auto" takes the GPU where there is one.')]
    gpu_index: Annotated[int, Field(ge=0, description="Which GPU.")]
    scheduler_milestones: Annotated[
        list[Count], Field(description="Epochs at whose end the learning rate is multiplied by scheduler_gamma.")
    ]
    scheduler_gamma: Annotated[Positive, Field(description="Factor of the learning rate at each milestone.")]
    patience: Annotated[Count, Field(description="Epochs without a better validation accuracy before stopping.")]
    experiment_folder: Annotated[str, Field(min_length=1, description="Results lie in experiments/<this>.")]
    normalize_prototypes: Annotated[
        bool, Field(description="L2-normalize prototypes that are not projected, in the contrastive loss.")
    ]
    project_prototypes: Annotated[bool, Field(description="Prototypes pass the projection head too.")]
    specaug_params: SpecAugParams
    waveaug_params: WaveAugParams

    seed: Annotated[int, Field(ge=0, lt=2**32, description="Seed of the first run; run i uses seed + i.")] = 0
    test_seed: Annotated[int, Field(ge=0, lt=2**32, description="Seed of the test tasks, the same for all runs.")] = 0
    n_validation_tasks: Annotated[
        Count | None, Field(description="Validation tasks, the same every epoch; default n_training_tasks.")
    ] = None
    num_runs: Annotated[Count, Field(description="Independent runs, each with its own seed and folder.")] = 5
    data_root: Annotated[str | None, Field(description="Folder that holds the dataset folders.")] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Field(description='Arithmetic of training; "auto" takes bf16 where it is fast. Tests are computed in fp32.'),
    ] = "auto"
    episodes_per_step: Annotated[
        Count,
        Field(description="Training episodes whose gradients are averaged in a step; 1 is the published protocol."),
    ] = 1
    store_precision: Annotated[
        Literal["float32", "float16"],
        Field(description='Numbers of the packed store; "float16" halves it, exact to 0.06 dB.'),
    ] = "float32"
    disjoint_groups: Annotated[
        bool, Field(description="Support and query of an episode share no source recording, where clips.csv knows it.")
    ] = False
    joint_sampling: Annotated[
        JointSampling,
        Field(description='Classes of an episode of joined datasets: "within" one of them, or "free" from any.'),
    ] = "within"
    distance: Annotated[
        Distance, Field(description="Plain or squared Euclidean distance to the prototypes, or cosine similarity.")
    ] = "euclidean"
    score_scale: Annotated[
        Positive, Field(description="Factor of distances or similarities in the scores; cosine wants about 10.")
    ] = 1.0
    embedding_transform: Annotated[
        EmbeddingTransform,
        BeforeValidator(_american),
        Field(
            description='In validation and testing: "center_l2" subtracts the mean of the training classes and '
            'normalizes, "power" takes square roots and normalizes.'
        ),
    ] = "none"
    learn_score_scale: Annotated[bool, Field(description="Train the factor, from score_scale on.")] = False
    input_augmentation: InputAugmentation = InputAugmentation()
    optimization: Optimization = Optimization()
    way_schedule: Annotated[
        list[Annotated[list[int], Field(min_length=2, max_length=2)]],
        Field(description="[epochs, way] pairs: after so many epochs training episodes have so many classes."),
    ] = Field(default_factory=list)

    @field_validator("scheduler_milestones")
    @classmethod
    def _increasing(cls, value: list[int]) -> list[int]:
        if any(later <= earlier for earlier, later in itertools.pairwise(value)):
            raise ValueError("milestones must increase")
        return value

    @field_validator("way_schedule")
    @classmethod
    def _in_order(cls, value: list[list[int]]) -> list[list[int]]:
        epochs, ways = [epoch for epoch, _ in value], [way for _, way in value]
        if any(epoch < 0 for epoch in epochs) or epochs != sorted(set(epochs)):
            raise ValueError("epochs must be 0 or more and increase")
        if any(way < 2 for way in ways):
            raise ValueError("an episode has at least 2 classes")
        return value

    @field_validator("experiment_folder")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value.replace("\\", "/"))
        inside = not (path.is_absolute() or ".." in path.parts or path == PurePosixPath())
        if not inside or ":" in value or not value.isprintable():
            raise ValueError("must be a relative folder name without '..' and control characters")
        return value

    @property
    def augmentation(self) -> bool:
        """Whether the input type's augmentation is switched on."""
        return self.specaug_params.use if self.input_type == "spec" else self.waveaug_params.use

    @property
    def views_when_on(self) -> int:
        """Views of a segment (the original and its augmented copies) once the augmentation is on."""
        return 4 if self.input_type == "spec" else self.waveaug_params.aug_num + 1

    @property
    def n_views(self) -> int:
        """Views of a segment where views are made; 1 with the augmentation off."""
        return self.views_when_on if self.augmentation else 1

    @property
    def validation_tasks(self) -> int:
        """Validation tasks of an epoch."""
        return self.n_validation_tasks or self.n_training_tasks

    @property
    def contrastive(self) -> Contrastive | None:
        """The contrastive loss in force, if any."""
        return self.loss.used[0] if self.use_contrastive and self.loss.used else None

    def train_way(self, epoch: int) -> int:
        """Classes of a training episode of an epoch (from 0)."""
        ways = [self.n_way_train, *(way for after, way in self.way_schedule if epoch >= after)]
        return ways[-1]

    @property
    def train_ways(self) -> set[int]:
        """Every number of classes that training episodes come to have."""
        return {self.train_way(epoch) for epoch in range(self.num_epochs)}

    def way(self, phase: Phase) -> int:
        """Classes of an episode of ``phase``."""
        return {"train": self.n_way_train, "validation": self.n_way_validation, "test": self.n_way_test}[phase]

    def shot(self, phase: Phase) -> int:
        """Support clips per class of an episode of ``phase``."""
        return {"train": self.n_shot_train, "validation": self.n_shot_validation, "test": self.n_shot_test}[phase]

    def query(self, phase: Phase) -> int:
        """Query clips per class of an episode of ``phase``."""
        return {"train": self.n_query_train, "validation": self.n_query_validation, "test": self.n_query_test}[phase]

    def query_flag(self, phase: Phase) -> bool:
        """The phase's ``*_query_augmentations`` flag."""
        return {
            "train": self.train_query_augmentations,
            "validation": self.validation_query_augmentations,
            "test": self.test_query_augmentations,
        }[phase]

    def support_views(self, phase: Phase) -> int:
        """Views of a support segment: always in training, else where the phase's flag asks for them."""
        return self.n_views if phase == "train" or self.query_flag(phase) else 1

    def query_views(self, phase: Phase) -> int:
        """Views of a query segment, where the phase's flag asks for them."""
        return self.n_views if self.query_flag(phase) else 1

    def embedding_width(self, out_dim: int) -> int:
        """Width of a segment's embedding, given the encoder's."""
        return out_dim * self.views_when_on if self.use_attention else out_dim
