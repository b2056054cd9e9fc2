"""The attacks. Each returns how often it got each answer; the scale is 1 for a full attack, less for a short one."""

import asyncio
import contextlib
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
import httpx

from pantree.frequency.v1 import frequency_service_pb2, frequency_service_pb2_grpc
from pantree.simulation.v1 import simulation_service_pb2, simulation_service_pb2_grpc
from pantree.vector.v1 import vector_service_pb2
from pantree_runtime.status import is_lost_connection
from pantree_runtime.tenants import tenant_metadata
from tests.attack.mesh import ATTACKER_ADDRESS, ATTACKER_KEY, LEGITIMATE_KEY, TEST_TENANT, LimitedMesh
from tests.attack.random_messages import ENDLESS, METHODS, SERVICES, random_calls

Answers = Counter[str]
Attack = Callable[[LimitedMesh, float], Awaitable[Answers]]

_JSON = {"Content-Type": "application/json", "X-API-Key": ATTACKER_KEY}
_POST = (
    b"POST /api/v1/process HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-API-Key: "
    + ATTACKER_KEY.encode()
    + b"\r\n"
)
_UPGRADE = (
    b"GET /ws/stream/a HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nX-API-Key: "
    + ATTACKER_KEY.encode()
    + b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_NO_LIMIT = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_WAIT_SECONDS = 40.0
_SENDERS = 12
"""Concurrent senders of random messages."""
_ENOUGH_MESSAGES = 20_000
"""With so many random messages, some call of each RPC must succeed."""
_PROGRESS_MESSAGES = 10_000
_CODES = frozenset(
    {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED", "OUT_OF_RANGE",
     "FAILED_PRECONDITION", "ABORTED", "ALREADY_EXISTS"}
)  # fmt: skip
"""Status codes that a random message may get."""


def _client(mesh: LimitedMesh) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(local_address=ATTACKER_ADDRESS)
    return httpx.AsyncClient(base_url=mesh.http, transport=transport, timeout=_WAIT_SECONDS)


async def _post(mesh: LimitedMesh, body: bytes, count: int, **headers: str) -> Answers:
    """Sends a body several times concurrently."""

    async def post(client: httpx.AsyncClient) -> str:
        try:
            response = await client.post("/api/v1/process", content=body, headers={**_JSON, **headers})
        except httpx.HTTPError as error:
            return type(error).__name__
        return str(response.status_code)

    async with _client(mesh) as client:
        return Counter(await asyncio.gather(*(post(client) for _ in range(count))))


async def _raw(mesh: LimitedMesh, parts: Iterable[bytes], count: int, seconds: float = _WAIT_SECONDS) -> Answers:
    """Sends bytes on several connections and waits until the gateway closes them."""
    host, port = mesh.addresses["gateway"].split(":")

    async def send() -> str:
        answer = b""
        writer = None
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(host, int(port), local_addr=(ATTACKER_ADDRESS, 0))
                with contextlib.suppress(ConnectionError):
                    for part in parts:
                        writer.write(part)
                        await writer.drain()
                answer = await reader.read(65_536)
                while await reader.read(65_536):
                    pass
        except TimeoutError:
            return "still open"
        except OSError:
            pass
        finally:
            if writer is not None:
                writer.close()
        return answer[9:12].decode() or "closed"

    return Counter(await asyncio.gather(*(send() for _ in range(count))))


# 1: lists


async def large_json_lists(mesh: LimitedMesh, scale: float) -> Answers:
    """Bodies of 3 to 16 MB with millions of elements, in lists of the contract and in others."""
    bodies = [
        b'{"items":[' + b"{}," * 999_999 + b"{}]}",
        b'{"items":[' + b"{}," * 1_999_999 + b"{}]}",
        b"[" + b"1," * 7_900_000 + b"1]",
        b'{"x":[' + b",".join([b"[" + b"{}," * 8_999 + b"{}]"] * 580) + b"]}",
        b'{"history":[' + b",".join([b"{" + b",".join(b'"k%d":1' % n for n in range(90)) + b"}"] * 15_000) + b"]}",
    ]
    answers: Answers = Counter()
    for body in bodies:
        answers += await _post(mesh, body, max(int(8 * scale), 1))
    return answers


def _field(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


async def _call(mesh: LimitedMesh, part: str, path: str, data: bytes, *, stream: bool = False) -> str:
    """Status of a call with raw bytes."""
    channel: Any
    async with grpc.aio.insecure_channel(mesh.addresses[part], options=_NO_LIMIT) as channel:
        try:
            if stream:
                call = channel.stream_stream(path)(iter([data]), timeout=_WAIT_SECONDS)
                async for _ in call:
                    pass
            else:
                await channel.unary_unary(path)(data, timeout=_WAIT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


_BATCH = "/pantree.recommendation.v1.RecommendationService/RecommendBatch"


async def large_wire_lists(mesh: LimitedMesh, scale: float) -> Answers:
    """Messages of 4 MB with two million empty elements."""
    pipeline = "/pantree.pipeline.v1.PipelineService/Process"
    items = _field(1, _field(4, b"") * 2_000_000)
    spread = _field(1, _field(1, b"") * 9_999) * 200
    small = _field(1, _field(1, b"") * 200) * 1_000
    answers: Answers = Counter()
    for _ in range(max(int(4 * scale), 1)):
        answers[await _call(mesh, "pipeline", pipeline, items)] += 1
        answers[await _call(mesh, "recommendation", _BATCH, spread, stream=True)] += 1
        answers[await _call(mesh, "recommendation", _BATCH, small * 4, stream=True)] += 1
    return answers


# 2: headers


async def endless_headers(mesh: LimitedMesh, scale: float) -> Answers:
    """Headers without an end, before any credentials."""
    start = b"GET /live HTTP/1.1\r\nHost: a\r\n"
    count = max(int(50 * scale), 5)
    answers = await _raw(mesh, [start, *[b"X-Filler: " + b"a" * 60_000 + b"\r\n"] * 100], count)
    return answers + await _raw(mesh, [start + b"X: ", *[b"a" * 60_000] * 100], count)


# 3: unfinished requests


async def half_headers(mesh: LimitedMesh, scale: float) -> Answers:
    """Connections that send half of their headers."""
    return await _raw(mesh, [b"GET /live HTTP/1.1\r\nHost: a\r\nX-"], max(int(600 * scale), 50))


async def half_bodies(mesh: LimitedMesh, scale: float) -> Answers:
    """Requests that send one byte of their body."""
    return await _raw(mesh, [_POST + b"Content-Length: 1000\r\n\r\n{"], max(int(520 * scale), 50))


async def silent_websockets(mesh: LimitedMesh, scale: float) -> Answers:
    """WebSockets that send nothing."""
    return await _raw(mesh, [_UPGRADE], max(int(520 * scale), 50))


async def unfinished_bodies(mesh: LimitedMesh, scale: float) -> Answers:
    """Bodies of 16 MB whose last byte does not come."""
    start = _POST + b"Content-Length: 16000000\r\n\r\n"
    return await _raw(mesh, [start, *[b" " * 1_000_000] * 15], max(int(50 * scale), 5))


async def unfinished_messages(mesh: LimitedMesh, scale: float) -> Answers:
    """WebSocket messages of 15 MB without an end."""
    frame = bytes([1, 255]) + (15_000_000).to_bytes(8, "big") + bytes(4)
    return await _raw(mesh, [_UPGRADE, frame, *[b" " * 1_000_000] * 14], max(int(50 * scale), 5))


# 4: large valid requests


async def long_histories(mesh: LimitedMesh, scale: float) -> Answers:
    """Valid histories of 20,000 lines, 24 at a time."""
    rows = [
        {
            "name": f"Item number {number % 300}",
            "date": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}",
            "quantity": 1,
            "price": 2.5,
            "category": "produce",
        }
        for number in range(20_000)
    ]
    body = json.dumps({"customer_id": "a", "history": rows, "as_of": "2026-01-31"}).encode()
    return await _post(mesh, body, max(int(24 * scale), 4))


# 5: many wrong fields


async def many_wrong_fields(mesh: LimitedMesh, scale: float) -> Answers:
    """Requests with up to 300 wrong fields."""
    generator = random.Random(5)
    answers: Answers = Counter()
    for _ in range(max(int(100 * scale), 10)):
        rows = [{"name": "", "date": "never", "price": -1} for _ in range(generator.randrange(1, 100))]
        answers += await _post(mesh, json.dumps({"customer_id": "a", "history": rows}).encode(), 1)
    return answers


# 6: streams that nobody reads


async def unread_streams(mesh: LimitedMesh, scale: float) -> Answers:
    """Bulk streams whose responses nobody reads, 32 of simulation and 32 of frequency."""
    request = simulation_service_pb2.SimulatePopulationRequest(
        household_count=1_000_000, simulation_months=12, start_date="2025-01-01"
    )
    histories = frequency_service_pb2.AnalyzeHistoriesRequest()
    for number in range(100):
        household = histories.households.add(as_of="2026-01-01")
        household.purchases.item_names.extend(f"Item {item}" for item in range(40))
        household.purchases.item_categories.extend([""] * 40)
        for name, value in (
            ("item_indices", 0),
            ("days", 20_000),
            ("quantities", 1),
            ("prices", 2.0),
            ("savings", 0.0),
        ):
            values = range(40) if name == "item_indices" else [value] * 40
            getattr(household.purchases, name).extend(values)
        household.as_of = "2026-01-01" if number else "2026-01-02"
    answers: Answers = Counter()
    seconds = 20 * scale
    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(mesh.addresses[part], options=_NO_LIMIT))
            for part in ("simulation", "frequency")
        ]

        async def batches() -> Any:
            while True:
                yield histories

        calls: list[Any] = []
        for _ in range(32):
            calls.append(simulation_service_pb2_grpc.SimulationServiceStub(channels[0]).SimulatePopulation(request))
            calls.append(frequency_service_pb2_grpc.FrequencyServiceStub(channels[1]).AnalyzeHistories(batches()))
        for call in calls:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await call.read()
                answers["begun"] += 1
            except grpc.aio.AioRpcError as error:
                answers["closed" if is_lost_connection(error) else error.code().name] += 1
        await asyncio.sleep(seconds)
        for call in calls:
            call.cancel()
    return answers


# 8: extreme days


async def extreme_days(mesh: LimitedMesh, scale: float) -> Answers:
    """Days at the ends of what the contract allows."""
    answers: Answers = Counter()
    for as_of in ("2199-12-31", "2199-11-15", "2026-01-01", "1970-01-02"):
        rows = [{"name": "Milk", "date": day, "price": 1.0} for day in ("1970-01-01", "1970-01-02")]
        answers += await _post(
            mesh, json.dumps({"customer_id": "a", "history": rows, "as_of": as_of}).encode(), max(int(4 * scale), 1)
        )
        items = {"customer_id": "a", "items": [{"name": "Milk", "price": 1.0}], "as_of": as_of, "seed": 1}
        answers += await _post(mesh, json.dumps(items).encode(), 1)
    return answers


# 9: the neighbor's idempotency keys


async def evicted_keys(mesh: LimitedMesh, scale: float) -> Answers:
    """Stores many responses of one tenant; the key of another one is still known."""
    body = json.dumps({"customer_id": "a", "items": [{"name": "Milk", "price": 1.0}], "include_omitted": True}).encode()
    first = {"X-API-Key": LEGITIMATE_KEY, "Idempotency-Key": "first"}
    answers = await _post(mesh, body, 1, **first)
    for number in range(max(int(400 * scale), 20)):
        await _post(mesh, body, 1, **{"Idempotency-Key": str(number)})
    async with _client(mesh) as client:
        again = await client.post("/api/v1/process", content=body, headers={**_JSON, **first})
    answers["replayed" if again.headers.get("idempotency-replayed") else "lost"] += 1
    return answers


# 10: credentials


async def wrong_keys(mesh: LimitedMesh, scale: float) -> Answers:
    """Wrong keys, as fast as possible."""
    answers: Answers = Counter()
    async with _client(mesh) as client:
        for number in range(max(int(500 * scale), 50)):
            response = await client.get("/api/v1/config", headers={"X-API-Key": f"guess {number}"})
            answers[str(response.status_code)] += 1
    return answers


# 12: false customers next to a victim


_VICTIM_ITEMS = [f"Known {letter}" for letter in "ABCDEFGHIJ"]
_SECRET = "Quince Jelly"


def _rows(items: Iterable[str], *, secret: bool) -> list[dict[str, Any]]:
    rows = [{"name": item, "date": "2026-01-05", "price": 1.0} for item in items]
    days = ("2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26") if secret else ()
    return rows + [{"name": _SECRET, "date": day, "price": 1.0} for day in days]


async def false_customers(mesh: LimitedMesh, scale: float) -> Answers:
    """Four false customers next to a victim, then the question what five similar customers buy."""
    victim = vector_service_pb2.IndexHistoryRequest(tenant_id="south", customer_id="victim", as_of="2026-02-01")
    names = [*_VICTIM_ITEMS, _SECRET]
    columns = victim.purchases
    columns.item_names.extend(names)
    columns.item_categories.extend([""] * len(names))
    lines = [(index, 20_500) for index in range(10)] + [(10, 20_500 + 7 * trip) for trip in range(4)]
    columns.item_indices.extend(index for index, _ in lines)
    columns.days.extend(day for _, day in lines)
    columns.quantities.extend([1] * len(lines))
    columns.prices.extend([1.0] * len(lines))
    columns.savings.extend([0.0] * len(lines))
    load = vector_service_pb2.IndexHistoriesRequest(histories=[victim])
    path = "/pantree.vector.v1.VectorService/IndexHistories"
    answers = Counter({await _call(mesh, "vector", path, load.SerializeToString(), stream=True): 1})
    async with _client(mesh) as client:

        async def ask(customer: str, rows: list[dict[str, Any]]) -> Any:
            body = {"customer_id": customer, "history": rows, "as_of": "2026-02-01", "include_suggestions": True}
            response = await client.post("/api/v1/process", json=body, headers=_JSON)
            answers[str(response.status_code)] += 1
            return response.json()

        for attempt in range(max(int(5 * scale), 1)):
            for number in range(4):
                padding = [f"Padding {attempt} {number} {letter}" for letter in "ABCDE"]
                await ask(f"false-{attempt}-{number}", _rows([*_VICTIM_ITEMS, *padding], secret=True))
            result = await ask(f"question-{attempt}", _rows(_VICTIM_ITEMS, secret=False))
            shown = [item["name"] for item in result.get("recommendations", {}).get("suggestions", ())]
            answers["revealed" if _SECRET in shown else "hidden"] += 1
    return answers


# 14: malformed messages


async def deep_json(mesh: LimitedMesh, scale: float) -> Answers:
    """Deep JSON, and names with invisible characters."""
    bodies = [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"customer_id":"a","seed":' + b"9" * 100_000 + b"}",
        json.dumps({"customer_id": "a\u0085b", "items": [{"name": "Milk", "price": 1}]}).encode(),
        json.dumps({"customer_id": "a\u200bb", "items": [{"name": "Milk", "price": 1}]}).encode(),
    ]
    answers: Answers = Counter()
    for body in bodies:
        answers += await _post(mesh, body, max(int(4 * scale), 1))
    return answers


async def random_messages(mesh: LimitedMesh, scale: float) -> Answers:
    """Random messages to every RPC: valid, invalid, cut, and with changed bytes."""
    answers: Answers = Counter()
    never_ok = {method.full_name for _, method in METHODS}
    async with contextlib.AsyncExitStack() as stack:
        channels: dict[str, Any] = {
            part: await stack.enter_async_context(grpc.aio.insecure_channel(mesh.addresses[part], options=_NO_LIMIT))
            for part in SERVICES
        }

        async def call(part: str, method: Any, tenant: str, data: bytes) -> None:
            path = f"/{method.containing_service.full_name}/{method.name}"
            metadata = tenant_metadata(tenant)
            try:
                # Later than the deadline, which the part ought to keep.
                async with asyncio.timeout(2 * _WAIT_SECONDS):
                    if method.client_streaming or method.server_streaming:
                        open_call = (
                            channels[part].stream_stream(path)(iter([data]), timeout=_WAIT_SECONDS, metadata=metadata)
                            if method.client_streaming
                            else channels[part].unary_stream(path)(data, timeout=_WAIT_SECONDS, metadata=metadata)
                        )
                        async for _ in open_call:
                            if method.name in ENDLESS:
                                open_call.cancel()
                                break
                    else:
                        await channels[part].unary_unary(path)(data, timeout=_WAIT_SECONDS, metadata=metadata)
                code = "OK"
                never_ok.discard(method.full_name)
            except grpc.aio.AioRpcError as error:
                code = error.code().name
            except TimeoutError:
                code = "no answer"
            if code not in _CODES:
                code = f"{code} of {path}"
                if not answers[code]:
                    print(f"{code}: {data.hex()}", file=sys.stderr)  # to reproduce it
            answers[code] += 1
            if (sent := sum(answers.values())) % _PROGRESS_MESSAGES == 0:
                print(f"{sent} random messages: {dict(answers)}", file=sys.stderr, flush=True)

        calls = random_calls(max(int(100_000 * scale), 600), random.Random(14), ("", TEST_TENANT))

        async def send() -> None:
            for one in calls:  # shared by all senders
                await call(*one)

        await asyncio.gather(*(send() for _ in range(_SENDERS)))
    if sum(answers.values()) >= _ENOUGH_MESSAGES:
        answers.update(f"never OK: {name}" for name in never_ok)
    return answers


ATTACKS: dict[str, tuple[int, Attack, frozenset[str]]] = {
    "lists of millions in JSON": (1, large_json_lists, frozenset({"400", "413", "429"})),
    "lists of millions on the wire": (1, large_wire_lists, frozenset({"INVALID_ARGUMENT"})),
    "endless headers": (2, endless_headers, frozenset({"431", "closed"})),
    "half of the headers": (3, half_headers, frozenset({"408", "closed"})),
    "one byte of a body": (3, half_bodies, frozenset({"408", "429", "closed"})),
    "silent WebSockets": (3, silent_websockets, frozenset({"101", "closed"})),
    "unfinished bodies of 16 MB": (3, unfinished_bodies, frozenset({"408", "429", "closed"})),
    "unfinished WebSocket messages": (3, unfinished_messages, frozenset({"101", "closed"})),
    "24 histories of 20,000 lines": (4, long_histories, frozenset({"200", "429"})),
    "many wrong fields": (5, many_wrong_fields, frozenset({"400"})),
    "bulk streams that nobody reads": (6, unread_streams, frozenset({"begun", "RESOURCE_EXHAUSTED", "closed"})),
    "extreme days": (8, extreme_days, frozenset({"200", "400"})),
    "idempotency keys of a neighbor": (9, evicted_keys, frozenset({"200", "replayed"})),
    "wrong keys": (10, wrong_keys, frozenset({"401", "429"})),
    "false customers": (12, false_customers, frozenset({"OK", "200", "hidden"})),
    "deep JSON": (14, deep_json, frozenset({"400"})),
    "random messages": (
        14,
        random_messages,
        _CODES,
    ),
}  # fmt: skip
"""Row of the table in docs/security.md, attack, and permitted answers, by name."""
