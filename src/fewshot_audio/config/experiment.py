"""The experiment file: data, episodes, losses and training."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, SerializeAsAny

from fewshot_audio.config.algorithm import Algorithm
from fewshot_audio.config.augmentation import SpecAugParams, WaveAugParams
from fewshot_audio.config.base import Count, Positive, Role, Section
from fewshot_audio.config.input_augmentation import InputAugmentation
from fewshot_audio.config.losses import LossConfig
from fewshot_audio.config.optimization import Optimization
from fewshot_audio.config.values import EncoderReference, Milestones, RelativeFolder

Phase = Literal["train", "validation", "test"]
Distance = Literal["euclidean", "squared", "cosine"]
EmbeddingTransform = Literal["none", "center_l2", "power", "wccn"]
JointSampling = Literal["within", "free"]
TieStrategy = Literal["", "min_label", "max_posterior"]
Way = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

PHASES: tuple[Phase, ...] = get_args(Phase)
FIXED_IN_SEARCH = Role.FIXED_IN_SEARCH
FIXED_IN_STUDIES = FIXED_IN_SEARCH | Role.FIXED_IN_CROSSVAL
FIXED_PLACE = FIXED_IN_STUDIES | Role.PLACE
RESUMABLE_PLACE = FIXED_PLACE | Role.RESUMABLE


def _american(value: Any) -> Any:
    """Read the spelling of version 0.1."""
    return "center_l2" if value == "centre_l2" else value


class ExperimentConfig(Section):
    """The experiment file."""

    retired: ClassVar = {"learn_score_scale": False, "way_schedule": []}

    encoder_name: EncoderReference
    """The encoder: "CNN", "Hybrid" (a CRNN), "ResNet12", "ResNet8", or "hf:<folder or id>" (one of Hugging Face). Or a
    frozen one, whose embeddings of the dataset are computed once: "yamnet", "ge2e", "birdnet", "speech-embedding" or
    "livekit-speech" (as `encoders list` names them), "onnx:<file>", "tflite:<file>", "run:<run folder>"; or a list of
    these, side by side. Paths in a file are relative to it."""
    dataset_name: Annotated[str, Field(min_length=1), FIXED_IN_STUDIES]
    """Dataset folder, in upper or lower case; "A+B" joins several."""
    use_attention: bool
    """Fuse the views of a segment by self-attention."""
    use_contrastive: bool
    """Add a contrastive loss through the projection head."""
    input_type: Annotated[Literal["spec", "wav"], FIXED_IN_SEARCH]
    """Spectrogram or waveform input."""
    n_way_train: Way
    """Classes of a training episode."""
    n_way_validation: Annotated[Way, FIXED_IN_SEARCH]
    """Classes of a validation episode."""
    n_way_test: Annotated[Way, FIXED_IN_STUDIES]
    """Classes of a test task."""
    n_shot_train: Count
    """Support clips per class in training."""
    n_shot_validation: Annotated[Count, FIXED_IN_SEARCH]
    """Support clips per class in validation."""
    n_shot_test: Annotated[Count, FIXED_IN_STUDIES]
    """Support clips per class in testing."""
    n_query_train: Count
    """Query clips per class in training."""
    n_query_validation: Annotated[Count, FIXED_IN_SEARCH]
    """Query clips per class in validation."""
    n_query_test: Annotated[Count, FIXED_IN_STUDIES]
    """Query clips per class in testing."""
    train_query_augmentations: bool
    """Make views of training queries, not only of support."""
    validation_query_augmentations: bool
    """Make views of all clips in validation."""
    test_query_augmentations: bool
    """Make views of all clips in testing."""
    lr: Positive
    """Initial learning rate of Adam."""
    loss: SerializeAsAny[LossConfig]
    num_epochs: Annotated[Count, FIXED_IN_STUDIES]
    """Largest number of training epochs."""
    multi_segm: Annotated[bool, FIXED_IN_STUDIES]
    """In testing, all segments of a clip vote on its class."""
    tie_strategy: Annotated[TieStrategy, FIXED_IN_SEARCH]
    """Winner of a tied vote: "": the class voted for first; "min_label": the lowest label; "max_posterior": the class
    with the most probable vote."""
    relation_head: bool
    """Score by a relation head instead of distances."""
    n_training_tasks: Count
    """Training episodes per epoch."""
    n_testing_tasks: Annotated[Count, FIXED_IN_STUDIES]
    """Test tasks of a run."""
    device: Annotated[Literal["cuda", "cpu", "auto"], RESUMABLE_PLACE]
    """Device of training; "auto" is the GPU if there is one."""
    gpu_index: Annotated[int, Field(ge=0), RESUMABLE_PLACE]
    """Number of the GPU, from 0."""
    scheduler_milestones: Milestones
    """The learning rate is multiplied by scheduler_gamma after these epochs."""
    scheduler_gamma: Positive
    """Factor of the learning rate at each milestone."""
    patience: Annotated[Count, FIXED_IN_STUDIES]
    """Epochs without a better validation accuracy before training stops."""
    experiment_folder: Annotated[RelativeFolder, FIXED_PLACE]
    """Folder of the results, inside of experiments/."""
    normalize_prototypes: bool
    """In the contrastive loss, L2-normalize the prototypes if they are not projected."""
    project_prototypes: bool
    """Prototypes go through the projection head too."""
    specaug_params: SpecAugParams
    waveaug_params: WaveAugParams = WaveAugParams()

    seed: Annotated[Seed, FIXED_IN_STUDIES] = 0
    """Seed of the first run; each further run adds 1."""
    test_seed: Annotated[Seed, FIXED_IN_STUDIES] = 0
    """Seed of the test tasks, the same for all runs."""
    n_validation_tasks: Annotated[Count | None, FIXED_IN_SEARCH] = None
    """Validation tasks, the same in every epoch; null: as many as n_training_tasks."""
    num_runs: Annotated[Count, RESUMABLE_PLACE] = 5
    """Independent runs, each with its own seed and folder."""
    data_root: Annotated[str | None, RESUMABLE_PLACE] = None
    """Folder that holds the dataset folders."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of training; "auto": bf16 if it is fast here. Tests are computed in fp32."""
    episodes_per_step: Count = 1
    """Number of training episodes whose gradients are averaged in a step; published: 1."""
    store_precision: Literal["float32", "float16"] = "float32"
    """Number format of the packed store; "float16" halves its size and is exact to 0.06 dB."""
    disjoint_groups: Annotated[bool, FIXED_IN_STUDIES] = False
    """Support and queries share no source recording, if clips.csv names them."""
    joint_sampling: Annotated[JointSampling, FIXED_IN_STUDIES] = "within"
    """Classes of an episode of joined datasets: "within", from one dataset at a time; "free", from all together."""
    distance: Distance = "euclidean"
    """Distance to the prototypes, plain or squared Euclidean, or cosine similarity."""
    score_scale: Positive = 1.0
    """Factor from distances or similarities to scores; about 10 suits cosine."""
    embedding_transform: Annotated[EmbeddingTransform, BeforeValidator(_american)] = "none"
    """In validation and testing, "center_l2" subtracts the mean of the training classes and L2-normalizes; "wccn" also
    whitens within these classes; "power" takes square roots and L2-normalizes."""
    algorithm: Algorithm = Algorithm()
    input_augmentation: InputAugmentation = InputAugmentation()
    optimization: Optimization = Optimization()

    @property
    def augmentation(self) -> bool:
        """Whether the input type's augmentation is switched on."""
        return self.specaug_params.use if self.input_type == "spec" else self.waveaug_params.use

    @property
    def views_when_on(self) -> int:
        """Views of a segment (the original and its augmented copies) if the augmentation is on."""
        return 4 if self.input_type == "spec" else self.waveaug_params.aug_num + 1

    @property
    def n_views(self) -> int:
        """Views of a segment in an episode that has views; 1 if the augmentation is off."""
        return self.views_when_on if self.augmentation else 1

    @property
    def validation_tasks(self) -> int:
        """Validation tasks of an epoch."""
        return self.n_validation_tasks or self.n_training_tasks

    @property
    def contrastive(self) -> str | None:
        """The contrastive loss that is used, if any, by its key in ``loss``."""
        return self.loss.used[0] if self.use_contrastive and self.loss.used else None

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
        flags = self.train_query_augmentations, self.validation_query_augmentations, self.test_query_augmentations
        return dict(zip(PHASES, flags, strict=True))[phase]

    def support_views(self, phase: Phase) -> int:
        """Views of a support segment: in training always all, else if the phase's flag asks for them."""
        return self.n_views if phase == "train" or self.query_flag(phase) else 1

    def query_views(self, phase: Phase) -> int:
        """Views of a query segment: all if the phase's flag asks for them."""
        return self.n_views if self.query_flag(phase) else 1

    def query_rows(self, phase: Phase) -> int:
        """Embeddings of a query segment: one per view, or a single one if attention fuses the views."""
        return 1 if self.use_attention else self.query_views(phase)

    def embedding_width(self, out_dim: int) -> int:
        """Width of a segment's embedding, given the width of the encoder's output."""
        return out_dim * self.views_when_on if self.use_attention else out_dim
