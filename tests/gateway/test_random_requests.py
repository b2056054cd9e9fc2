"""Random requests generated from the served OpenAPI document: no 5xx, and every response matches its schema."""

import asyncio
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pantree_gateway.server import RunningGateway
from tests.gateway.mesh import Mesh

# Per operation and mode: hundreds in total by default, thousands with `make random-requests`.
CASES = int(os.environ.get("PANTREE_TEST_CASES", "40"))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PATHS = ["/", "/api/v1/archetypes", "/api/v1/config", "/api/v1/process", "/health", "/live", "/ready"]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("path", "mode", "expected"),
    [
        *((path, GenerationMode.POSITIVE, 200) for path in PATHS),
        ("/api/v1/process", GenerationMode.NEGATIVE, 400),
        ("/api/v1/archetypes", GenerationMode.NEGATIVE, 400),
    ],
)
async def test_random_requests_get_documented_responses(
    path: str, mode: GenerationMode, expected: int, mesh: Mesh, gateway: RunningGateway
) -> None:
    statuses = await asyncio.to_thread(send_random_requests, f"http://{gateway.address}", path, mode)
    assert expected in statuses


def send_random_requests(base_url: str, path: str, mode: GenerationMode) -> list[int]:
    """Statuses of the responses; fails for one that does not match the document."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    (operation,) = schema[path].values()
    statuses: list[int] = []

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        response = case.call()
        statuses.append(response.status_code)
        case.validate_response(response, checks=CHECKS)

    run()
    return statuses
