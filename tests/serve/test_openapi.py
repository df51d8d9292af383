"""The description of the API, and many odd requests made from it: the server keeps to what it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.conftest import LIMITS, SharedDecoder
from tests.serve.fake import FakeRecognizer
from tests.serve.live import running
from tests.serve.sounds import tone

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/api/state"),
    ("POST", "/api/classes"),
    ("PATCH", "/api/classes"),
    ("DELETE", "/api/classes"),
    ("PUT", "/api/classes/ignored"),
    ("PATCH", "/api/classes/clips"),
    ("DELETE", "/api/classes/clips"),
    ("POST", "/api/undo"),
    ("POST", "/api/background"),
    ("DELETE", "/api/background"),
    ("POST", "/api/classify"),
    ("GET", "/api/map"),
    ("GET", "/api/diagnosis"),
    ("GET", "/api/bundle"),
    ("PUT", "/api/sound"),
    ("GET", "/api/classes/clips/sound"),
    ("POST", "/api/recordings"),
    ("GET", "/api/recordings/{recording}"),
    ("DELETE", "/api/recordings/{recording}"),
    ("GET", "/api/recordings/{recording}/spectrogram"),
    ("GET", "/api/recordings/{recording}/sound"),
    ("POST", "/api/recordings/{recording}/search"),
    ("GET", "/api/recordings/{recording}/events"),
    ("POST", "/api/recordings/{recording}/table"),
    ("GET", "/api/review"),
    ("GET", "/api/review/status"),
    ("GET", "/api/review/round"),
    ("GET", "/api/review/sound"),
    ("GET", "/api/review/spectrogram"),
    ("POST", "/api/review/choices"),
    ("POST", "/api/review/teach"),
    ("GET", "/api/review/table"),
    ("POST", "/api/review/table"),
]


@pytest.fixture(scope="module")
def schema(decoder: SharedDecoder) -> Iterator[BaseSchema]:
    """The description of a server with two enrolled classes."""
    backend = FakeRecognizer()
    for name, pitch in (("low", 300.0), ("high", 3000.0)):
        backend.enroll(name, [tone(pitch, seed=seed).astype("float32") for seed in range(2)])
    with running(backend, limits=LIMITS, decoder=decoder) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def test_all_operations_are_tried(schema: BaseSchema) -> None:
    described = [(operation.ok().method.upper(), operation.ok().path) for operation in schema.get_all_operations()]
    assert described == OPERATIONS


VALID = [(method, path, GenerationMode.POSITIVE) for method, path in OPERATIONS]
NOTHING_SENT = ("POST", "/api/review/teach")  # it takes nothing, so nothing in it can be wrong
INVALID = [
    (method, path, GenerationMode.NEGATIVE)
    for method, path in OPERATIONS
    if method != "GET" and (method, path) != NOTHING_SENT
]


@pytest.mark.parametrize(("method", "path", "mode"), VALID + INVALID)
def test_the_server_keeps_to_its_description(method: str, path: str, mode: GenerationMode, schema: BaseSchema) -> None:
    operation = schema[path][method]

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def odd_requests(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    odd_requests()
