"""How networks are tested: which tasks, and how many."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from fewshot_audio.config import ExperimentConfig

Way: TypeAlias = int | Literal["all"]


@dataclass(frozen=True)
class Tasks:
    """The tasks of one test. ``way`` "all" stands for every test class of a dataset that is not known."""

    way: Way
    shot: int
    n_query: int
    tasks: int

    def among(self, classes: int) -> "Tasks":
        """The same for a dataset of so many test classes."""
        return replace(self, way=classes) if self.way == "all" else self

    @property
    def changes(self) -> dict[str, Any]:
        """As keys of the experiment file."""
        keys = ("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks")
        return dict(zip(keys, asdict(self).values(), strict=True))


@dataclass(frozen=True)
class Protocol:
    """What a test changes of an experiment's own test tasks: None leaves it as it is; ``way`` may be "all" classes."""

    way: Way | None = None
    shot: int | None = None
    n_query: int | None = None
    tasks: int | None = None

    def of(self, experiment: ExperimentConfig) -> Tasks:
        """The tasks by which a network of ``experiment`` is tested."""
        return Tasks(
            self.way or experiment.n_way_test,
            self.shot or experiment.n_shot_test,
            self.n_query or experiment.n_query_test,
            self.tasks or experiment.n_testing_tasks,
        )


METAAUDIO = Protocol(way=5, shot=1, n_query=1, tasks=10_000)  # Heggan et al. 2022
