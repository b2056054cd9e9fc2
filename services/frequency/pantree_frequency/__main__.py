"""Composition root of the frequency service: `python -m pantree_frequency [--demo]`."""

import asyncio
from pathlib import Path

import numpy as np

from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.frequency.v1.frequency_service_pb2 import AnalyzeHistoriesResponse, AnalyzeHistoryResponse
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.backends import cost_file, model_files
from pantree_frequency.core import AnalysisRequest, Options
from pantree_frequency.demo import demo
from pantree_frequency.rules import RULES
from pantree_frequency.servicer import Analyzer, FrequencyServicer
from pantree_frequency.settings import FrequencySettings
from pantree_runtime import background_compilation, telemetry
from pantree_runtime.server import BULK_COST, Program, ServiceSpec

NAME = "frequency"


async def build(settings: FrequencySettings) -> ServiceSpec:
    """The service, ready to be served; its models are loaded by `warm_up`."""
    analyzer = Analyzer()
    servicer = FrequencyServicer(analyzer)
    model_dir = settings.model_dir or model_files.BUNDLED

    async def warm_up() -> None:
        await asyncio.to_thread(_load, analyzer, model_dir, settings.model_threads, settings.costs_file)
        await asyncio.to_thread(background_compilation.finish, lambda: _call_all(analyzer))

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.frequency.v1.FrequencyService": lambda server: rpc.add_FrequencyServiceServicer_to_server(
                servicer, server
            )
        },
        warm_up=warm_up,
        compile_in_background=(
            (lambda: background_compilation.compile_in_background(NAME, lambda: _call_all(analyzer)))
            if background_compilation.is_needed()
            else None
        ),
        costs={"AnalyzeHistories": BULK_COST},
        rules=RULES,
        counts={"AnalyzeHistory": _count, "AnalyzeHistories": _count_all},
    )


def _count(response: AnalyzeHistoryResponse) -> None:
    telemetry.ITEMS_ANALYZED.inc(len(response.items))


def _count_all(response: AnalyzeHistoriesResponse) -> None:
    telemetry.ITEMS_ANALYZED.inc(sum(len(household.result.items) for household in response.households))


def _load(analyzer: Analyzer, model_dir: Path, thread_count: int, costs_file: Path | None) -> None:
    """Loads the models and the costs."""
    costs = cost_file.load_costs(costs_file or cost_file.BUNDLED)
    analyzer.load(model_files.models_of(model_files.load(model_dir), thread_count=thread_count, costs=costs))


def _call_all(analyzer: Analyzer) -> None:
    """Analyzes a history, so that every function is compiled before the first request."""
    history = PurchaseHistory(
        item_names=("warm-up",),
        item_categories=("warm-up",),
        item_indices=np.zeros(8, np.int32),
        days=np.arange(0, 56, 7, dtype=np.int32),  # regular, so that its rhythm is followed
        quantities=np.array([1, 2, 1, 1, 1, 1, 1, 1], np.int32),
        prices=np.ones(8),
        savings=np.zeros(8),
    )
    analyzer.analyze([AnalysisRequest(history, 52)], Options())


PROGRAM = Program(NAME, FrequencySettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
