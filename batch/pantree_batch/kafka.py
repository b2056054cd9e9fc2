"""Sends changes to a topic of Kafka, in order for each household.

`confluent-kafka` is imported when a producer is made only: it is installed with `pantree[batch-kafka]`.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pantree_batch.changes import text_of
from pantree_batch.errors import BatchError

BATCH = 10_000
"""Changes whose delivery is confirmed together."""
DEFAULT_TIMEOUT_SECONDS = 60.0
_TIMEOUT = "delivery.timeout.ms"
_ALIASES = {"message.timeout.ms": _TIMEOUT, "metadata.broker.list": "bootstrap.servers"}
# Those that look at a key only.
_PARTITIONERS = ("murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a")
_DEFAULTS = {
    "client.id": "pantree-batch",
    "partitioner": "murmur2_random",  # that of Kafka's own clients, which find a key in the same partition
    # Failed connections come with an error, which names them.
    "log_level": "2",
    _TIMEOUT: str(int(1000 * DEFAULT_TIMEOUT_SECONDS)),
    # Otherwise a change could be written twice, or come before an earlier one.
    "enable.idempotence": "true",
}
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0


def read_settings(file: Path) -> dict[str, str]:
    """Settings of librdkafka from a file with a line `name=value` for each; `#` begins a comment.

    Raises:
        BatchError: if a line is no setting.
        OSError: if the file cannot be read.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            # The text is not shown: it may be a password.
            raise BatchError(f"line {number} of {file} must be name=value, such as security.protocol=SASL_SSL")
        settings[name.strip()] = value.strip()
    return settings


def producer_settings(servers: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What the producer is made with: the given settings, and those that order and delivery need.

    Args:
        servers: `host:port`, several separated by commas; may be empty if the settings have them.
        settings: of librdkafka, by name.

    Raises:
        BatchError: if no servers are named, or a setting would give up order or delivery.
    """
    chosen = _DEFAULTS | {_ALIASES.get(name, name): value for name, value in settings.items()}
    if servers:
        chosen["bootstrap.servers"] = servers
    if not chosen.get("bootstrap.servers"):
        raise BatchError("Kafka needs servers: name them as host:port, separated by commas")
    if "transactional.id" in chosen:
        raise BatchError("remove transactional.id from the settings of Kafka: the sink makes no transactions")
    if (idempotence := chosen["enable.idempotence"]).lower() != "true":
        raise BatchError(f"enable.idempotence must be true in the settings of Kafka; is {idempotence}")
    if (partitioner := chosen["partitioner"]) not in _PARTITIONERS:
        raise BatchError(f"partitioner must be one of {', '.join(_PARTITIONERS)}; is {partitioner}")
    timeout = chosen[_TIMEOUT]
    if not (timeout.isascii() and timeout.isdecimal()) or int(timeout) == 0:
        raise BatchError(f"{_TIMEOUT} must be milliseconds, at least 1; is {timeout}")
    return chosen


class KafkaSink:
    """Sends each change as a message, whose key is its tenant and household.

    Messages of one key go to one partition, in order, and each is written once per sending (an idempotent producer). A
    batch counts as sent when all its messages are confirmed by all in-sync replicas.
    """

    batch_size = BATCH

    def __init__(self, producer: Any, topic: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Takes a `confluent_kafka.Producer`.

        Args:
            producer: with `enable.idempotence`.
            topic: exists, or is made by the servers.
            timeout_seconds: after which the producer gives up a message (`delivery.timeout.ms`).
        """
        self._producer = producer
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._unconfirmed = 0
        self._problem = ""
        self._connection_problem = ""

    @classmethod
    def open(cls, servers: str, topic: str, settings: Mapping[str, str] | None = None) -> "KafkaSink":
        """A sink with a producer of its own.

        Args:
            servers: as in `producer_settings`.
            topic: to send to.
            settings: of librdkafka, by name.

        Raises:
            BatchError: if a setting is invalid.
        """
        from confluent_kafka import KafkaException, Producer

        chosen = producer_settings(servers, settings or {})
        sink = cls(None, topic, int(chosen[_TIMEOUT]) / 1000)
        try:
            sink._producer = Producer({**chosen, "error_cb": sink.on_error})
        except (KafkaException, TypeError, ValueError) as error:
            raise BatchError(f"the settings of Kafka are invalid: {_text_of(error)}") from None
        return sink

    def on_error(self, error: Any) -> None:
        """Notes why servers cannot be reached: messages then end with a timeout, which does not say it."""
        if error.name() != "_ALL_BROKERS_DOWN":
            self._connection_problem = error.str()

    def send(self, changes: Sequence[dict[str, Any]]) -> None:
        """Sends some changes and waits until all are confirmed.

        Raises:
            BatchError: if one of them is not.
        """
        deadline = time.monotonic() + self._timeout_seconds + _GRACE_SECONDS
        for change in changes:
            self._produce(change, deadline)
            if self._problem:
                break
        while self._unconfirmed and not self._problem and time.monotonic() < deadline:
            self._producer.flush(_POLL_SECONDS)
        if self._unconfirmed or self._problem:
            problem = self._problem or f"{self._unconfirmed:,} changes were not confirmed in time"
            if self._connection_problem:
                problem += f" ({self._connection_problem})"
            raise BatchError(
                f"topic {self._topic} of Kafka does not accept changes: {problem}; send them again, their ids stay the "
                "same"
            )

    def finish(self) -> None:
        """Does nothing: every batch is confirmed."""

    def close(self) -> None:
        """Gives up what is not confirmed."""
        if self._unconfirmed:
            self._producer.purge()
            self._producer.flush(_GRACE_SECONDS)

    def _produce(self, change: dict[str, Any], deadline: float) -> None:
        key = json.dumps([change["tenant_id"], change["household"]], ensure_ascii=False, separators=(",", ":"))
        headers = [("change_id", change["change_id"].encode()), ("run_after", change["run_after"].encode())]
        while not self._problem:
            try:
                self._producer.produce(
                    self._topic,
                    key=key.encode(),
                    value=text_of(change).encode(),
                    headers=headers,
                    on_delivery=self._on_delivery,
                )
            except BufferError:
                # The producer's own queue is full; it empties as messages are confirmed.
                if time.monotonic() > deadline:
                    self._problem = "the queue of the producer stays full"
                self._producer.poll(_POLL_SECONDS)
                continue
            except Exception as error:
                # As with httpx, the library may be missing, and its errors are known by their name.
                if type(error).__name__ != "KafkaException":
                    raise
                self._problem = _text_of(error)
                return
            self._unconfirmed += 1
            self._producer.poll(0)
            return

    def _on_delivery(self, error: Any, message: object) -> None:
        self._unconfirmed -= 1
        if error is not None and not self._problem:
            self._problem = f"{error.name()}, {error.str()}"


def _text_of(error: Exception) -> str:
    """The name and the text of a `KafkaException`."""
    content: Any = error.args[0] if error.args else None
    return f"{content.name()}, {content.str()}" if hasattr(content, "name") else str(error)
