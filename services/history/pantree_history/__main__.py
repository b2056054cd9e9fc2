"""Composition root of the history service: `python -m pantree_history [--demo]`."""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path

import structlog

from pantree.history.v1 import history_service_pb2_grpc as rpc
from pantree.subscription.v1 import subscription_service_pb2_grpc as subscription_rpc
from pantree.subscription.v1 import webhook_service_pb2_grpc as webhook_rpc
from pantree_history.backends.sqlite import MEMORY, SqliteStore
from pantree_history.backends.webhook_http import HttpSender
from pantree_history.core.advance import ClockAdvance
from pantree_history.core.clocks import TenantClocks, system_clock
from pantree_history.core.history import History
from pantree_history.core.lines import MICROSECONDS
from pantree_history.core.store import COMPONENT
from pantree_history.core.subscriptions.keeper import Subscriptions
from pantree_history.core.subscriptions.store import CombinedStore
from pantree_history.core.webhooks.delivery import Deliveries, Encoders
from pantree_history.core.webhooks.keeper import Webhooks
from pantree_history.core.webhooks.store import WebhookStore
from pantree_history.demo import demo
from pantree_history.rules import RULES
from pantree_history.servicer import HistoryServicer
from pantree_history.settings import HistorySettings
from pantree_history.subscriptions.servicer import SubscriptionServicer
from pantree_history.webhooks.convert import erasure_content, event_content
from pantree_history.webhooks.servicer import WebhookServicer
from pantree_runtime import telemetry
from pantree_runtime.dependencies import Dependency
from pantree_runtime.errors import PantreeError
from pantree_runtime.server import BULK_COST, Program, ServiceSpec

NAME = "history"
_KEY_BYTES = 32
_FIRST_MAINTENANCE_SECONDS = 60.0
_BACKLOG_SECONDS = 15.0

_log = structlog.get_logger(__name__)


def store_of(settings: HistorySettings) -> CombinedStore:
    """The configured store, which is not open yet."""
    system, place = settings.store
    if system == "sqlite":
        return SqliteStore(place)
    # Imported here, because the client of a server takes a while to import.
    from pantree_history.backends.postgresql import PostgresqlStore

    return PostgresqlStore(
        place,
        settings.store_password.get_secret_value(),
        max_connections=settings.store_connections,
        timeout_seconds=settings.store_timeout_seconds,
    )


def ledger_key_of(settings: HistorySettings) -> bytes:
    """The key of the ledger: the configured one, or that in a file next to the database, which is created.

    Raises:
        OSError: the file cannot be read or written.
    """
    configured = settings.ledger_key.get_secret_value().encode()
    if configured:
        return configured
    place = settings.store.place
    if place == MEMORY:
        return secrets.token_bytes(_KEY_BYTES)
    path = Path(place).with_suffix(".key")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):  # of another process that starts
            os.link(new, path)
        new.unlink()
    return path.read_text().strip().encode()


async def maintain(
    history: History, interval_seconds: float, first_seconds: float = _FIRST_MAINTENANCE_SECONDS
) -> None:
    """Removes purchases that are no longer kept, at intervals, until it is canceled."""
    delay = min(first_seconds, interval_seconds)
    while True:
        await asyncio.sleep(delay)
        delay = interval_seconds
        try:
            removed = await history.maintain()
        except PantreeError as error:
            _log.warning("maintenance failed; it is repeated", reason=error.reason, error=error.message)
            continue
        telemetry.PURCHASE_LINES_EXPIRED.inc(removed)
        _log.info("maintenance done", removed_lines=removed)


async def watch_backlog(webhooks: WebhookStore, interval_seconds: float = _BACKLOG_SECONDS) -> None:
    """Updates the metrics of what webhooks did not deliver, at intervals, until it is canceled."""
    while True:
        try:
            backlog = await webhooks.backlog()
            since = backlog.waiting_since or system_clock()
            telemetry.WEBHOOK_WAITING.set(backlog.waiting)
            telemetry.WEBHOOK_DEAD_LETTERS.set(backlog.dead)
            telemetry.WEBHOOK_LAG_SECONDS.set(max(system_clock() - since, 0) / MICROSECONDS)
        except PantreeError:
            pass  # the store, which is asked again
        except Exception:
            _log.exception("what webhooks did not deliver cannot be read; it is repeated")
        await asyncio.sleep(interval_seconds)


async def build(settings: HistorySettings, store: CombinedStore | None = None) -> ServiceSpec:
    """The service, ready to be served.

    Raises:
        OSError: the key of the ledger cannot be read or written.
    """
    store = store or store_of(settings)
    ledger_key = ledger_key_of(settings)
    clocks = TenantClocks(store, settings.tenants_with_clock)
    history = History(store, ledger_key, clocks, settings.limits)
    subscriptions = Subscriptions(store.subscriptions, ledger_key, clocks)
    servicer = HistoryServicer(history, subscriptions)
    advance = ClockAdvance(clocks, history, subscriptions, applies_retention=settings.maintenance_hours > 0)
    subscription_servicer = SubscriptionServicer(subscriptions, advance)

    sender = HttpSender(
        timeout_seconds=settings.webhook_timeout_seconds,
        allow_http=settings.webhook_allow_http,
        allow_private=settings.webhook_allow_private_addresses,
    )
    webhook_servicer = WebhookServicer(
        Webhooks(
            store.webhooks,
            sender,
            ledger_key,
            allow_http=settings.webhook_allow_http,
            allow_private=settings.webhook_allow_private_addresses,
        )
    )
    deliveries = Deliveries(
        store.webhooks,
        store.subscriptions,
        sender,
        Encoders(event_content, erasure_content),
        ledger_key,
        rules=settings.webhook_rules,
        on_result=lambda result: telemetry.WEBHOOK_EVENTS.labels(result).inc(),
    )

    tasks: list[asyncio.Task[None]] = []

    async def open_store() -> None:
        erased = await history.open()
        _log.info("history opened", place=settings.store.place)
        if settings.tenants_with_clock:
            _log.warning("some tenants have a test clock", tenants=sorted(settings.tenants_with_clock))
        if erased:
            _log.warning("customers of the ledger erased again, because a backup was restored", count=erased)
        if settings.maintenance_hours:
            tasks.append(asyncio.create_task(maintain(history, settings.maintenance_hours * 3600)))
        if settings.webhook_poll_seconds:
            tasks.append(asyncio.create_task(deliveries.run()))
            tasks.append(asyncio.create_task(watch_backlog(store.webhooks)))

    async def close_store() -> None:
        for task in tasks:
            task.cancel()
            await asyncio.wait([task])
        await sender.close()
        await history.close()

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.history.v1.HistoryService": lambda server: rpc.add_HistoryServiceServicer_to_server(
                servicer, server
            ),
            "pantree.subscription.v1.SubscriptionService": lambda server: (
                subscription_rpc.add_SubscriptionServiceServicer_to_server(subscription_servicer, server)
            ),
            "pantree.subscription.v1.WebhookService": lambda server: webhook_rpc.add_WebhookServiceServicer_to_server(
                webhook_servicer, server
            ),
        },
        warm_up=open_store,
        close=close_store,
        dependencies=[Dependency(COMPONENT, store.check)],
        costs=dict.fromkeys(("ExportCustomer", "ImportPurchases", "StreamHistories"), BULK_COST),
        rules=RULES,
    )


PROGRAM = Program(NAME, HistorySettings, build, demo, demo_settings={"store_url": f"sqlite://{MEMORY}"})

if __name__ == "__main__":
    PROGRAM.main()
