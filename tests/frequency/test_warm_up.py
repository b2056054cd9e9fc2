"""The service is SERVING when everything is compiled; numba compiles a function again for each layout of its arrays."""

import subprocess
import sys

# In a process of its own: other tests may have compiled what the service forgot.
_PROGRAM = """
import asyncio, importlib, pkgutil
import pantree_frequency.core as core
from pantree.frequency.v1 import frequency_service_pb2 as messages, frequency_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_frequency.__main__ import build
from pantree_frequency.settings import FrequencySettings
from tests.loopback import loopback

def variants():
    loops = {}
    for module in pkgutil.walk_packages(core.__path__, "pantree_frequency.core."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "nopython_signatures"):
                loops[f"{value.__module__}.{name}"] = len(value.nopython_signatures)
    return loops

def household(item_count):
    lines = [(item, 20_000 + item + 7 * week) for item in range(item_count) for week in range(item + 1)]
    return PurchaseColumns(
        item_names=[f"item {item}" for item in range(item_count)], item_categories=["produce"] * item_count,
        item_indices=[item for item, _ in lines], days=[day for _, day in lines], quantities=[1] * len(lines),
        prices=[1.99] * len(lines), savings=[0.0] * len(lines),
    )

async def main():
    async with loopback(await build(FrequencySettings())) as channel:
        warm = variants()
        stub = rpc.FrequencyServiceStub(channel)
        for count in (1, 2, 40):
            history = messages.AnalyzeHistoryRequest(purchases=household(count), as_of="2026-01-01")
            await stub.AnalyzeHistory(history)
            await stub.FindCadenceChanges(messages.FindCadenceChangesRequest(history=history, item_names=["item 0"]))
        later = {name: count for name, count in variants().items() if count != warm[name]}
        assert any(warm.values()) and not later, later

asyncio.run(main())
"""


def test_nothing_is_compiled_once_the_service_is_serving() -> None:
    result = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
