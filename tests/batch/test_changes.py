import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet

from pantree_batch.changes import FileSink, WebhookSink, changes, send_changes
from pantree_batch.errors import BatchError
from pantree_batch.schemas import OFFERS


def publish(out: Path, run_id: str, offers: list[dict[str, Any]], bucket_count: int = 1) -> None:
    """A published run with offers in its first bucket."""
    directory = out / f"run_id={run_id}"
    files = []
    for bucket in range(bucket_count):
        file = directory / "wave=00000" / "offers" / f"{bucket:05}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"item_id": "", "variant": "", "tenant_id": "", **offer} for offer in offers] if not bucket else []
        parquet.write_table(pa.Table.from_pylist(rows, OFFERS), file)
        files.append({"table": "offers", "bucket": bucket, "path": str(file.relative_to(directory))})
    (directory / "manifest.json").write_text(json.dumps({"bucket_count": bucket_count, "files": files}))


def offer(household: str, item: str, change_id: str, probability: float = 0.9) -> dict[str, Any]:
    day = date(2026, 6, 1)
    return {"household": household, "item": item, "change_id": change_id, "probability": probability, "as_of": day}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    publish(tmp_path, "a", [offer("h1", "Milk", "1"), offer("h1", "Rice", "2"), offer("h2", "Milk", "3")])
    publish(tmp_path, "b", [offer("h1", "Milk", "1", 0.8), offer("h1", "Rice", "9"), offer("h3", "Tea", "5")])
    return tmp_path


def test_changes_are_added_changed_and_removed_offers(out: Path, tmp_path: Path) -> None:
    counts = send_changes(changes(out, "a", "b"), FileSink(tmp_path / "changes.jsonl"))
    assert counts == {"added": 1, "changed": 1, "removed": 1}
    found = [json.loads(line) for line in (tmp_path / "changes.jsonl").read_text().splitlines()]
    assert [(one["change"], one["household"], one["item"]) for one in found] == [
        ("changed", "h1", "Rice"),
        ("removed", "h2", "Milk"),
        ("added", "h3", "Tea"),
    ]
    assert (found[0]["before"]["change_id"], found[0]["after"]["change_id"]) == ("2", "9")
    assert len({one["change_id"] for one in found}) == 3


def test_webhook_gets_equal_keys_for_equal_batches(out: Path) -> None:
    requests: list[httpx.Request] = []
    statuses = iter([503, 200, 200, 200, 200, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(next(statuses))

    for _ in range(2):
        client = httpx.Client(transport=httpx.MockTransport(answer))
        sink = WebhookSink(client, "https://crm.example/offers", "secret", sleep=lambda seconds: None)
        sink.batch_size = 2
        send_changes(changes(out, "a", "b"), sink)
    keys = [request.headers["Idempotency-Key"] for request in requests]
    assert keys == [keys[0], keys[0], keys[2], keys[0], keys[2]]
    assert requests[0].headers["Authorization"] == "Bearer secret"
    assert requests[0].content.count(b"\n") == 2


def test_webhook_that_refuses_ends_the_delivery(out: Path) -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(401)))
    with pytest.raises(BatchError, match="answered 401"):
        send_changes(changes(out, "a", "b"), WebhookSink(client, "https://crm.example/offers"))
    assert client.is_closed


def test_file_that_is_not_complete_is_removed(out: Path, tmp_path: Path) -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield from changes(out, "a", "b")
        raise BatchError("a file of the run is missing")

    (tmp_path / "changes.jsonl").write_text("of an earlier night\n")
    sink = FileSink(tmp_path / "changes.jsonl")
    sink.batch_size = 1
    with pytest.raises(BatchError, match="is missing"):
        send_changes(failing(), sink)
    assert (tmp_path / "changes.jsonl").read_text() == "of an earlier night\n"
    assert not list(tmp_path.glob(".*"))


def test_runs_with_different_buckets_are_refused(out: Path) -> None:
    publish(out, "c", [], bucket_count=2)
    with pytest.raises(BatchError, match="1 and 2 buckets"):
        next(changes(out, "a", "c"))


def test_unpublished_run_is_refused(out: Path) -> None:
    with pytest.raises(BatchError, match="no published run d"):
        next(changes(out, "a", "d"))
