"""The answer to any request is a result or a list of wrong fields, never an internal error."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.mesh import RunningMesh

names = st.text(max_size=30) | st.sampled_from(
    ["Bananas", "Milk", "bananas ", "Crème fraîche", "🥑 Avocado", "x" * 201]
)
prices = st.floats(allow_nan=False, allow_infinity=False) | st.floats(min_value=0, max_value=50)
quantities = st.integers(min_value=-2, max_value=10_001) | st.just(10_000)
days = st.dates().map(str) | st.dates().filter(lambda day: 2020 <= day.year <= 2026).map(str) | st.text(max_size=12)

items = st.fixed_dictionaries(
    {"name": names, "price": prices}, optional={"quantity": quantities, "category": st.text(max_size=10)}
)
rows = st.fixed_dictionaries(
    {"name": names, "price": prices, "date": days},
    optional={"quantity": quantities, "saving": prices, "category": st.text(max_size=10)},
)
requests = st.fixed_dictionaries(
    {"customer_id": st.text(max_size=20) | st.just("cust_001")},
    optional={
        "items": st.lists(items, max_size=5),
        "history": st.lists(rows, max_size=12),
        "simulation_months": st.integers(min_value=-1, max_value=61),
        "archetype": st.sampled_from(["", "busy_family", "nobody"]),
        "seed": st.integers(min_value=0, max_value=2**32 - 1),
        "as_of": days,
        "max_recommendations": st.integers(min_value=0, max_value=101),
        "include_omitted": st.booleans(),
    },
)
valid_rows = st.builds(
    lambda name, day, price, quantity, saved: {
        "name": name,
        "date": f"2026-{1 + day // 28:02}-{1 + day % 28:02}",
        "price": price,
        "quantity": quantity,
        "saving": round(price * quantity * saved, 2),
    },
    st.sampled_from(["Bananas", "Milk", "Rice", "🥑 Avocado"]),
    st.integers(min_value=0, max_value=335),
    st.floats(min_value=0, max_value=1_000_000),
    st.integers(min_value=1, max_value=10_000),
    st.floats(min_value=0, max_value=1),
)
valid_requests = st.fixed_dictionaries(
    {"customer_id": st.just("cust_001"), "history": st.lists(valid_rows, min_size=1, max_size=60)},
    optional={"include_omitted": st.booleans(), "as_of": st.just("2026-12-31")},
)
without_deadline = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def client(mesh: RunningMesh) -> Any:
    with httpx.Client(base_url=mesh.http, timeout=30) as client:
        yield client


@given(requests)
@without_deadline
def test_any_request_has_a_result_or_errors(client: httpx.Client, request_: dict[str, Any]) -> None:
    answer = client.post("/api/v1/process", json=request_)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["errors"]


@given(valid_requests)
@without_deadline
def test_any_valid_history_has_a_result(client: httpx.Client, request_: dict[str, Any]) -> None:
    answer = client.post("/api/v1/process", json=request_)
    assert answer.status_code == 200, answer.text
    # Nothing is missing from the result, whatever is unusual about the history.
    assert {warning["component"] for warning in answer.json()["warnings"]} <= {"history"}
