"""What differs between the offers of two published runs, and where it goes."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pyarrow import parquet

from pantree_batch.errors import BatchError
from pantree_batch.run import files_of, read_manifest

_KEY = ("household", "tenant_id", "item_id", "variant", "item")
WEBHOOK_BATCH = 500
_ATTEMPTS = 5
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


def changes(out: Path, before_id: str, after_id: str) -> Iterator[dict[str, Any]]:
    """Added, changed and removed offers, by bucket, household and item; memory holds one bucket of each run.

    Raises:
        BatchError: if a run is not published, or the runs have different numbers of buckets.
    """
    counts = [read_manifest(out, run_id)["bucket_count"] for run_id in (before_id, after_id)]
    if counts[0] != counts[1]:
        raise BatchError(
            f"the runs have {counts[0]:,} and {counts[1]:,} buckets; lay out both tables with the same number"
        )
    files_before, files_after = (files_of(out, run_id, "offers") for run_id in (before_id, after_id))
    for bucket in range(counts[0]):
        before, after = _offers(files_before[bucket]), _offers(files_after[bucket])
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            if old is not None and new is not None and old["change_id"] == new["change_id"]:
                continue
            kind = "added" if old is None else "removed" if new is None else "changed"
            yield {
                "change": kind,
                "change_id": _change_id(kind, old, new),
                "run_before": before_id,
                "run_after": after_id,
                "tenant_id": key[1],
                "household": key[0],
                "item": key[4],
                "item_id": key[2],
                "before": old,
                "after": new,
            }


def _offers(file: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    rows = parquet.read_table(file).to_pylist()
    return {tuple(row[name] for name in _KEY): row for row in rows}


def _change_id(kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> str:
    """Equal whenever the same change is sent again."""
    ends = [offer["change_id"] if offer else "" for offer in (old, new)]
    return hashlib.sha256("|".join([kind, *ends]).encode()).hexdigest()[:32]


class ChangeSink(Protocol):
    """Takes changes."""

    batch_size: int
    """Changes to send at a time."""

    def send(self, changes: Sequence[dict[str, Any]]) -> None:
        """Delivers some changes, in order; returns once they are accepted.

        Raises:
            BatchError: if they are not.
        """

    def finish(self) -> None:
        """Ends the delivery after the last change."""

    def close(self) -> None:
        """Releases files and connections; also called when sending failed, and may be repeated."""


class FileSink:
    """Writes JSON lines; the file appears when it is complete."""

    batch_size = WEBHOOK_BATCH

    def __init__(self, file: Path) -> None:
        self._file = file
        self._unfinished = file.with_name(f".{file.name}.unfinished")
        self._stream = self._unfinished.open("w", encoding="utf-8")

    def send(self, changes: Sequence[dict[str, Any]]) -> None:
        """Writes some changes."""
        for change in changes:
            self._stream.write(text_of(change) + "\n")

    def finish(self) -> None:
        """Gives the file its name."""
        self._stream.close()
        self._unfinished.replace(self._file)

    def close(self) -> None:
        """Removes a file that is not complete."""
        self._stream.close()
        self._unfinished.unlink(missing_ok=True)


class WebhookSink:
    """Sends JSON lines with POST. A repeated request has the same `Idempotency-Key`."""

    batch_size = WEBHOOK_BATCH

    def __init__(self, client: Any, url: str, token: str = "", sleep: Callable[[float], None] = time.sleep) -> None:
        """Takes an `httpx.Client`."""
        self._client = client
        self._url = url
        self._token = token
        self._sleep = sleep

    def send(self, changes: Sequence[dict[str, Any]]) -> None:
        """Sends some changes in one request, again after temporary failures."""
        body = "".join(text_of(change) + "\n" for change in changes).encode()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": hashlib.sha256(body).hexdigest()}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        problem = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(2.0 ** (attempt - 1))
            try:
                response = self._client.post(self._url, content=body, headers=headers)
            except OSError as error:
                problem = str(error)
            except Exception as error:
                # httpx is installed with the command line only, so its errors are known by their module.
                if type(error).__module__.partition(".")[0] != "httpx":
                    raise
                problem = str(error)
            else:
                if response.is_success:
                    return
                problem = f"it answered {response.status_code}"
                if response.status_code not in _RETRIED:
                    break
        raise BatchError(f"the webhook does not accept changes: {problem}; send them again, their ids stay the same")

    def finish(self) -> None:
        """Does nothing: every request was answered."""

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def send_changes(found: Iterator[dict[str, Any]], sink: ChangeSink) -> dict[str, int]:
    """Sends all changes in batches, and closes the sink; their number by kind.

    Raises:
        BatchError: if the sink does not accept a change.
    """
    counts = {"added": 0, "changed": 0, "removed": 0}
    batch: list[dict[str, Any]] = []
    try:
        for change in found:
            counts[change["change"]] += 1
            batch.append(change)
            if len(batch) == sink.batch_size:
                sink.send(batch)
                batch = []
        if batch:
            sink.send(batch)
        sink.finish()
    finally:
        sink.close()
    return counts


def text_of(change: dict[str, Any]) -> str:
    """A change as one line of JSON."""
    return json.dumps(change, default=str, ensure_ascii=False, separators=(",", ":"))
