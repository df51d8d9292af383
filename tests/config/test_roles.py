"""Roles of keys: which of them may change on resuming, say where a training runs, or are fixed in studies."""

from typing import Annotated

import pytest

from fewshot_audio.config import Role, keys_with
from fewshot_audio.config.base import Section
from fewshot_audio.config.keys import section_keys
from tests.config.keys import FILES, leaves

RESUMABLE = {"num_runs", "data_root", "device", "gpu_index"}
PLACE = {*RESUMABLE, "experiment_folder"}
FIXED_IN_CROSSVAL = {
    *("dataset_name", "data_root", "disjoint_groups", "joint_sampling", "multi_segm", "test_seed"),
    *("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks"),
    *("seed", "num_runs", "num_epochs", "patience", "experiment_folder", "device", "gpu_index"),
}
FIXED_IN_SEARCH = {
    *("dataset_name", "data_root", "input_type", "disjoint_groups", "joint_sampling"),
    *("seed", "num_runs", "num_epochs", "patience"),
    *("n_way_validation", "n_shot_validation", "n_query_validation", "n_validation_tasks"),
    *("n_way_test", "n_shot_test", "n_query_test", "n_testing_tasks", "test_seed", "multi_segm", "tie_strategy"),
    *("experiment_folder", "device", "gpu_index"),
}


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        (Role.RESUMABLE, RESUMABLE),
        (Role.PLACE, PLACE),
        (Role.FIXED_IN_SEARCH, FIXED_IN_SEARCH),
        (Role.FIXED_IN_CROSSVAL, FIXED_IN_CROSSVAL),
    ],
    ids=lambda value: value.name if isinstance(value, Role) else "",
)
def test_the_keys_of_each_role(role: Role, keys: set[str]) -> None:
    assert keys_with(role) == keys


def test_roles_are_those_of_keys_that_hold_values() -> None:
    """A section has no role of its own: studies and resuming compare values key by key."""
    values = {key for file in FILES.values() for key in leaves(file)}
    assert {key for role in Role for key in keys_with(role)} <= values


class Inner(Section):
    deep: Annotated[int, Role.PLACE | Role.RESUMABLE] = 0
    plain: int = 0


class Outer(Section):
    inner: Inner = Inner()
    flat: Annotated[int, Role.PLACE] = 0


def test_keys_inside_a_section_are_dotted() -> None:
    assert set(section_keys(Outer, Role.PLACE)) == {"inner.deep", "flat"}
    assert set(section_keys(Outer, Role.RESUMABLE)) == {"inner.deep"}
    assert set(section_keys(Outer, Role.FIXED_IN_SEARCH)) == set()
