"""Changes for Kafka: a producer that is made up, and the real one with the brokers that librdkafka simulates."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from pantree_batch.changes import changes, send_changes
from pantree_batch.errors import BatchError
from pantree_batch.kafka import KafkaSink, producer_settings, read_settings
from tests.batch.test_changes import offer, publish


class Problem:
    """An error as the library describes it."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text

    def name(self) -> str:
        return self._name

    def str(self) -> str:
        return self._text


class MadeUpProducer:
    """Confirms messages when it is flushed, except the nth one, and has a queue of some length."""

    def __init__(self, failing: int = -1, queue_length: int = 100, confirms: bool = True) -> None:
        self._failing = failing
        self._queue_length = queue_length
        self._confirms = confirms
        self._waiting: list[Callable[[Any, Any], None]] = []
        self.messages: list[dict[str, Any]] = []
        self.is_purged = False

    def produce(self, topic: str, *, on_delivery: Callable[[Any, Any], None], **message: Any) -> None:
        if len(self._waiting) == self._queue_length:
            raise BufferError("queue full")
        self.messages.append({"topic": topic, **message})
        self._waiting.append(on_delivery)

    def poll(self, seconds: float) -> int:
        return self._confirm() if seconds else 0

    def flush(self, seconds: float) -> int:
        self._confirm()
        return len(self._waiting)

    def purge(self) -> None:
        self.is_purged = True
        self._confirms = True

    def _confirm(self) -> int:
        if not self._confirms:
            return 0
        confirmed, self._waiting = self._waiting, []
        first = len(self.messages) - len(confirmed)
        for number, on_delivery in enumerate(confirmed, first):
            on_delivery(Problem("TOPIC_AUTHORIZATION_FAILED", "no access") if number == self._failing else None, None)
        return len(confirmed)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    publish(tmp_path, "a", [])
    households = [f"h{number:02}" for number in range(20)]
    offers = [offer(household, item, f"{household} {item}") for household in households for item in ("Milk", "Rice")]
    publish(tmp_path, "b", [{**one, "tenant_id": "north"} for one in offers])
    return tmp_path


def test_message_has_the_change_and_the_key_of_its_household(out: Path) -> None:
    producer = MadeUpProducer(queue_length=3)
    assert send_changes(changes(out, "a", "b"), KafkaSink(producer, "offers"))["added"] == 40
    expected = list(changes(out, "a", "b"))
    assert [message["key"] for message in producer.messages] == [
        json.dumps([one["tenant_id"], one["household"]], separators=(",", ":")).encode() for one in expected
    ]
    assert [json.loads(message["value"])["change_id"] for message in producer.messages] == [
        one["change_id"] for one in expected
    ]
    assert producer.messages[0]["topic"] == "offers"
    assert dict(producer.messages[0]["headers"]) == {
        "change_id": expected[0]["change_id"].encode(),
        "run_after": b"b",
    }
    assert not producer.is_purged


def test_batch_with_a_refused_message_is_not_sent(out: Path) -> None:
    producer = MadeUpProducer(failing=5)
    sink = KafkaSink(producer, "offers")
    sink.batch_size = 4
    with pytest.raises(BatchError, match=r"topic offers .* TOPIC_AUTHORIZATION_FAILED, no access; send them again"):
        send_changes(changes(out, "a", "b"), sink)
    # Nothing follows the batch that failed.
    assert len(producer.messages) == 8


def test_unconfirmed_messages_end_the_delivery_and_are_given_up(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pantree_batch.kafka._GRACE_SECONDS", 0.0)
    producer = MadeUpProducer(confirms=False)
    sink = KafkaSink(producer, "offers", timeout_seconds=0.01)
    sink.on_error(Problem("_TRANSPORT", "connection refused"))
    sink.on_error(Problem("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
    with pytest.raises(BatchError, match=r"40 changes were not confirmed in time \(connection refused\)"):
        send_changes(changes(out, "a", "b"), sink)
    assert producer.is_purged


def test_queue_that_stays_full_ends_the_delivery(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pantree_batch.kafka._GRACE_SECONDS", 0.0)
    producer = MadeUpProducer(confirms=False, queue_length=3)
    with pytest.raises(BatchError, match="the queue of the producer stays full"):
        send_changes(changes(out, "a", "b"), KafkaSink(producer, "offers", timeout_seconds=0.01))
    assert producer.is_purged


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"enable.idempotence": "false"}, "enable.idempotence must be true"),
        ({"transactional.id": "x"}, "remove transactional.id"),
        ({"message.timeout.ms": "soon"}, "delivery.timeout.ms must be milliseconds"),
        ({"message.timeout.ms": "²"}, "delivery.timeout.ms must be milliseconds"),
        ({"partitioner": "random"}, "partitioner must be one of murmur2_random"),
    ],
)
def test_settings_that_give_up_order_or_delivery_are_refused(settings: dict[str, str], text: str) -> None:
    with pytest.raises(BatchError, match=text):
        producer_settings("kafka:9092", settings)


def test_servers_are_needed(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="Kafka needs servers"):
        producer_settings("", {})
    file = tmp_path / "kafka.properties"
    file.write_text("# of the shop\n\nbootstrap.servers = kafka:9092\nsasl.password=a=b\n")
    settings = producer_settings("", read_settings(file))
    assert (settings["bootstrap.servers"], settings["sasl.password"]) == ("kafka:9092", "a=b")
    assert settings["enable.idempotence"] == "true"
    assert producer_settings("", {"metadata.broker.list": "kafka:9092"})["bootstrap.servers"] == "kafka:9092"


def test_line_that_is_no_setting_is_named_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("client.id=x\nsecret\n")
    with pytest.raises(BatchError, match="line 2 of ") as caught:
        read_settings(file)
    assert "secret" not in str(caught.value)


def test_unknown_setting_is_named() -> None:
    with pytest.raises(BatchError, match=r"_INVALID_ARG.*nonsense"):
        KafkaSink.open("localhost:9092", "offers", {"nonsense": "1"})
    with pytest.raises(BatchError, match="the settings of Kafka are invalid"):
        KafkaSink.open("localhost:9092", "offers", {"stats_cb": "x"})


def test_servers_that_cannot_be_reached_are_named(out: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        sink = KafkaSink.open(f"127.0.0.1:{port}", "offers", {"delivery.timeout.ms": "1000"})
        with pytest.raises(BatchError, match=rf"_MSG_TIMED_OUT.*127.0.0.1:{port}.*refused"):
            send_changes(changes(out, "a", "b"), sink)


def test_real_producer_keeps_the_order_of_each_household(out: Path) -> None:
    settings = producer_settings("ignored:9092", {"test.mock.num.brokers": "3"})
    producer = Producer(settings)
    # Messages of several requests, which are in progress at once.
    sink = KafkaSink(producer, "offers")
    sink.batch_size = 7
    assert send_changes(changes(out, "a", "b"), sink)["added"] == 40
    servers = ",".join(f"{one.host}:{one.port}" for one in producer.list_topics(timeout=10).brokers.values())
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "crm", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["offers"])
        found: list[Any] = []
        deadline = time.monotonic() + 60
        while len(found) < 40 and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    items: dict[bytes, list[str]] = {}
    partitions: dict[bytes, set[int]] = {}
    for message in found:
        items.setdefault(message.key(), []).append(json.loads(message.value())["item"])
        partitions.setdefault(message.key(), set()).add(message.partition())
    assert items == {f'["north","h{number:02}"]'.encode(): ["Milk", "Rice"] for number in range(20)}
    assert all(len(numbers) == 1 for numbers in partitions.values())
    # The households are spread.
    assert len(set.union(*partitions.values())) > 1


def test_message_that_is_too_large_is_named(out: Path) -> None:
    sink = KafkaSink.open("ignored:9092", "offers", {"test.mock.num.brokers": "1", "message.max.bytes": "1000"})
    found = [{**one, "item": "x" * 2000} for one in changes(out, "a", "b")]
    with pytest.raises(BatchError, match="MSG_SIZE_TOO_LARGE"):
        send_changes(iter(found), sink)
