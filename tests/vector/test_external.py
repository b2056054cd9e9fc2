import json
import logging
from dataclasses import dataclass

import pytest

from pantree_runtime.errors import ComponentUnavailable
from pantree_runtime.logging import configure_logging
from pantree_runtime.status import status_of
from pantree_vector.backends.external import ExternalStore, StoreOptions, external_operation
from pantree_vector.backends.milvus import MilvusStore
from pantree_vector.settings import VectorSettings


@dataclass
class Failing:
    """What fails in a store."""

    ping: bool = False
    write: bool = False


class Store(ExternalStore):
    """A store whose failures a test sets."""

    system = "milvus"
    client_errors = (OSError,)
    remedy = "check VECTORDB_HOST"

    def __init__(self) -> None:
        super().__init__("http://10.0.0.1:19530", StoreOptions("pantree", timeout_seconds=1))
        self.failing = Failing()
        self.can_try = True

    async def ping(self) -> None:
        if self.failing.ping:
            raise OSError("no\nroute")

    async def try_write(self) -> bool:
        if self.failing.write:
            raise OSError("still full")
        return self.can_try

    @external_operation
    async def replace_households(self) -> None:
        if self.failing.write:
            raise OSError("disk full")


class ForgetfulStore(Store):
    """A store whose failures count only at once."""

    failure_seconds = 0.0


async def test_health_follows_the_store() -> None:
    store = Store()
    assert await store.check() == ""
    store.failing.ping = True
    assert await store.check() == "no route"
    store.failing.ping = False
    assert await store.check() == ""


async def test_store_that_answers_and_cannot_write_is_unhealthy_until_it_can() -> None:
    store = Store()
    store.failing.write = True
    with pytest.raises(ComponentUnavailable):
        await store.replace_households()
    assert await store.check() == "replace_households: disk full"
    store.failing.write = False
    await store.replace_households()
    assert await store.check() == ""


async def test_full_store_is_unhealthy_until_it_takes_a_write_again() -> None:
    store = ForgetfulStore()
    store.failing.write = True
    with pytest.raises(ComponentUnavailable):
        await store.replace_households()
    assert [await store.check() for _ in range(3)] == ["still full"] * 3
    store.failing.write = False
    assert await store.check() == ""
    store.failing.write = True
    assert await store.check() == "", "writes are tried only after one failed"


async def test_failed_write_of_a_store_without_a_trial_is_forgotten() -> None:
    store = ForgetfulStore()
    store.can_try = False
    store.failing.write = True
    with pytest.raises(ComponentUnavailable):
        await store.replace_households()
    store.failing.write = False
    assert await store.check() == ""


async def test_failures_are_one_json_line_for_operators_and_say_nothing_to_callers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("vector", VectorSettings(log_format="json"))
    store = Store()
    store.failing.write = True
    for _ in range(3):
        with pytest.raises(ComponentUnavailable) as raised:
            await store.replace_households()
        for inside in ("10.0.0.1", "VECTORDB_HOST", "disk full"):
            assert inside not in str(status_of(raised.value))
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["cause"], line["remedy"]) == ("vector store failed", "disk full", "check VECTORDB_HOST")
    assert "OSError: disk full" in line["exception"]


def test_milvus_client_writes_no_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    MilvusStore("http://127.0.0.1:1", StoreOptions("pantree", timeout_seconds=1))
    for name in ("pymilvus.decorators", "pymilvus.milvus_client.milvus_client"):
        logging.getLogger(name).error("RPC error: Traceback\n...")
    assert capsys.readouterr().err == ""
