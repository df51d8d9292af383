"""How networks are tested: the shape of the tasks, and their number."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from fewshot_audio.config import ExperimentConfig

Way: TypeAlias = int | Literal["all"]


@dataclass(frozen=True)
class Tasks:
    """The tasks of one test; ``way`` is "all" (test classes) as long as the dataset's number of them is unknown."""

    way: Way
    shot: int
    n_query: int
    tasks: int

    def with_classes(self, classes: int) -> "Tasks":
        """The tasks for a dataset of ``classes`` test classes: replaces "all" by their number."""
        return replace(self, way=classes) if self.way == "all" else self

    @property
    def changes(self) -> dict[str, Any]:
        """The keys of the experiment file that these tasks set."""
        keys = ("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks")
        return dict(zip(keys, asdict(self).values(), strict=True))


@dataclass(frozen=True)
class TaskChanges:
    """Changes of an experiment's own test tasks: None keeps its value, and ``way`` may be "all" test classes."""

    way: Way | None = None
    shot: int | None = None
    n_query: int | None = None
    tasks: int | None = None

    def apply(self, experiment: ExperimentConfig) -> Tasks:
        """The tasks that a network of ``experiment`` is tested on."""
        return Tasks(
            self.way or experiment.n_way_test,
            self.shot or experiment.n_shot_test,
            self.n_query or experiment.n_query_test,
            self.tasks or experiment.n_testing_tasks,
        )


# Heggan et al. 2022; the figures that were published are of 1 shot.
METAAUDIO = tuple(TaskChanges(way=5, shot=shot, n_query=1, tasks=10_000) for shot in (1, 5))
