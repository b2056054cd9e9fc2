"""Composition root of the frequency service: `python -m pantree_frequency [--demo]`."""

import asyncio
from pathlib import Path

import numpy as np

from pantree.frequency.v1 import frequency_service_pb2_grpc as rpc
from pantree.frequency.v1.frequency_service_pb2 import AnalyzeHistoriesResponse, AnalyzeHistoryResponse
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.backends import artefact
from pantree_frequency.core import Options, Question
from pantree_frequency.demo import demo
from pantree_frequency.rules import RULES
from pantree_frequency.servicer import Analyst, FrequencyServicer
from pantree_frequency.settings import FrequencySettings
from pantree_runtime import telemetry
from pantree_runtime.server import BULK_COST, Program, ServiceSpec

NAME = "frequency"


async def build(settings: FrequencySettings) -> ServiceSpec:
    """The service, ready to be served."""
    analyst = Analyst()
    servicer = FrequencyServicer(analyst)
    folder = settings.model_dir or artefact.SHIPPED

    async def warm_up() -> None:
        await asyncio.to_thread(_load, analyst, folder, settings.model_threads)

    return ServiceSpec(
        name=NAME,
        services={
            "pantree.frequency.v1.FrequencyService": lambda server: rpc.add_FrequencyServiceServicer_to_server(
                servicer, server
            )
        },
        warm_up=warm_up,
        costs={"AnalyzeHistories": BULK_COST},
        rules=RULES,
        counts={"AnalyzeHistory": _count, "AnalyzeHistories": _count_all},
    )


def _count(response: AnalyzeHistoryResponse) -> None:
    telemetry.ITEMS_ANALYZED.inc(len(response.items))


def _count_all(response: AnalyzeHistoriesResponse) -> None:
    telemetry.ITEMS_ANALYZED.inc(sum(len(household.result.items) for household in response.households))


def _load(analyst: Analyst, folder: Path, thread_count: int) -> None:
    """Reads the models and answers, so that compiled loops are there before the first caller is.

    Twice, since loops are compiled for each layout of their arrays: columns of one line lie close, others do not.
    """
    analyst.load(artefact.models_of(artefact.load(folder), thread_count=thread_count))
    for days in ([14], [0, 7, 14]):
        history = PurchaseHistory(
            item_names=("warm-up",),
            item_categories=("warm-up",),
            item_indices=np.zeros(len(days), np.int32),
            days=np.array(days, np.int32),
            quantities=np.ones(len(days), np.int32),
            prices=np.ones(len(days)),
            savings=np.zeros(len(days)),
        )
        analyst.analyze([Question(history, 21)], Options())


PROGRAM = Program(NAME, FrequencySettings, build, demo)

if __name__ == "__main__":
    PROGRAM.main()
