"""Answers of functions that are not compiled yet are equal to the byte."""

import os
import subprocess
import sys

# Analyses of households with many kinds of items, one by one and in bulk, and simulated purchases.
_PROGRAM = """
import asyncio, hashlib
import numpy as np
from pantree.frequency.v1 import frequency_service_pb2 as frequency, frequency_service_pb2_grpc as frequency_rpc
from pantree.purchase.v1.purchase_pb2 import BasketItem, PurchaseColumns
from pantree.simulation.v1 import simulation_service_pb2 as simulation, simulation_service_pb2_grpc as simulation_rpc
from pantree_frequency.__main__ import build as build_frequency
from pantree_frequency.settings import FrequencySettings
from pantree_simulation.__main__ import build as build_simulation
from pantree_simulation.settings import SimulationSettings
from tests.loopback import loopback

NAMES = ["Bananas", "Whole Milk 2 L", "Cat litter", "Zorblax", "Coffee", "Batteries AA", "Rice"]

def household(seed):
    random = np.random.default_rng(seed)
    lines = []
    for item in range(len(NAMES)):
        gaps = np.maximum(1, np.rint(random.gamma(3.0, 2.0 + 2.0 * item, 4 + 3 * item % 11))).astype(int)
        days = 20_000 + np.cumsum(gaps)
        lines += [(int(day), item) for day in days[days < 20_180]]
    lines.sort()
    count = len(lines)
    prices = random.integers(50, 2000, len(NAMES)) / 100
    quantities = random.integers(1, 4, count)
    on_sale = random.random(count) < 0.3
    return PurchaseColumns(
        item_names=NAMES, item_categories=["produce", "dairy", "pet", "", "beverages", "household", ""],
        item_indices=[item for _, item in lines], days=[day for day, _ in lines], quantities=quantities.tolist(),
        prices=[float(prices[item]) for _, item in lines],
        savings=[float(0.2 * prices[item]) if sale else 0.0 for (_, item), sale in zip(lines, on_sale)],
    )

async def main():
    digest = hashlib.sha256()
    def add(message):
        digest.update(message.SerializeToString(deterministic=True))
    histories = [frequency.HouseholdHistory(purchases=household(seed), as_of="2025-06-01") for seed in range(6)]
    async with loopback(await build_frequency(FrequencySettings())) as channel:
        stub = frequency_rpc.FrequencyServiceStub(channel)
        for one in histories:
            add(await stub.AnalyzeHistory(frequency.AnalyzeHistoryRequest(purchases=one.purchases, as_of=one.as_of)))
        async for response in stub.AnalyzeHistories(iter([frequency.AnalyzeHistoriesRequest(households=histories)])):
            add(response)
    async with loopback(await build_simulation(SimulationSettings())) as channel:
        stub = simulation_rpc.SimulationServiceStub(channel)
        request = simulation.StreamPurchasesRequest(
            archetype="busy_family", items=[BasketItem(name="Milk", price=1.99)], simulation_months=2,
            start_date="2026-01-01", seed=3,
        )
        async for month in stub.StreamPurchases(request):
            add(month)
    print(digest.hexdigest())

asyncio.run(main())
"""


def digest_of_answers(disable_jit: str) -> str:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": disable_jit, "PANTREE_LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-c", _PROGRAM]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip().splitlines()[-1]


def test_interpreted_answers_are_equal_to_the_byte() -> None:
    assert digest_of_answers("1") == digest_of_answers("0")
