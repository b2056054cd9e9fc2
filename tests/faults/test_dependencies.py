"""A short version of `make dependencies`, with one system: what is seen when Redis stops and hangs."""

import shutil
from pathlib import Path

import pytest

from tests.faults.dependencies import BEGIN, END, FAILURES, GUIDE, HEADERS, SYSTEMS, observe, running

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_health_metric_answer_and_log_show_a_language_model_that_fails(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (model,) = [system for system in SYSTEMS if system.name == "language model"]
    async with running(tmp_path) as mesh:
        await mesh.process()
        row = dict(zip(HEADERS, await observe(mesh, model, "stopped"), strict=True))
    assert row["`/health`"].startswith("unavailable after")
    assert (row["gRPC health"], row["`pantree_dependency_up`"], row["warning"]) == ("NOT_SERVING", "0", "FALLBACK")
    assert row["alert"] == "PantreeDependencyDown, PantreeDegraded"
    assert row["answer"].startswith("200 in")
    assert "language model failed" in row["log: first line, and lines"] or "unavailable" in row["log: first line, and lines"]
    assert not row["healthy again after"].startswith("over")


def test_guide_has_a_row_for_each_failure() -> None:
    table = GUIDE.read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines() if line.startswith("| ")]
    expected = {(system.name, failure) for system in SYSTEMS for failure in FAILURES} - {("Milvus", "full")}
    assert set(rows[1:]) == expected
