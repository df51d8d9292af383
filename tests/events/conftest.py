"""Running commands in this process, as a shell would."""

from tests.shell import _logging, shell  # noqa: F401 - fixtures
